//! The keychain on a real gnome-keyring, seen from the other side by `secret-tool` and `dbus-monitor`.

use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use mira_secret::SecretBytes;
use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::{Run, TestHome};
use mira_testkit::secret_service::SecretService;
use mira_vault::os::keychain::{Keychain, KeychainError, OsKeychain, Waits};

/// So long that only a call which waits for nothing else ends in it.
const BRIEF: Waits = Waits {
    answer: Duration::from_millis(200),
    person: Duration::from_millis(200),
};

fn connect(service: &SecretService) -> OsKeychain {
    OsKeychain::connect_to_bus(service.bus_address(), Waits::default()).expect("the keyring runs")
}

fn secret_tool(service: &SecretService, arguments: &[&str], input: &str) -> Run {
    let home = TestHome::new();
    let tool = home.mira("secret-tool").args(arguments).stdin_bytes(input);
    service
        .env()
        .into_iter()
        .fold(tool, |tool, (name, value)| tool.env(name, value))
        .run()
}

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::copy_from(bytes)
}

#[test]
fn a_secret_comes_back_as_it_was_stored() {
    let service = SecretService::start();
    let keychain = connect(&service);
    let large: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    for bytes in [
        b"sk-proj-1".as_slice(),
        b"\x00\xff\xc3\x28 not UTF-8\n",
        b"",
        b"0123456789abcdef",
        &large,
    ] {
        assert_eq!(keychain.load("user/KEY"), Ok(None));
        assert_eq!(keychain.delete("user/KEY"), Ok(false));
        assert_eq!(keychain.store("user/KEY", "A key", &secret(bytes)), Ok(()));
        assert_eq!(keychain.load("user/KEY"), Ok(Some(secret(bytes))));
        assert_eq!(keychain.load("user/KE"), Ok(None));
        assert_eq!(keychain.load("user/KEY2"), Ok(None));
        assert_eq!(keychain.delete("user/KEY"), Ok(true));
    }
}

#[test]
fn secret_tool_finds_the_item_by_service_and_account() {
    let service = SecretService::start();
    let keychain = connect(&service);
    keychain
        .store("user/ONE", "The first key", &secret(b"value one"))
        .unwrap();
    keychain
        .store("mcp/git hub/TWO", "The second", &secret(b"value two"))
        .unwrap();
    let lookup = ["lookup", "service", "mira", "account", "user/ONE"];
    assert_eq!(
        secret_tool(&service, &lookup, "")
            .assert_code(0)
            .stdout_text(),
        "value one"
    );
    let search = ["search", "--all", "service", "mira", "account", "user/ONE"];
    let listed = secret_tool(&service, &search, "").assert_code(0);
    assert!(
        listed.stdout_text().contains("label = The first key"),
        "{listed:?}"
    );
    // The tool writes attributes to its error output.
    let attributes: Vec<_> = listed.stderr_text().lines().map(str::to_owned).collect();
    assert!(
        attributes.contains(&"attribute.account = user/ONE".to_owned()),
        "{attributes:?}"
    );
    assert!(
        attributes.contains(&"attribute.service = mira".to_owned()),
        "{attributes:?}"
    );
}

#[test]
fn storing_again_replaces_the_item_and_its_label() {
    let service = SecretService::start();
    let keychain = connect(&service);
    for round in ["one", "two", "three"] {
        let label = format!("Label {round}");
        keychain
            .store("user/KEY", &label, &secret(round.as_bytes()))
            .unwrap();
        let all = secret_tool(&service, &["search", "--all", "service", "mira"], "");
        let labels: Vec<_> = all
            .stdout_text()
            .lines()
            .filter(|line| line.starts_with("label"))
            .map(str::to_owned)
            .collect();
        assert_eq!(labels, [format!("label = Label {round}")]);
        assert_eq!(
            keychain.load("user/KEY"),
            Ok(Some(secret(round.as_bytes())))
        );
    }
}

