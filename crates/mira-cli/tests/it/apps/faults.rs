//! Homes, packages and machines that are not as they should be: a clear word, a distinct code, and nothing half done.

use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use mira_testkit::home::{Run, TestHome};

use super::app::MANIFEST;
use super::house::House;
use crate::support::{MIRA, VALUE};

/// Asks for nothing, and is up at once.
const QUIET: &str = "kind: mira.app/v1\nid: org.example.quiet\nname: Quiet\nversion: 1.0.0\nservices:\n  - name: web\n    command: [sleep, infinity]\n";

/// Runs a script in a mount namespace of its own, where it may mount.
fn in_own_mounts(house: &House, script: &str) -> Run {
    let script = format!("set -eu; mira={MIRA}; {script}\n$mira serve --stop");
    house
        .home
        .mira("unshare")
        .args(["-Urm", "sh", "-c", &script])
        .run()
}

fn no_vault() -> House {
    House::without_vault(TestHome::new())
}

#[test]
fn an_app_without_secrets_needs_no_vault() {
    let house = no_vault();
    let package = house.app("quiet", QUIET).pack();
    house.run(&["open", &package, "-d"], 0);
    assert_eq!(house.ps("quiet")["state"], "up");
    house.run(&["delete", "quiet", "--yes"], 0);
    // One with secrets says what is missing, and how to have it.
    let package = house.app("parrot", MANIFEST).pack();
    house.run(&["open", &package, "-d"], 3);
    let refused = house
        .mira(&[
            "secret",
            "set",
            "--instance",
            "parrot",
            "API_KEY",
            "--stdin",
        ])
        .stdin_bytes(VALUE)
        .run()
        .assert_code(3);
    assert!(refused.stderr_text().contains("mira init"), "{refused:?}");
}

#[test]
fn a_read_only_home_is_told() {
    let house = no_vault();
    let package = house.app("quiet", QUIET).pack();
    let script = format!(
        r#"
        mount -t tmpfs -o mode=700 none "$MIRA_HOME"
        $mira open "{package}" -d
        $mira stop quiet
        # The supervisor lets go of its files in the moments after the stop.
        tries=0
        until mount -o remount,ro none "$MIRA_HOME" 2> /dev/null; do
            tries=$((tries + 1)); [ $tries -lt 5000 ]
        done
        code=0; $mira open "{package}" -d --name other || code=$?
        echo "open $code"
        code=0; $mira start quiet -d || code=$?
        echo "start $code"
        code=0; $mira ps || code=$?
        echo "ps $code"
        mount -o remount,rw none "$MIRA_HOME"
        $mira start quiet -d
        "#
    );
    let run = in_own_mounts(&house, &script).assert_code(0);
    assert!(run.stdout_text().contains("open 1"), "{run:?}");
    assert!(run.stdout_text().contains("start 1\nps 1"), "{run:?}");
    assert!(!run.stderr_text().contains("panicked"), "{run:?}");
    assert!(
        run.stderr_text().to_lowercase().contains("read-only"),
        "{run:?}"
    );
}

#[test]
fn a_disk_that_is_full_at_the_open_leaves_nothing_half_done() {
    let house = no_vault();
    let app = house.app("quiet", QUIET);
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(3_000_000)
        .collect();
    fs::write(app.folder.join("noise"), noise).unwrap();
    let package = app.pack();
    let script = format!(
        r#"
        mount -t tmpfs -o mode=700,size=2m none "$MIRA_HOME"
        code=0; $mira open "{package}" -d || code=$?
        echo "open $code"
        $mira ps --json
        mount -o remount,size=20m none "$MIRA_HOME"
        $mira open "{package}" -d
        ls "$MIRA_HOME/packages"
        "#
    );
    let run = in_own_mounts(&house, &script).assert_code(0);
    let said = run.stdout_text();
    assert!(said.starts_with("open 1\n[]\n"), "{run:?}");
    assert_eq!(said.lines().count(), 3, "one copy: {run:?}");
    assert!(
        run.stderr_text().contains("No space left on device"),
        "{run:?}"
    );
}

