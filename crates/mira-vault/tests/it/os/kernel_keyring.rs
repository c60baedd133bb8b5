//! The kernel's keyring, seen from the other side by `/proc/keys`.

use std::time::Duration;

use mira_secret::SecretBytes;
use mira_testkit::home::TestHome;
use mira_vault::os::kernel_keyring::{CacheError, cache, cached, forget};

/// A vault id that no other test, run or program uses; its key is forgotten at the end, however the test ends.
struct Vault(String);

impl Vault {
    fn new(test: &str) -> Self {
        Self(format!("test-{test}-{}", std::process::id()))
    }

    /// Returns the vault's lines of `/proc/keys`: one, and for a moment those of keys that it replaced.
    fn listed(&self) -> Vec<Listed> {
        let keys = std::fs::read_to_string("/proc/keys").expect("the kernel lists keys");
        let name = format!("mira:{}:", self.0);
        let lines = keys.lines().filter(|line| line.contains(&name));
        lines.map(Listed::parse).collect()
    }
}

/// What the kernel says of a key (proc(5)).
#[derive(Debug)]
struct Listed {
    id: String,
    timeout: String,
    permissions: String,
}

impl Listed {
    fn parse(line: &str) -> Self {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [id, _flags, _usage, timeout, permissions, ..] = fields[..] else {
            panic!("{line}")
        };
        let [id, timeout, permissions] = [id, timeout, permissions].map(str::to_owned);
        Self {
            id,
            timeout,
            permissions,
        }
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        drop(forget(&self.0));
    }
}

