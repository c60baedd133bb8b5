//! No value of the instance's gets into a snapshot: where one is, there is none, or the file is left out.

use std::fs;

use mira_age::Recipients;
use mira_package::archive::{PackOptions, pack};
use mira_package::sealed::seal;
use mira_secret::{SecretBytes, SecretName, SecretValue};
use mira_testkit::canary::{Canary, Sweep};
use serde_json::json;

use super::notes::{MANIFEST, Notes};
use crate::support::VALUE;

#[test]
fn a_secret_in_the_state_stops_the_snapshot_and_is_told_with_its_place() {
    let notes = Notes::new();
    notes.write("good", "tea");
    notes.write("bad", &format!("key={VALUE}\n"));
    let refused = notes.run(&["snapshot", "create", "notes"], 5);
    let said = refused.stderr_text();
    assert!(said.contains("/data/bad (API_KEY at byte 4"), "{said}");
    assert!(said.contains("--leave-out"), "{said}");
    let refused = notes.run(&["snapshot", "create", "notes", "--json"], 5);
    let told: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    let found = &told["error"]["found"];
    assert_eq!(found.as_array().unwrap().len(), 1, "{told}");
    assert_eq!(found[0]["path"], "/data/bad");
    assert_eq!(found[0]["name"], "API_KEY");
    assert_eq!(found[0]["offset"], 4);
    assert_eq!(notes.list(), [] as [serde_json::Value; 0]);

    let report = notes.json(&["snapshot", "create", "notes", "--leave-out", "--json"], 0);
    assert_eq!(report["leftOut"][0]["path"], "/data/bad");
    assert_eq!(report["snapshot"]["files"], 1);
    assert_eq!(notes.restic(&["dump", "latest", "/data/good"]), "tea");
    let sweep = Sweep::new(&[Canary::new("API_KEY", VALUE)]);
    sweep
        .folder(&notes.folder("notes").join("snapshots"))
        .assert_clean();
    for text in [&refused.stdout, &refused.stderr] {
        sweep.bytes("what was said", text).assert_clean();
    }
}

#[test]
fn every_secret_of_the_instance_is_looked_for() {
    let manifest = MANIFEST.replace("{name: API_KEY}", "{name: API_KEY}\n  - {name: OTHER_KEY}");
    let notes = Notes::with(&manifest, "exec sleep infinity");
    // Bound to one of the user's.
    let bound = "ghp-bound-Wq7Lr2Xv9Tb4Mc8";
    notes
        .mira(&["set", "MINE", "--stdin"])
        .stdin_bytes(bound)
        .run()
        .assert_code(0);
    notes.run(
        &[
            "secret",
            "bind",
            "--instance",
            "notes",
            "OTHER_KEY",
            "--to",
            "MINE",
        ],
        0,
    );
    // Saved, and declared no more; and the password of the snapshots.
    let scope = format!("instance/{}", notes.ps("notes")["id"].as_str().unwrap());
    let old = "an-old-key-Zk3Np8Qs5Hd1";
    let args = ["set", "OLD_KEY", "--stdin", "--scope", &scope];
    notes.mira(&args).stdin_bytes(old).run().assert_code(0);
    let password = notes.data().join("password");
    let copy = format!("printenv MIRA_SNAPSHOT_PASSWORD > {}", password.display());
    notes.create();
    notes.run(
        &[
            "run",
            "--scope",
            &scope,
            "--only",
            "MIRA_SNAPSHOT_PASSWORD",
            "--",
            "sh",
            "-c",
            &copy,
        ],
        0,
    );
    notes.write("bound", bound);
    notes.write("old", old);
    let refused = notes.json(&["snapshot", "create", "notes", "--json"], 5);
    let found = refused["error"]["found"].as_array().unwrap().iter();
    let names: Vec<_> = found
        .map(|one| (one["path"].clone(), one["name"].clone()))
        .collect();
    let expect = [
        ("/data/bound", "OTHER_KEY"),
        ("/data/old", "OLD_KEY"),
        ("/data/password", "MIRA_SNAPSHOT_PASSWORD"),
    ];
    assert_eq!(names, expect.map(|(path, name)| (json!(path), json!(name))));
    // Of others it says nothing.
    fs::remove_file(password).unwrap();
    notes.write("old", "gone");
    notes.write("bound", "gone");
    notes.create();
}

#[test]
fn a_restore_over_a_state_with_a_secret_needs_a_word() {
    let notes = Notes::new();
    notes.write("note", "milk");
    notes.create();
    notes.write("note", "tea");
    notes.write("bad", VALUE);
    let refused = notes.run(&["snapshot", "restore", "notes", "latest", "--yes"], 5);
    for part in ["/data/bad", "--leave-out", "--no-safety"] {
        assert!(refused.stderr_text().contains(part), "{part}: {refused:?}");
    }
    assert_eq!(notes.read("note"), "tea", "nothing was restored");
    let args = [
        "snapshot",
        "restore",
        "notes",
        "latest",
        "--yes",
        "--leave-out",
    ];
    let restored = notes.run(&args, 0);
    assert!(
        restored.stderr_text().contains("is gone with the state"),
        "{restored:?}"
    );
    assert_eq!(notes.read("note"), "milk");
    assert!(!notes.data().join("bad").exists());
    let safety = notes.list().pop().unwrap();
    assert_eq!(safety["files"], 1, "the file with the value is not in it");

    notes.write("bad", VALUE);
    let args = [
        "snapshot",
        "restore",
        "notes",
        safety["id"].as_str().unwrap(),
        "--yes",
        "--no-safety",
    ];
    notes.run(&args, 0);
    assert_eq!(notes.read("note"), "tea");
    assert_eq!(notes.list().len(), 2);
}

#[test]
fn what_is_sealed_in_the_package_is_looked_for_too_and_its_password_asked_for() {
    let manifest = MANIFEST.replace("{name: API_KEY}", "{name: API_KEY}\n  - {name: SEALED_KEY}");
    let notes = Notes::with(&manifest, "exec sleep infinity");
    let sealed = "sealed-Rm2Vx7Kt9Pq4Zs1";
    let name: SecretName = "SEALED_KEY".parse().unwrap();
    let bytes = |text: &str| SecretBytes::copy_from(text.as_bytes());
    let value = SecretValue::new(&name, bytes(sealed)).unwrap();
    // Guesses at it cost milliseconds.
    let password = Recipients::dangerous_passphrase(bytes("a password"), 10);
    let mut options = PackOptions::default();
    options.sealed = Some(seal(&[(name, value)], &password).unwrap());
    let package = notes.home.path().join("notes.mira");
    pack(&notes.app(), &package, &options).unwrap();
    let file = notes.home.path().join("password");
    fs::write(&file, "a password\n").unwrap();
    let opens = ["--password-file", file.to_str().unwrap()];
    let open = ["open", package.to_str().unwrap(), "-d"];
    notes.run(&[&open[..], &opens].concat(), 0);

    notes.write("note", &format!("it is {sealed}"));
    let create = ["snapshot", "create", "notes", "--json"];
    let asked = notes.json(&create, 3);
    let said = asked["error"]["message"].as_str().unwrap();
    assert!(said.contains("--password-file"), "{said}");
    let refused = notes.json(&[&create[..], &opens].concat(), 5);
    let found = &refused["error"]["found"][0];
    assert_eq!(
        (&found["name"], &found["offset"]),
        (&json!("SEALED_KEY"), &json!(6))
    );
    notes.write("note", "it is nothing");
    notes.run(&[&create[..], &opens].concat(), 0);
}
