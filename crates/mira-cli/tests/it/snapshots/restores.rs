//! A restore and a start do not meet, and a restore that was killed is ended by the next start.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mira_testkit::terminal::Terminal;

use super::notes::Notes;
use crate::support::MIRA;

#[test]
fn a_state_is_not_replaced_while_it_is_started_nor_started_while_it_is_replaced() {
    let notes = Notes::new();
    notes.write("note", "milk");
    notes.create();
    notes.write("note", "tea");
    let mira = fs::read_dir(notes.memory.path().join("mira"))
        .unwrap()
        .next();
    let claims = mira.unwrap().unwrap().path().join("claims");
    let claim = File::options()
        .write(true)
        .open(claims.join(notes.folder("notes").file_name().unwrap()))
        .unwrap();
    // As a command does that starts it, or restores.
    claim.lock().unwrap();
    let restore = ["snapshot", "restore", "notes", "latest", "--yes"];
    let refused = notes.run(&restore, 1);
    assert!(
        refused.stderr_text().contains("another command"),
        "{refused:?}"
    );
    assert_eq!(notes.read("note"), "tea");
    let refused = notes.run(&["start", "notes", "-d"], 1);
    assert!(
        refused.stderr_text().contains("another command"),
        "{refused:?}"
    );
    assert_eq!(notes.ps("notes")["state"], "stopped");
    claim.unlock().unwrap();
    notes.run(&restore, 0);
    notes.run(&["start", "notes", "-d"], 0);
    assert_eq!(notes.read("note"), "milk");
}

#[test]
fn a_restore_that_is_killed_leaves_one_state_whole_and_the_next_start_ends_it() {
    let notes = Notes::new();
    // Many, so that writing them takes a while in which to be killed.
    let write = |text: &str| {
        for number in 0..600 {
            notes.write(&format!("note-{number}"), text);
        }
    };
    write("old");
    notes.create();
    write("new");
    let folder = notes.folder("notes");
    let plan = folder.join("snapshots.restore");
    let mut restore = Command::new(MIRA)
        .args([
            "snapshot",
            "restore",
            "notes",
            "latest",
            "--yes",
            "--no-safety",
        ])
        .env_clear()
        .envs(notes.home.env().iter().cloned())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let half = folder.join("state/.data.mira-restore");
    while !(plan.exists() && half.exists()) {
        assert!(
            restore.try_wait().unwrap().is_none() && Instant::now() < deadline,
            "it was not seen at work"
        );
    }
    restore.kill().unwrap();
    restore.wait().unwrap();
    assert!(plan.exists(), "it was killed too late");
    let state = |folder: &Path| {
        let mut notes = fs::read_dir(folder).unwrap();
        let first = fs::read_to_string(notes.next().unwrap().unwrap().path()).unwrap();
        assert!(notes.all(|note| fs::read_to_string(note.unwrap().path()).unwrap() == first));
        assert_eq!(fs::read_dir(folder).unwrap().count(), 600);
        first
    };
    let before = state(&notes.data());
    notes.run(&["start", "notes", "-d"], 0);
    assert!(!plan.exists() && !half.exists());
    let after = state(&notes.data());
    assert!(before == after || after == "old", "{before}, then {after}");
}

#[test]
fn on_a_terminal_one_is_asked_and_sees_how_far_it_is() {
    let notes = Notes::new();
    notes.write("note", "milk");
    let terminal = |args: &[&str]| {
        let mut command = Command::new(MIRA);
        command
            .args(args)
            .env_clear()
            .envs(notes.home.env().iter().cloned());
        Terminal::start(command)
    };
    let mut create = terminal(&["snapshot", "create", "notes"]);
    create.expect("mira: saving: ");
    create.expect("saved notes as ");
    assert!(create.wait().success());
    notes.write("note", "tea");
    for (answer, code, expect) in [("n", 1, "tea"), ("y", 0, "milk")] {
        let mut restore = terminal(&["snapshot", "restore", "notes", "latest", "--no-safety"]);
        restore.expect("Replace the state of notes by that of ");
        restore.send(format!("{answer}\r"));
        assert_eq!(
            restore.wait().code(),
            Some(code),
            "{}",
            restore.transcript()
        );
        assert_eq!(notes.read("note"), expect);
    }
}