fn key(byte: u8) -> SecretBytes {
    SecretBytes::copy_from(&[byte; 32])
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_key_is_remembered_until_it_is_forgotten() {
    let vault = Vault::new("forgotten");
    assert_eq!(cached(&vault.0), Ok(None));
    assert_eq!(forget(&vault.0), Ok(false));
    assert_eq!(cache(&vault.0, &key(7), HOUR), Ok(()));
    assert_eq!(cached(&vault.0), Ok(Some(key(7))));
    assert_eq!(cached(&vault.0), Ok(Some(key(7))));
    assert_eq!(forget(&vault.0), Ok(true));
    assert_eq!(cached(&vault.0), Ok(None));
    assert_eq!(forget(&vault.0), Ok(false));
    assert_eq!(cache(&vault.0, &key(8), HOUR), Ok(()));
    assert_eq!(cached(&vault.0), Ok(Some(key(8))));
}

#[test]
fn caching_again_replaces_the_key_and_its_deadline() {
    let vault = Vault::new("replaced");
    cache(&vault.0, &key(1), Duration::from_secs(40)).unwrap();
    let [first] = &vault.listed()[..] else {
        panic!("one key")
    };
    assert!(first.timeout.ends_with('s'), "{first:?}");
    cache(&vault.0, &key(2), HOUR * 50).unwrap();
    assert_eq!(cached(&vault.0), Ok(Some(key(2))));
    let now = vault.listed();
    let second = now.iter().find(|listed| listed.id != first.id).unwrap();
    assert!(second.timeout.ends_with('d'), "{second:?}");
    assert_eq!(forget(&vault.0), Ok(true));
    // The first one did not come back from under it.
    assert_eq!(cached(&vault.0), Ok(None));
}

#[test]
fn every_key_has_its_deadline_and_narrow_permissions() {
    // As `/proc/keys` prints what is left, in whole weeks, days, hours, minutes or seconds.
    for (ttl, shown) in [
        (
            Duration::from_millis(39_001),
            ["40s", "39s", "38s"].as_slice(),
        ),
        (Duration::from_secs(900), &["15m", "14m"]),
        (HOUR * 4, &["4h", "3h"]),
        (Duration::MAX, &["7101w"]),
    ] {
        let vault = Vault::new(&format!("deadline-{}", ttl.as_secs()));
        cache(&vault.0, &key(7), ttl).unwrap();
        let [listed] = &vault.listed()[..] else {
            panic!("one key")
        };
        assert!(shown.contains(&listed.timeout.as_str()), "{listed:?}");
        // Possessor: all but writing. The user: seeing that it is there. Group and others: nothing.
        assert_eq!(listed.permissions, "3b010000", "{listed:?}");
    }
}

/// Set to a vault's id for the process that [`other_sessions_of_the_user_find_it`] starts.
const CHILD: &str = "MIRA_TEST_CHILD";

#[test]
fn other_sessions_of_the_user_find_it() {
    let name = "os::kernel_keyring::other_sessions_of_the_user_find_it";
    if let Ok(id) = std::env::var(CHILD) {
        assert_eq!(cached(&id), Ok(Some(key(7))));
        assert_eq!(cache(&id, &key(8), HOUR), Ok(()));
        return;
    }
    let vault = Vault::new("sessions");
    cache(&vault.0, &key(7), HOUR).unwrap();
    let id = vault.0.clone();
    let there = std::thread::spawn(move || cached(&id)).join().unwrap();
    assert_eq!(there, Ok(Some(key(7))));
    // Joins a session keyring that does not lead to the user's, as cron jobs and services have it, and becomes the child.
    let keyctl = if cfg!(target_arch = "x86_64") {
        250
    } else {
        219
    };
    let script = format!(
        "import ctypes, os, sys; assert ctypes.CDLL(None).syscall({keyctl}, 1, None) > 0; os.execv(sys.argv[1], sys.argv[1:])"
    );
    TestHome::new()
        .mira("python3")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact"])
        .env(CHILD, &vault.0)
        .run()
        .assert_code(0);
    assert_eq!(cached(&vault.0), Ok(Some(key(8))));
}

#[test]
fn a_ttl_of_zero_forgets() {
    let vault = Vault::new("zero");
    cache(&vault.0, &key(7), HOUR).unwrap();
    assert_eq!(cache(&vault.0, &key(8), Duration::ZERO), Ok(()));
    assert_eq!(cached(&vault.0), Ok(None));
}

#[test]
fn two_vaults_are_apart() {
    let (one, two) = (Vault::new("one"), Vault::new("one-and-more"));
    cache(&one.0, &key(1), HOUR).unwrap();
    assert_eq!(cached(&two.0), Ok(None));
    cache(&two.0, &key(2), HOUR).unwrap();
    assert_eq!(cached(&one.0), Ok(Some(key(1))));
    assert_eq!(forget(&one.0), Ok(true));
    assert_eq!(cached(&two.0), Ok(Some(key(2))));
}

/// Runs this test again under `strace`, which tampers with a system call; returns its exit code.
fn tampered(test: &str, id: &str, inject: &str) -> Option<i32> {
    TestHome::new()
        .mira("strace")
        .args(["-f", "-q", "-o", "/dev/null", "-e", inject])
        .arg(std::env::current_exe().unwrap_or_default())
        .args([test, "--exact"])
        .env(CHILD, id)
        .run()
        .code()
}

#[test]
fn a_kernel_that_refuses_is_a_typed_error() {
    let name = "os::kernel_keyring::a_kernel_that_refuses_is_a_typed_error";
    if let Ok(expected) = std::env::var(CHILD) {
        let stored = cache("test-refused", &key(7), HOUR);
        match expected.as_str() {
            "full" => assert_eq!(stored, Err(CacheError::Full)),
            other => {
                let error = if other == "forbidden" {
                    CacheError::Forbidden
                } else {
                    CacheError::Unsupported
                };
                assert_eq!(stored, Err(error.clone()));
                assert_eq!(cached("test-refused"), Err(error.clone()));
                assert_eq!(forget("test-refused"), Err(error));
            }
        }
        return;
    }
    for (expected, inject) in [
        ("forbidden", "inject=keyctl:error=EPERM"),
        ("forbidden", "inject=keyctl:error=EACCES"),
        ("unsupported", "inject=keyctl:error=ENOSYS"),
        ("full", "inject=add_key:error=EDQUOT"),
    ] {
        assert_eq!(tampered(name, expected, inject), Some(0), "{inject}");
    }
}

#[test]
fn a_process_killed_at_any_call_leaves_no_key_without_a_deadline() {
    let name = "os::kernel_keyring::a_process_killed_at_any_call_leaves_no_key_without_a_deadline";
    if let Ok(id) = std::env::var(CHILD) {
        assert_eq!(cache(&id, &key(7), HOUR), Ok(()));
        return;
    }
    let mut killed = 0;
    let mut shared = 0;
    for call in 1.. {
        let vault = Vault::new(&format!("killed-{call}"));
        let inject = format!("inject=keyctl:error=EPERM:signal=KILL:when={call}");
        let code = tampered(name, &vault.0, &inject);
        if cached(&vault.0).unwrap().is_some() {
            shared += 1;
            // The only one there is, since it is in the user's keyring.
            let [listed] = &vault.listed()[..] else {
                panic!("one key")
            };
            assert_ne!(listed.timeout, "perm", "killed at call {call}");
        }
        if code == Some(0) {
            break;
        }
        killed += 1;
    }
    // Both sides of the moment at which the key is shared were seen.
    assert!(killed > shared && shared > 1, "{killed} {shared}");
}