#[test]
fn threads_and_connections_that_store_one_account_leave_one_item() {
    let service = SecretService::start();
    let shared = connect(&service);
    thread::scope(|scope| {
        for writer in 0..4_u8 {
            let (service, shared) = (&service, &shared);
            scope.spawn(move || {
                let own = connect(service);
                for round in 0..10 {
                    own.store("user/KEY", "A key", &secret(&[writer, round]))
                        .unwrap();
                    shared
                        .store("user/KEY", "A key", &secret(&[writer, round]))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(
        shared.load("user/KEY").unwrap().map(|value| value.len()),
        Some(2)
    );
    assert_eq!(shared.delete("user/KEY"), Ok(true));
    assert_eq!(shared.load("user/KEY"), Ok(None));
}

#[test]
fn an_item_in_another_collection_is_replaced_there() {
    let service = SecretService::start();
    let keychain = connect(&service);
    let store = [
        "store",
        "--collection=session",
        "--label=Moved",
        "service",
        "mira",
        "account",
        "user/KEY",
    ];
    secret_tool(&service, &store, "the user's").assert_code(0);
    assert_eq!(keychain.load("user/KEY"), Ok(Some(secret(b"the user's"))));
    keychain
        .store("user/KEY", "Ours", &secret(b"ours"))
        .unwrap();
    assert_eq!(keychain.load("user/KEY"), Ok(Some(secret(b"ours"))));
    let all = secret_tool(&service, &["search", "--all", "service", "mira"], "");
    assert_eq!(
        all.stdout_text().matches("label = Ours").count(),
        1,
        "{all:?}"
    );
    assert_eq!(all.stdout_text().matches("label = ").count(), 1, "{all:?}");
}

#[test]
fn two_items_with_one_account_are_an_error() {
    let service = SecretService::start();
    let keychain = connect(&service);
    keychain
        .store("user/KEY", "Ours", &secret(b"ours"))
        .unwrap();
    let store = [
        "store",
        "--collection=session",
        "--label=Other",
        "service",
        "mira",
        "account",
        "user/KEY",
    ];
    secret_tool(&service, &store, "another").assert_code(0);
    let ambiguous = KeychainError::Ambiguous {
        account: "user/KEY".to_owned(),
        count: 2,
    };
    assert_eq!(keychain.load("user/KEY"), Err(ambiguous.clone()));
    assert_eq!(
        keychain.store("user/KEY", "Ours", &secret(b"new")),
        Err(ambiguous.clone())
    );
    assert_eq!(keychain.delete("user/KEY"), Err(ambiguous));
}

#[test]
fn items_survive_the_keyring() {
    let mut service = SecretService::start();
    connect(&service)
        .store("user/KEY", "A key", &secret(b"on disk"))
        .unwrap();
    service.stop_keyring();
    service.start_keyring();
    assert_eq!(
        connect(&service).load("user/KEY"),
        Ok(Some(secret(b"on disk")))
    );
}

#[test]
fn a_locked_keychain_that_nobody_can_unlock_is_locked() {
    let service = SecretService::start();
    let keychain = connect(&service);
    keychain
        .store("user/KEY", "A key", &secret(b"value"))
        .unwrap();
    service.lock();
    assert_eq!(keychain.load("user/KEY"), Err(KeychainError::Locked));
    assert_eq!(
        keychain.store("user/KEY", "A key", &secret(b"x")),
        Err(KeychainError::Locked)
    );
    assert_eq!(
        keychain.store("user/NEW", "A key", &secret(b"x")),
        Err(KeychainError::Locked)
    );
    assert_eq!(keychain.delete("user/KEY"), Err(KeychainError::Locked));
    assert_eq!(
        connect(&service).load("user/KEY"),
        Err(KeychainError::Locked)
    );
}

/// Checks that an error says that nothing answers, and which part of what.
#[track_caller]
fn assert_unreachable<T: std::fmt::Debug>(result: Result<T, KeychainError>, part: &str) {
    match result {
        Err(error @ KeychainError::Unreachable { .. }) => {
            let message = error.to_string();
            assert!(
                message.contains("cannot be reached") && message.contains(part),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_keyring_that_stops_midway_is_unreachable() {
    let mut service = SecretService::start();
    let keychain = connect(&service);
    keychain
        .store("user/KEY", "A key", &secret(b"value"))
        .unwrap();
    service.stop_keyring();
    assert_unreachable(keychain.load("user/KEY"), "Secret Service went away");
    assert_unreachable(
        keychain.store("user/KEY", "A key", &secret(b"x")),
        "Secret Service went away",
    );
    assert_unreachable(keychain.delete("user/KEY"), "Secret Service went away");
    service.start_keyring();
    assert_unreachable(keychain.load("user/KEY"), "Secret Service went away");
    service.stop_bus();
    assert_unreachable(keychain.load("user/KEY"), "bus went away");
}

#[test]
fn nothing_to_connect_to_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("unix:path={}/bus", folder.path().display());
    let connect = |address: &str| OsKeychain::connect_to_bus(address, Waits::default());
    assert_unreachable(connect(&path), "no session bus");
    assert_unreachable(connect("nonsense"), "no session bus");
    assert_unreachable(connect(""), "no session bus");
    let empty = SecretService::start_bus();
    assert_unreachable(
        connect(empty.bus_address()),
        "no Secret Service on the session bus",
    );
    drop(UnixListener::bind(folder.path().join("bus")).unwrap());
    assert_unreachable(connect(&path), "no session bus");
}

#[test]
fn a_mute_bus_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    // The kernel accepts connections for it; nobody reads them.
    let _mute = UnixListener::bind(folder.path().join("bus")).unwrap();
    let path = format!("unix:path={}/bus", folder.path().display());
    let error = OsKeychain::connect_to_bus(&path, BRIEF).unwrap_err();
    assert_eq!(
        error,
        KeychainError::NoAnswer {
            waited: BRIEF.answer
        }
    );
}

#[test]
fn a_mute_keyring_is_given_up() {
    let service = SecretService::start();
    connect(&service)
        .store("user/KEY", "A key", &secret(b"value"))
        .unwrap();
    let keychain = OsKeychain::connect_to_bus(
        service.bus_address(),
        Waits {
            answer: Duration::from_secs(2),
            ..BRIEF
        },
    )
    .unwrap();
    service.freeze_keyring();
    let no_answer = KeychainError::NoAnswer {
        waited: Duration::from_secs(2),
    };
    assert_eq!(keychain.load("user/KEY"), Err(no_answer.clone()));
    assert!(no_answer.to_string().contains("within 2 s"));
}

#[test]
fn the_bus_sees_no_value() {
    let service = SecretService::start();
    let mut monitor = Command::new("dbus-monitor")
        .args(["--address", service.bus_address(), "--binary"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut traffic = Traffic(monitor.stdout.take().unwrap(), Vec::new());
    // The first thing it prints is that it lost its name, which is when it sees everything.
    traffic.read_until(b"NameLost");
    let canaries = Canary::generate();
    let keychain = connect(&service);
    for canary in &canaries {
        let account = format!("user/{}", canary.name());
        for _ in 0..2 {
            keychain
                .store(&account, "A key", &secret(canary.value()))
                .unwrap();
            assert_eq!(keychain.load(&account), Ok(Some(secret(canary.value()))));
        }
    }
    keychain.load("user/THE-LAST").unwrap();
    traffic.read_until(b"user/THE-LAST");
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    Sweep::new(&canaries)
        .bytes("the bus", &traffic.1)
        .assert_clean();
    for canary in &canaries {
        assert!(
            contains(&traffic.1, canary.name().as_bytes()),
            "the monitor saw nothing"
        );
    }
}

struct Traffic(std::process::ChildStdout, Vec<u8>);

impl Traffic {
    fn read_until(&mut self, needle: &[u8]) {
        let mut part = [0; 4096];
        while !contains(&self.1, needle) {
            let count = self.0.read(&mut part).expect("the monitor's output");
            assert!(count > 0, "the monitor ended");
            self.1.extend(part.iter().take(count));
        }
    }
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// Set for the process that [`connect_finds_the_session`] starts.
const CHILD: &str = "MIRA_TEST_CHILD";

#[test]
fn connect_finds_the_session() {
    let name = "os::keychain::connect_finds_the_session";
    if std::env::var_os(CHILD).is_some() {
        let keychain = OsKeychain::connect().unwrap();
        assert_eq!(keychain.load("user/KEY"), Ok(Some(secret(b"value"))));
        return;
    }
    let service = SecretService::start();
    connect(&service)
        .store("user/KEY", "A key", &secret(b"value"))
        .unwrap();
    let home = TestHome::new();
    let child = |home: &TestHome| {
        home.mira(std::env::current_exe().unwrap())
            .args([name, "--exact"])
            .env(CHILD, "1")
    };
    let address = service.bus_address();
    child(&home)
        .env("DBUS_SESSION_BUS_ADDRESS", address)
        .run()
        .assert_code(0);
    // Without the variable, it is the bus in the runtime folder, and no other.
    let failed = child(&home).run().assert_code(101);
    assert!(failed.stdout_text().contains("Unreachable"), "{failed:?}");
    child(&home)
        .env("XDG_RUNTIME_DIR", service.folder())
        .run()
        .assert_code(0);
}
