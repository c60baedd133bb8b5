//! Snapshots are taken, listed, restored, removed and checked; restic reads them; a running database is whole in them.

use std::fs;
use std::process::Command;

use super::notes::{MANIFEST, Notes, read};

#[test]
fn a_state_is_saved_and_comes_back_and_so_does_what_it_replaced() {
    let notes = Notes::new();
    assert_eq!(notes.list(), [] as [serde_json::Value; 0]);
    let none = notes.run(&["snapshot", "restore", "notes", "latest", "--yes"], 3);
    assert!(
        none.stderr_text().contains("mira snapshot create notes"),
        "{none:?}"
    );

    notes.run(&["start", "notes", "-d"], 0);
    notes.write("monday", "milk");
    let said = notes.run(&["snapshot", "create", "notes", "--label", "before tea"], 0);
    assert!(said.stderr_text().contains("saved notes as "), "{said:?}");
    notes.write("monday", "tea");
    notes.write("tuesday", "bread");
    let list = notes.list();
    assert_eq!(
        (list.len(), &list[0]["label"], &list[0]["files"]),
        (1, &"before tea".into(), &1.into())
    );
    let table = notes.run(&["snapshot", "list", "notes"], 0).stdout_text();
    let short = list[0]["id"].as_str().unwrap().split_at(8).0;
    for part in ["TIME", "before tea", short, "4 B"] {
        assert!(table.contains(part), "{part}: {table}");
    }

    let refused = notes.run(&["snapshot", "restore", "notes", short, "--yes"], 1);
    assert!(
        refused.stderr_text().contains("mira stop notes"),
        "{refused:?}"
    );
    assert_eq!(notes.read("monday"), "tea");
    notes.run(&["stop", "notes"], 0);
    let asked = notes.run(&["snapshot", "restore", "notes", short], 3);
    assert!(asked.stderr_text().contains("--yes"), "{asked:?}");

    let restored = notes.run(&["snapshot", "restore", "notes", short, "--yes"], 0);
    assert_eq!(notes.read("monday"), "milk");
    assert!(!notes.data().join("tuesday").exists());
    let safety = notes.list().pop().unwrap();
    assert_eq!(safety["tags"], serde_json::json!(["safety"]));
    let back = format!(
        "mira snapshot restore notes {}",
        safety["id"].as_str().unwrap().split_at(8).0
    );
    assert!(restored.stderr_text().contains(&back), "{restored:?}");
    let words: Vec<&str> = back.split(' ').skip(1).collect();
    notes.run(&[&words[..], &["--yes"]].concat(), 0);
    assert_eq!(
        (notes.read("monday"), notes.read("tuesday")),
        ("tea".into(), "bread".into())
    );
    notes.run(&["start", "notes", "-d"], 0);
}

#[test]
fn snapshots_are_removed_one_by_one_or_by_the_retention_and_what_stays_is_whole() {
    let notes = Notes::new();
    let mut ids = Vec::new();
    for note in ["one", "two", "three", "four"] {
        notes.write("note", note);
        ids.push(notes.create());
    }
    let unknown = notes.run(&["snapshot", "forget", "notes", &ids[0], "abcdef12"], 3);
    assert!(unknown.stderr_text().contains("abcdef12"), "{unknown:?}");
    assert_eq!(notes.list().len(), 4, "all, or none");
    let forgotten = notes.json(
        &[
            "snapshot",
            "forget",
            "notes",
            ids[0].split_at(12).0,
            "--json",
        ],
        0,
    );
    assert_eq!(forgotten["forgotten"], serde_json::json!([ids[0]]));

    let undeclared = notes.run(&["snapshot", "forget", "notes", "--retention"], 2);
    assert!(
        undeclared.stderr_text().contains("no retention"),
        "{undeclared:?}"
    );
    let manifest = MANIFEST.replace(
        "{volumes: [{name: data}]}",
        "{volumes: [{name: data}], retention: {last: 2}}",
    );
    fs::write(notes.app().join("mira.yaml"), manifest).unwrap();
    notes.run(&["open", notes.app().to_str().unwrap(), "-d"], 0);
    notes.run(&["snapshot", "forget", "notes", "--retention"], 0);
    let left: Vec<_> = notes
        .list()
        .iter()
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(left, ids[2..]);
    notes.run(&["stop", "notes"], 0);
    notes.run(&["snapshot", "restore", "notes", &ids[2], "--yes"], 0);
    assert_eq!(notes.read("note"), "three");

    let whole = notes.json(&["snapshot", "check", "notes", "--read-data", "--json"], 0);
    assert_eq!(whole["snapshots"], 3);
    // A pack that is not what it was.
    let packs = notes.folder("notes").join("snapshots/data");
    let folders = fs::read_dir(packs)
        .unwrap()
        .map(|folder| folder.unwrap().path());
    let mut packs = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    let pack = packs.next().unwrap().unwrap().path();
    fs::remove_file(pack).unwrap();
    notes.run(&["snapshot", "check", "notes", "--read-data"], 5);
}

