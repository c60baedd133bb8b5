//! `mira new`, `mira validate` and `mira inspect`.

use std::fs;

use mira_testkit::home::TestHome;
use serde_json::json;

use super::{folder, home_with_app, json, names, ok, says, write};
use crate::support::mira;

#[test]
fn a_new_app_is_valid_and_has_the_name_and_id_that_were_given() {
    let home = TestHome::new();
    let made = ok(&home, &["new", "shop/my app", "--id", "org.acme.my-app"]);
    says(&made, "cd 'shop/my app'");
    let app = folder(&home).join("shop/my app");
    assert_eq!(names(&app), ["README.md", "mira.yaml", "web.py"]);
    let valid = mira(&home, &["validate"])
        .current_dir(&app)
        .run()
        .assert_code(0);
    assert_eq!(valid.stdout_text(), "");
    says(
        &valid,
        "mira.yaml is valid: my app 0.1.0 (org.acme.my-app), 1 service, 1 secret",
    );

    // An empty folder that is there is taken, and its own id is told to be only an example.
    fs::create_dir(folder(&home).join("empty")).unwrap();
    says(&ok(&home, &["new", "empty"]), "write an id of your own");
    ok(&home, &["validate", "empty/mira.yaml"]);
}

#[test]
fn a_new_app_never_goes_over_what_is_there() {
    let home = TestHome::new();
    write(&home, "full/notes", "mine");
    write(&home, "file", "mine");
    says(
        &mira(&home, &["new", "full"]).run().assert_code(1),
        "not empty",
    );
    says(
        &mira(&home, &["new", "file"]).run().assert_code(1),
        "is no folder",
    );
    says(
        &mira(&home, &["new", "x", "--id", "one"])
            .run()
            .assert_code(2),
        "--id: ",
    );
    mira(&home, &["new", "/"]).run().assert_code(2);
    assert_eq!(names(&folder(&home).join("full")), ["notes"]);
    assert!(!folder(&home).join("x").exists());
}

#[test]
fn validate_names_all_faults_at_once_with_their_places() {
    let home = home_with_app();
    let path = folder(&home).join("app/mira.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text
        .replace("version: 1.2.3", "version: one")
        .replace("deliver: file", "deliver: fil");
    fs::write(&path, text).unwrap();
    write(&home, "app/.env", "API_KEY=x\n");
    let found = mira(&home, &["validate", "app"]).run().assert_code(1);
    let told = found.stdout_text();
    let lines: Vec<&str> = told.lines().collect();
    let begins = [
        "app/mira.yaml:4:10: version: ",
        "app/mira.yaml:9:28: secrets[1].deliver: ",
        "package: \".env\" ",
    ];
    assert_eq!(lines.len(), begins.len(), "{told}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
    assert!(lines[1].ends_with("did you mean `file`?"), "{told}");
    says(&found, "3 faults to mend");

    let found = json(
        &mira(&home, &["validate", "app", "--json"])
            .run()
            .assert_code(1),
    );
    assert_eq!(found["valid"], false);
    assert_eq!(found["faults"][0]["line"], 4);
    assert_eq!(found["faults"][1]["suggestion"], "did you mean `file`?");
    assert!(
        found["refused"].as_str().unwrap().contains(".env"),
        "{found}"
    );

    let nothing = mira(&home, &["validate", "nowhere"]).run().assert_code(1);
    says(&nothing, "there is no nowhere/mira.yaml");
}

#[test]
fn inspect_shows_what_an_app_asks_for_as_text_and_as_json() {
    let home = home_with_app();
    ok(&home, &["pack", "app", "-o", "app.mira"]);
    let shown = ok(&home, &["inspect", "app.mira"]);
    for part in [
        "App 1.2.3",
        "org.example.app",
        "unsigned",
        "may call api.example.org",
        "volumes  data",
        "web      python3 main.py  http 8080 open",
        "API_KEY  yes       env       all              no",
        "TOKEN    no        file      all              no",
        "15     main.py",
    ] {
        says(&shown, part);
    }
    let found = json(&ok(&home, &["inspect", "app.mira", "--json"]));
    assert_eq!(found["trust"], "unsigned");
    assert_eq!(found["network"], json!(["api.example.org"]));
    assert_eq!(found["secrets"][0]["name"], "API_KEY");
    assert_eq!(found["secrets"][0]["sealed"], false);
    assert_eq!(found["files"][0]["path"], "main.py");
    let bytes = super::read(&home, "app.mira").len();
    assert_eq!(found["bytes"], bytes);

    // A folder is shown as the package that would be made of it.
    let of_folder = json(&ok(&home, &["inspect", "app", "--json"]));
    assert_eq!(of_folder["digest"], found["digest"]);
    assert_eq!(of_folder["bytes"], serde_json::Value::Null);
}

#[test]
fn inspect_refuses_what_is_no_package() {
    let home = home_with_app();
    mira(&home, &["inspect", "nowhere"]).run().assert_code(1);
    mira(&home, &["inspect", "pw"]).run().assert_code(5);
    write(&home, "broken/mira.yaml", "kind: mira.app/v1\n");
    let broken = mira(&home, &["inspect", "broken", "--json"])
        .run()
        .assert_code(1);
    assert_eq!(json(&broken)["error"]["kind"], "failed");
    says(&broken, "mira.yaml:1:1: ");
}

#[test]
fn inspect_shows_nothing_that_a_terminal_obeys() {
    let home = home_with_app();
    let path = folder(&home).join("app/mira.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("[python3, main.py]", "[sh, -c, \"a\\e]0;x\\a\\u202e b\"]"),
    )
    .unwrap();
    let shown = ok(&home, &["inspect", "app"]).stdout_text();
    assert!(
        shown.contains("sh -c \"a\\u{1b}]0;x\\u{7}\\u{202e} b\""),
        "{shown}"
    );
    assert!(
        !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']),
        "{shown:?}"
    );
}
