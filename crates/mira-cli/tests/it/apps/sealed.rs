//! Secrets that are sealed in the package, and packages that are encrypted as a whole: asked for at each open, kept nowhere.

use std::fs;
use std::process::Command;

use mira_age::Recipients;
use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::terminal::key;

use super::app::{App, MANIFEST, password};
use super::house::House;
use crate::support::VALUE;

const PASSWORD: &str = "correct horse battery staple";

fn write(house: &House, name: &str, content: &str) -> String {
    let path = house.home.path().join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn sealed(house: &House, to: &Recipients) -> String {
    let app = house.app("parrot", MANIFEST);
    app.pack_sealed(&[("API_KEY", VALUE)], to)
}

/// Fails if a sealed value is anywhere but in what the parrot was asked to write.
fn assert_nowhere(house: &House) {
    fs::remove_dir_all(house.file("parrot", "state")).unwrap();
    let sweep = Sweep::new(&[
        Canary::new("API_KEY", VALUE),
        Canary::new("PASSWORD", PASSWORD),
    ]);
    sweep
        .folder(house.home.path())
        .and(sweep.folder(house.memory.path()))
        .assert_clean();
}

#[test]
fn sealed_secrets_are_asked_for_at_each_open_and_kept_nowhere() {
    let house = House::new();
    let package = sealed(&house, &password(PASSWORD));
    let refused = house.run(&["open", &package, "-d"], 3);
    assert!(
        refused.stderr_text().contains("--password-file"),
        "{refused:?}"
    );
    for open in [package.as_str(), "parrot"] {
        let mut terminal = house.terminal(&["open", open]);
        terminal.expect("Password of the package's secrets: ");
        terminal.send(format!("{PASSWORD}\n"));
        terminal.expect("parrot is up");
        assert_eq!(
            house.variable("parrot", "web", "API_KEY").as_deref(),
            Some(VALUE)
        );
        terminal.send(key::CTRL_C);
        assert_eq!(terminal.wait().code(), Some(0));
        assert!(!terminal.transcript().contains(PASSWORD));
    }
    assert!(
        house
            .json(&["list", "--json"], 0)
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_nowhere(&house);
}

#[test]
fn a_password_comes_from_a_file_and_a_running_instance_asks_again_at_its_restart() {
    let house = House::new();
    let package = sealed(&house, &password(PASSWORD));
    let file = write(&house, "password", &format!("{PASSWORD}\n"));
    house.run(&["open", &package, "-d", "--password-file", &file], 0);
    house.run(&["restart", "parrot", "-d"], 3);
    assert_eq!(
        house.ps("parrot")["state"],
        "up",
        "nothing was stopped for that"
    );
    house.run(&["restart", "parrot", "-d", "--password-file", &file], 0);
    let listed = house.json(&["secret", "list", "--instance", "parrot", "--json"], 0);
    assert_eq!(listed[0]["source"], serde_json::Value::Null);
    house.run(&["stop", "parrot"], 0);
    fs::remove_file(file).unwrap();
    assert_nowhere(&house);
}

#[test]
fn identities_open_what_is_sealed_to_them_and_others_do_not() {
    let house = House::new();
    let (age, ssh) = (write_age_key(&house), write_ssh_key(&house));
    let stranger = write_age_key(&house);
    for (name, (identity, recipient)) in [("age", age), ("ssh", ssh)] {
        let to = Recipients::parse(&[recipient]).unwrap();
        let manifest = MANIFEST.replace("org.example.parrot", &format!("org.example.{name}"));
        let app = house.app(name, &manifest);
        let package = app.pack_sealed(&[("API_KEY", VALUE)], &to);
        let refused = house.run(&["open", &package, "-d"], 3);
        assert!(refused.stderr_text().contains("--identity"), "{refused:?}");
        let other = house.run(&["open", &package, "-d", "--identity", &stranger.0], 5);
        assert!(other.stderr_text().contains("somebody else"), "{other:?}");
        house.run(&["open", &package, "-d", "--identity", &identity], 0);
        assert_eq!(
            house.variable(name, "web", "API_KEY").as_deref(),
            Some(VALUE)
        );
    }
}

#[test]
fn an_encrypted_package_is_in_memory_only_and_only_while_it_runs() {
    let house = House::new();
    let app = house.app("parrot", MANIFEST);
    let marker = "a text of the package that nobody else has";
    app.write("marker.txt", marker);
    let package = app.pack_encrypted(password(PASSWORD));
    fs::remove_dir_all(&app.folder).unwrap();
    let file = write(&house, "password", PASSWORD);
    house.run(&["open", &package, "-d"], 3);
    assert_eq!(house.json(&["ps", "--json"], 0), serde_json::json!([]));

    let open = ["open", &package, "-d", "--password-file", &file];
    house.run(&open, 3);
    house.save("parrot", "API_KEY", VALUE);
    house.run(&open, 0);
    let sweep = Sweep::new(&[Canary::new("MARKER", marker)]);
    sweep.folder(house.home.path()).assert_clean();
    assert!(!sweep.folder(house.memory.path()).is_clean());
    // While it runs, it can be asked about; nothing else is to be opened.
    house.json(&["secret", "list", "--instance", "parrot", "--json"], 0);
    house.run(&["stop", "parrot"], 0);
    sweep.folder(house.memory.path()).assert_clean();
    house.run(&["start", "parrot", "-d"], 3);
    house.run(&["start", "parrot", "-d", "--password-file", &file], 0);
    house.run(&["serve", "--stop"], 0);
    sweep.folder(house.memory.path()).assert_clean();

    // In the foreground it goes with the end of it, and with a kill of the command by the next one.
    let mut terminal = house.terminal(&["open", "parrot"]);
    terminal.expect("Password of the package: ");
    terminal.send(format!("{PASSWORD}\n"));
    terminal.expect("parrot is up");
    terminal.send(key::CTRL_C);
    assert_eq!(terminal.wait().code(), Some(0));
    sweep.folder(house.memory.path()).assert_clean();
}

#[test]
fn an_encrypted_package_is_not_unpacked_onto_a_disk() {
    let mut house = House::new();
    let app = house.app("parrot", MANIFEST);
    let marker = "a text of the package that nobody else has";
    app.write("marker.txt", marker);
    let package = app.pack_encrypted(password(PASSWORD));
    let file = write(&house, "password", PASSWORD);
    // The folder for temporary files may be in memory; the one of the build is not.
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    house.home.set("XDG_RUNTIME_DIR", disk.path());
    let refused = house.run(&["open", &package, "-d", "--password-file", &file], 1);
    let told = refused.stderr_text();
    assert!(told.contains("is on a disk"), "{refused:?}");
    let sweep = Sweep::new(&[Canary::new("MARKER", marker)]);
    sweep.folder(disk.path()).assert_clean();
    assert_eq!(house.json(&["ps", "--json"], 0), serde_json::json!([]));
}

#[test]
fn what_is_sealed_but_not_declared_is_refused() {
    let house = House::new();
    let app: App = house.app("parrot", MANIFEST);
    let package = app.pack_sealed(
        &[("API_KEY", VALUE), ("SMUGGLED", VALUE)],
        &password(PASSWORD),
    );
    let file = write(&house, "password", PASSWORD);
    let refused = house.run(&["open", &package, "-d", "--password-file", &file], 1);
    assert!(refused.stderr_text().contains("SMUGGLED"), "{refused:?}");
    assert!(!house.runtime().join("supervisor.lock").exists());
}

#[test]
fn absurd_work_is_refused_before_it_is_done() {
    let house = House::new();
    let app = house.app("parrot", MANIFEST);
    let secrets = [(API_KEY.parse().unwrap(), value(VALUE))];
    let sealed = mira_package::sealed::seal(&secrets, &password(PASSWORD)).unwrap();
    // As much work as nobody can do: some thousand times a machine's memory.
    let cost = b" 10\n";
    let mut windows = sealed.as_bytes().windows(cost.len());
    let cost = windows.position(|window| window == cost).unwrap();
    let mut bytes = sealed.as_bytes().to_vec();
    bytes[cost + 1..cost + 3].copy_from_slice(b"40");
    fs::write(app.folder.join("secrets.encrypted"), bytes).unwrap();
    let file = write(&house, "password", PASSWORD);
    let refused = house.run(&["open", app.path(), "-d", "--password-file", &file], 5);
    assert!(refused.stderr_text().contains("work"), "{refused:?}");
}

const API_KEY: &str = "API_KEY";

fn value(text: &str) -> mira_secret::SecretValue {
    let bytes = mira_secret::SecretBytes::copy_from(text.as_bytes());
    mira_secret::SecretValue::new(&API_KEY.parse().unwrap(), bytes).unwrap()
}

/// Makes an identity with `age-keygen`; returns its file and its recipient.
fn write_age_key(house: &House) -> (String, String) {
    let path = tempfile_name(house, "age");
    let made = Command::new("age-keygen")
        .args(["-o", &path])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let recipient = Command::new("age-keygen")
        .args(["-y", &path])
        .output()
        .unwrap();
    (
        path,
        String::from_utf8(recipient.stdout)
            .unwrap()
            .trim()
            .to_owned(),
    )
}

/// Makes a key with `ssh-keygen`; returns its file and its public half.
fn write_ssh_key(house: &House) -> (String, String) {
    let path = tempfile_name(house, "ssh");
    let args = ["-q", "-t", "ed25519", "-N", "", "-f", &path];
    assert!(
        Command::new("ssh-keygen")
            .args(args)
            .status()
            .unwrap()
            .success()
    );
    let public = fs::read_to_string(format!("{path}.pub")).unwrap();
    (path, public.trim().to_owned())
}

fn tempfile_name(house: &House, kind: &str) -> String {
    let number = fs::read_dir(house.home.path()).unwrap().count();
    let path = house.home.path().join(format!("{kind}-{number}"));
    path.to_str().unwrap().to_owned()
}