#[test]
fn restic_reads_what_was_saved_with_the_password_from_the_vault() {
    let notes = Notes::new();
    notes.write("note", "tea");
    let id = notes.create();
    let listed: serde_json::Value =
        serde_json::from_str(&notes.restic(&["snapshots", "--json"])).unwrap();
    assert_eq!(
        (listed.as_array().unwrap().len(), listed[0]["id"].as_str()),
        (1, Some(&*id))
    );
    assert_eq!(notes.restic(&["dump", "latest", "/data/note"]), "tea");
    notes.restic(&["check", "--read-data"]);
    let target = notes.home.path().join("restored");
    notes.restic(&["restore", "latest", "--target", target.to_str().unwrap()]);
    assert_eq!(read(&target.join("data/note")), "tea");
    // What restic took, Mira lists and restores.
    let data = notes.data();
    notes.write("note", "coffee");
    notes.restic(&["backup", data.to_str().unwrap()]);
    assert_eq!(notes.list().len(), 2);
}

/// Sets all rows to the same number in one transaction each time, as fast as it can, and says when it has begun.
const LEDGER: &str = r#"
import os, sqlite3
base = sqlite3.connect(os.path.join(os.environ["DATA"], "ledger.db"), isolation_level=None)
base.execute("PRAGMA journal_mode = WAL")
base.execute("PRAGMA synchronous = OFF")
base.execute("CREATE TABLE IF NOT EXISTS row (number INTEGER, text TEXT)")
base.execute("BEGIN IMMEDIATE")
# Another run may have been there before.
base.execute("DELETE FROM row")
for row in range(2000):
    base.execute("INSERT INTO row VALUES (0, ?)", ("a text of some length " * 180,))
base.execute("COMMIT")
open(os.environ["DATA"] + "/begun", "w").close()
while True:
    base.execute("UPDATE row SET number = number + 1")
"#;

#[test]
fn a_database_that_is_written_to_is_whole_in_a_snapshot() {
    let health = "    health: {command: [sh, -c, 'test -e \"$$DATA/begun\"'], interval: 100ms, startPeriod: 60s}\nsecrets:";
    let manifest = MANIFEST
        .replace("[sh, service.sh]", "[python3, service.sh]")
        .replace("secrets:", health);
    let notes = Notes::with(&manifest, LEDGER);
    // What the first run left would say too early that the second one writes.
    fs::remove_file(notes.data().join("begun")).unwrap();
    notes.run(&["start", "notes", "-d"], 0);
    let ids = [notes.create(), notes.create(), notes.create()];
    notes.run(&["stop", "notes"], 0);
    for id in ids {
        let restore = ["snapshot", "restore", "notes", &id, "--yes", "--no-safety"];
        notes.run(&restore, 0);
        let asked = Command::new("sqlite3")
            .arg("-batch")
            .arg(notes.data().join("ledger.db"))
            .arg("PRAGMA integrity_check; SELECT count(DISTINCT number), count(*) FROM row;")
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&asked.stdout),
            "ok\n1|2000\n",
            "{asked:?}"
        );
    }
}