#[test]
fn a_disk_that_is_full_of_logs_stops_no_service_and_is_told() {
    let house = no_vault();
    let app = house.app(
        "quiet",
        &QUIET.replace("[sleep, infinity]", "[sh, noisy.sh]"),
    );
    // More than the disk holds; then it waits to be told to end.
    app.write(
        "noisy.sh",
        "mkfifo \"$HOME/done\"; head -c 3000024 /dev/urandom | base64; : > \"$HOME/done\"; exec sleep infinity\n",
    );
    let package = app.pack();
    let script = format!(
        r#"
        mount -t tmpfs -o mode=700,size=3m none "$MIRA_HOME"
        $mira open "{package}" -d
        until [ -p "$MIRA_HOME"/instances/*/home/done ]; do :; done
        cat "$MIRA_HOME"/instances/*/home/done
        $mira ps --json
        $mira logs quiet | tail -n 1 > /dev/null
        $mira stop quiet
        "#
    );
    let run = in_own_mounts(&house, &script).assert_code(0);
    let states: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let web = &states[0]["services"][0];
    assert_eq!(web["phase"], "up", "{states}");
    let trouble = web["logTrouble"]
        .as_str()
        .unwrap_or_else(|| panic!("{states}"));
    assert!(trouble.contains("No space left"), "{states}");
}

#[test]
fn a_run_time_folder_that_others_have_a_hand_in_is_not_used() {
    let house = no_vault();
    let package = house.app("quiet", QUIET).pack();
    let folder = house.memory.path().join("mira");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = house.run(&["open", &package, "-d"], 1);
    assert!(refused.stderr_text().contains("yours alone"), "{refused:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    house.run(&["open", &package, "-d"], 0);
}

#[test]
fn a_damaged_database_is_named_and_left_alone() {
    let house = no_vault();
    let package = house.app("quiet", QUIET).pack();
    house.run(&["open", &package, "-d"], 0);
    house.run(&["stop", "quiet"], 0);
    let file = house.home.mira_home().join("mira.db");
    for damage in [&b"this is no database, and was none ever"[..], &[0; 8192]] {
        for beside in ["mira.db-wal", "mira.db-shm"] {
            drop(fs::remove_file(house.home.mira_home().join(beside)));
        }
        fs::write(&file, damage).unwrap();
        for args in [
            &["ps"] as &[&str],
            &["open", &package, "-d"],
            &["delete", "quiet", "--yes"],
        ] {
            let refused = house.mira(args).run();
            assert!(matches!(refused.code(), Some(1 | 5)), "{refused:?}");
            assert!(refused.stderr_text().contains("mira.db"), "{refused:?}");
            assert!(!refused.stderr_text().contains("panicked"), "{refused:?}");
        }
        assert_eq!(fs::read(&file).unwrap(), damage);
    }
}

#[test]
fn a_home_with_spaces_and_other_letters_works_and_one_that_is_no_text_is_told() {
    let mut home = TestHome::new();
    home.set(
        "MIRA_HOME",
        home.path().join("mein Zuhause – ещё одно 'so' \"$x\""),
    );
    let house = House::with(home, &["--provider", "keyfile"]);
    let package = house.app("der Papagei 🦜", MANIFEST).pack();
    house.run(&["open", &package, "-d"], 3);
    house.save("parrot", "API_KEY", VALUE);
    let up = house.json(&["start", "parrot", "-d", "--json"], 0);
    assert_eq!(up["state"], "up");
    house.run(&["restart", "parrot", "-d"], 0);
    house.run(&["delete", "parrot", "--yes"], 0);

    let odd = house
        .home
        .path()
        .join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    let open = house
        .mira(&["open", &package, "-d"])
        .env("MIRA_HOME", odd)
        .run();
    assert!(matches!(open.code(), Some(1 | 3)), "{open:?}");
    assert!(!open.stderr_text().contains("panicked"), "{open:?}");
}

#[test]
fn a_run_time_folder_whose_path_is_too_long_is_told() {
    let mut house = no_vault();
    let package = house.app("quiet", QUIET).pack();
    let long = house.memory.path().join("x".repeat(120));
    fs::DirBuilder::new().create(&long).unwrap();
    house.home.set("XDG_RUNTIME_DIR", &long);
    let refused = house.run(&["open", &package, "-d"], 1);
    assert!(
        refused.stderr_text().contains("set XDG_RUNTIME_DIR"),
        "{refused:?}"
    );
    house.home.set("XDG_RUNTIME_DIR", house.memory.path());
    house.run(&["open", &package, "-d"], 0);
}

#[test]
fn long_names_are_taken_up_to_their_limit() {
    let house = no_vault();
    let id = format!("org.example.{}", "q".repeat(63));
    let app = house.app("quiet", &QUIET.replace("org.example.quiet", &id));
    let package = app.pack();
    let name = "n".repeat(63);
    house.run(&["open", &package, "-d", "--name", &name], 0);
    assert_eq!(house.ps(&name)["state"], "up");
    house.run(&["open", &package, "-d", "--name", &"n".repeat(64)], 2);
    house.run(&["open", &package, "-d", "--name", &"n".repeat(100_000)], 2);
    house.run(&["open", &"n".repeat(100_000), "-d"], 3);
    house.run(&["open", &package, "-d", "--name", "../../etc"], 2);
    house.run(&["ps", ""], 3);
}

#[test]
fn what_is_no_package_is_refused_at_once() {
    let house = no_vault();
    let path = |name: &str| house.home.path().join(name);
    fs::write(path("empty"), "").unwrap();
    fs::write(path("text"), "a text").unwrap();
    fs::File::create(path("huge"))
        .unwrap()
        .set_len(1 << 42)
        .unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(path("fifo"))
            .status()
            .unwrap()
            .success()
    );
    fs::create_dir(path("folder")).unwrap();
    for (name, code) in [
        ("empty", 5),
        ("text", 5),
        ("huge", 5),
        ("fifo", 5),
        ("folder", 1),
    ] {
        let refused = house
            .mira(&["open", path(name).to_str().unwrap(), "-d"])
            .run();
        assert_eq!(refused.code(), Some(code), "{name}: {refused:?}");
        assert!(!refused.stderr_text().contains("panicked"), "{refused:?}");
    }
    assert_eq!(house.json(&["ps", "--json"], 0), serde_json::json!([]));
}

#[test]
fn all_faults_of_a_manifest_are_told_at_once() {
    let house = no_vault();
    let faults: String = (0..100)
        .map(|number| format!("  - {{name: KEY_{number}, colour{number}: blue}}\n"))
        .collect();
    let app = house.app("quiet", &format!("{QUIET}secrets:\n{faults}"));
    let refused = house.run(&["open", app.path(), "-d"], 1);
    let said = refused.stderr_text();
    for number in 0..100 {
        assert!(
            said.contains(&format!("colour{number}")),
            "{number}: {said}"
        );
    }
    assert!(said.contains("mira.yaml:"), "{said}");
}

#[test]
fn a_port_that_somebody_has_is_not_taken_and_one_that_was_taken_meanwhile_is_changed() {
    let house = House::new();
    // Below those that Linux gives to whoever asks for any: the next ones are nobody's, also while the app does not run.
    let mut numbers = (20_000..30_000)
        .cycle()
        .skip(std::process::id() as usize % 10_000);
    let taken = numbers.find_map(|number: u16| TcpListener::bind(("127.0.0.1", number)).ok());
    let taken = taken.unwrap();
    let number = taken.local_addr().unwrap().port();
    let manifest = MANIFEST.replace(
        "{name: http, open",
        &format!("{{name: http, prefer: {number}, open"),
    );
    let package = house.app("parrot", &manifest).pack();
    house.run(&["open", &package, "-d"], 3);
    house.save("parrot", "API_KEY", VALUE);
    house.run(&["start", "parrot", "-d"], 0);
    let port = || house.variable("parrot", "web", "PORT").unwrap();
    let first = port();
    assert_ne!(first, number.to_string());
    house.run(&["restart", "parrot", "-d"], 0);
    assert_eq!(port(), first);
    house.run(&["stop", "parrot"], 0);
    let held = TcpListener::bind(format!("127.0.0.1:{first}")).unwrap();
    house.run(&["start", "parrot", "-d"], 0);
    assert_ne!(port(), first);
    drop(held);
}

#[test]
fn a_service_that_cannot_start_is_told_and_nothing_of_it_runs() {
    let house = no_vault();
    let manifest = format!(
        "{QUIET}    dependsOn: [gone]\n  - name: gone\n    command: [no-such-program]\n    restart: never\n"
    );
    let package = house.app("quiet", &manifest).pack();
    let failed = house.run(&["open", &package, "-d"], 1);
    assert!(
        failed.stderr_text().contains("no-such-program"),
        "{failed:?}"
    );
    assert_eq!(house.ps("quiet")["state"], "stopped");
    let manifest = manifest.replace(
        "[no-such-program]",
        "[sh, -c, 'echo why it fails >&2; exit 7']\n    health: {command: [\"false\"]}",
    );
    let package = house.app("quiet", &manifest).pack();
    let failed = house.run(&["open", &package, "-d"], 1);
    assert!(
        failed.stderr_text().contains("mira logs quiet"),
        "{failed:?}"
    );
    let said = house.run(&["logs", "quiet"], 0);
    assert!(said.stdout_text().contains("why it fails"), "{said:?}");
}
