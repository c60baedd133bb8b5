//! `mira diagnostics`: what helps is in it, and no value, whatever the logs hold.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mira_testkit::canary::{Canary, Sweep};
use serde_json::json;

use super::notes::{MANIFEST, Notes};
use crate::support::VALUE;

/// A value of the user's, which the instance does not have and its logs are not searched for.
const FOREIGN: &str = "xoxb-foreign-8Hs3Kq9Lw2Zt";

/// Says its own value and a foreign one, then something of the user's home.
const CHATTY: &str = r#"
echo "mine $API_KEY"
echo "foreign xoxb-foreign-8Hs3Kq9Lw2Zt"
echo "at $DATA" >&2
echo ready
: > "$DATA/ready"
exec sleep infinity
"#;

#[test]
fn diagnostics_tell_what_helps_and_no_value() {
    let health = "    health: {command: [sh, -c, 'test -e \"$$DATA/ready\"'], interval: 100ms, startPeriod: 60s}\nsecrets:";
    let notes = Notes::with(&MANIFEST.replace("secrets:", health), CHATTY);
    let save = notes.mira(&["set", "FOREIGN", "--stdin"]);
    save.stdin_bytes(FOREIGN).run().assert_code(0);
    fs::remove_file(notes.data().join("ready")).unwrap();
    notes.run(&["start", "notes", "-d"], 0);
    notes.create();
    let run = notes
        .mira(&["diagnostics", "notes"])
        .env("A_VARIABLE_OF_MINE", "and-what-is-in-it")
        .run()
        .assert_code(0);
    let sweep = Sweep::new(&[
        Canary::new("API_KEY", VALUE),
        Canary::new("FOREIGN", FOREIGN),
    ]);
    sweep.bytes("the document", &run.stdout).assert_clean();
    let text = run.stdout_text();
    let home = notes.home.path().join("home");
    for never in [
        home.to_str().unwrap(),
        "A_VARIABLE_OF_MINE",
        "and-what-is-in-it",
    ] {
        assert!(!text.contains(never), "{never}: {text}");
    }
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["kind"], "mira.diagnostics/v1");
    assert_eq!(document["mira"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["instance"]["name"], "notes");
    assert_eq!(document["state"], "up");
    assert_eq!(document["services"][0]["restarts"], 0);
    assert_eq!(document["manifest"]["secrets"][0]["name"], "API_KEY");
    assert_eq!(
        document["manifest"]["services"][0]["variables"],
        json!(["DATA"])
    );
    assert_eq!(document["secrets"][0]["source"], "own");
    assert_eq!(document["snapshots"]["number"], 1);
    assert_eq!(document["redaction"]["vault"], "opened");
    assert!(
        document["checks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|check| check["check"] == "vault")
    );
    let lines: Vec<&str> = document["logs"]["web"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["line"].as_str().unwrap())
        .collect();
    assert!(lines.contains(&"mine [redacted:API_KEY]"), "{lines:?}");
    assert!(lines.contains(&"foreign [redacted:FOREIGN]"), "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("at $MIRA_HOME/instances/")),
        "{lines:?}"
    );

    let file = notes.home.path().join("report.json");
    let args = [
        "diagnostics",
        "notes",
        "-n",
        "1",
        "-o",
        file.to_str().unwrap(),
    ];
    notes.run(&args, 0);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let document: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(document["logs"]["web"].as_array().unwrap().len(), 1);
    notes.run(&args, 1);
}

#[test]
fn what_no_redaction_of_its_parts_finds_keeps_a_document_from_being_written() {
    let notes = Notes::new();
    // It is in no text of the document, and yet in the whole.
    let spanning = r#"kind": "mira.diagnostics"#;
    notes
        .mira(&["set", "SPANNING", "--stdin"])
        .stdin_bytes(spanning)
        .run()
        .assert_code(0);
    let file = notes.home.path().join("report.json");
    let args = ["diagnostics", "notes", "-o", file.to_str().unwrap()];
    let refused = notes.run(&args, 5);
    assert!(
        refused.stderr_text().contains("SPANNING at byte"),
        "{refused:?}"
    );
    assert!(!file.exists());
    let refused = notes.json(&["diagnostics", "notes"], 5);
    assert_eq!(refused["error"]["found"][0]["name"], "SPANNING");
}
