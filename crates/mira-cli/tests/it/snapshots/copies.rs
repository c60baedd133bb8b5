//! `mira duplicate`: state and settings are copied, nothing that is secret is, and half a copy is never used.

use std::process::Command;

use mira_testkit::canary::{Canary, Sweep};

use super::notes::{Notes, read};
use crate::support::VALUE;

#[test]
fn a_copy_has_the_state_and_the_settings_and_no_secret() {
    let notes = Notes::new();
    notes.run(&["start", "notes", "-d", "--with", "MODEL=small"], 0);
    notes.write("note", "tea");
    let made = notes.json(&["duplicate", "notes", "--name", "second", "--json"], 0);
    assert_eq!(made["name"], "second");
    assert_ne!(made["id"], notes.ps("notes")["id"]);
    assert_eq!(notes.ps("notes")["state"], "up", "it goes on meanwhile");
    assert_eq!(notes.ps("second")["state"], "stopped");
    let copy = notes.folder("second");
    assert_eq!(read(&copy.join("state/data/note")), "tea");

    let secrets = |instance: &str| {
        let listed = notes.json(&["secret", "list", "--instance", instance, "--json"], 0);
        listed[0]["source"].clone()
    };
    assert_eq!(
        (secrets("notes"), secrets("second")),
        ("own".into(), ().into())
    );
    let listed = notes.run(&["list", "--json"], 0).stdout_text();
    assert!(!listed.contains(made["id"].as_str().unwrap()), "{listed}");
    let sweep = Sweep::new(&[Canary::new("API_KEY", VALUE)]);
    sweep.folder(&copy).assert_clean();
    assert_eq!(
        notes.list(),
        [] as [serde_json::Value; 0],
        "what it was copied by is gone"
    );

    // Each has its own state from now on, and its own settings.
    notes.run(&["start", "second", "-d"], 0);
    let environment = |instance: &str| {
        let pid = &notes.ps(instance)["services"][0]["pid"];
        read(format!("/proc/{pid}/environ").as_ref())
    };
    assert!(environment("second").contains("MODEL=small"));
    assert!(!environment("second").contains("API_KEY"));
    assert!(environment("notes").contains(VALUE));
    notes.write("note", "coffee");
    assert_eq!(read(&copy.join("state/data/note")), "tea");
    notes.run(&["delete", "second", "--yes"], 0);
    assert_eq!(notes.read("note"), "coffee");
}

#[test]
fn a_state_with_a_secret_is_not_copied_and_nothing_is_left_of_the_try() {
    let notes = Notes::new();
    notes.write("note", "tea");
    notes.write("bad", VALUE);
    let refused = notes.json(&["duplicate", "notes", "--json"], 5);
    assert_eq!(refused["error"]["found"][0]["path"], "/data/bad");
    let instances = notes.json(&["ps", "--json"], 0);
    assert_eq!(instances.as_array().unwrap().len(), 1, "{instances}");
    let folders = std::fs::read_dir(notes.home.mira_home().join("instances")).unwrap();
    assert_eq!(folders.count(), 1);

    notes.run(&["duplicate", "notes", "--leave-out"], 0);
    let copy = notes.folder("notes-2").join("state/data");
    assert_eq!(read(&copy.join("note")), "tea");
    assert!(!copy.join("bad").exists());
    let taken = notes.run(
        &["duplicate", "notes", "--name", "notes-2", "--leave-out"],
        2,
    );
    assert!(taken.stderr_text().contains("notes-2"), "{taken:?}");
}

#[test]
fn an_agreement_is_not_copied_unless_it_is_given_again() {
    let notes = Notes::new();
    // As after an update that its remembered publisher did not sign, and the user agreed to.
    let agreed = Command::new("sqlite3")
        .args(["-cmd", ".timeout 60000"])
        .arg(notes.home.mira_home().join("mira.db"))
        .arg("UPDATE instances SET unsigned_agreed = TRUE")
        .status();
    assert!(agreed.unwrap().success());
    let refused = notes.run(&["duplicate", "notes"], 3);
    assert!(refused.stderr_text().contains("--agree"), "{refused:?}");
    assert_eq!(
        notes.json(&["ps", "--json"], 0).as_array().unwrap().len(),
        1
    );
    notes.run(&["duplicate", "notes", "--agree"], 0);
    assert_eq!(notes.ps("notes-2")["state"], "stopped");
}
