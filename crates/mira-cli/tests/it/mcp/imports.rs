//! Configurations of clients: keys move into the vault, the client runs Mira, and all of it can be undone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::TestHome;
use serde_json::Value;

use super::client::Client;
use crate::support::{MIRA, VALUE, keyfile_home, mira};

const OTHER: &str = "hunter2-7Fq2mXv9LrT4";

/// A configuration with a program, a server behind a URL, one without a key, and one that refers to the client's own.
fn config() -> String {
    format!(
        r#"{{
  "theme": "dark",
  "mcpServers": {{
    "My Shell": {{
      "command": "sh",
      "args": ["-c", "read line; printf '{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"protocolVersion\":\"2025-06-18\",\"key\":\"%s\",\"level\":\"%s\"}}}}\\n' \"$API_KEY\" \"$LEVEL\""],
      "env": {{ "API_KEY": "{VALUE}", "LEVEL": "debug" }},
      "disabled": false
    }},
    "remote": {{
      "type": "http",
      "url": "https://mcp.example.com/mcp",
      "headers": {{ "Authorization": "Bearer {OTHER}" }}
    }},
    "plain": {{ "command": "cat" }},
    "refers": {{ "command": "cat", "env": {{ "TOKEN": "${{env:TOKEN}}" }} }}
  }}
}}
"#
    )
}

fn write(home: &TestHome) -> PathBuf {
    let file = home.path().join("home/.cursor/mcp.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, config()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    file
}

#[test]
fn keys_move_into_the_vault_and_the_client_runs_mira() {
    let home = keyfile_home();
    let file = write(&home);
    let path = file.to_str().unwrap();
    let shown = mira(&home, &["mcp", "import", "--dry-run"])
        .run()
        .assert_code(0);
    let told = shown.stderr_text();
    assert!(
        told.contains("(Cursor):") && told.contains("API_KEY") && told.contains("AUTHORIZATION"),
        "{told}"
    );
    assert!(
        told.contains("refers: TOKEN refers to something that only the client knows"),
        "{told}"
    );
    assert!(!told.contains(VALUE) && !told.contains(OTHER), "{told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), config());
    // Nothing is done without consent.
    mira(&home, &["mcp", "import", path]).run().assert_code(3);
    assert_eq!(fs::read_to_string(&file).unwrap(), config());

    let done = mira(&home, &["mcp", "import", path, "--yes"])
        .run()
        .assert_code(0);
    assert!(done.stderr_text().contains("moved 2 secrets"), "{done:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("\"theme\": \"dark\"") && text.contains("\"disabled\": false"),
        "{text}"
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let now: Value = serde_json::from_str(&text).unwrap();
    let shell = &now["mcpServers"]["My Shell"];
    assert_eq!(shell["command"], MIRA);
    assert_eq!(shell["args"], serde_json::json!(["mcp", "run", "My-Shell"]));
    let mira_home = home.mira_home();
    assert_eq!(
        shell["env"],
        serde_json::json!({"MIRA_HOME": mira_home.to_str().unwrap()})
    );
    assert_eq!(now["mcpServers"]["remote"]["type"], "stdio");
    assert_eq!(now["mcpServers"]["remote"].get("url"), None);
    assert_eq!(now["mcpServers"]["plain"]["command"], "cat");
    Sweep::new(&[
        Canary::new("API_KEY", VALUE),
        Canary::new("AUTHORIZATION", OTHER),
    ])
    .folder(home.path())
    .assert_clean();

    // As the client would start it.
    let mut client = Client::spawn(
        &home,
        shell["command"].as_str().unwrap(),
        &["mcp", "run", "My-Shell"],
    );
    let answer = client.ask("initialize", &Value::Null);
    assert_eq!(answer["result"]["key"], "[redacted:API_KEY]");
    assert_eq!(answer["result"]["level"], "debug");

    // Once more: there is nothing left to do.
    let again = mira(&home, &["mcp", "import", path, "--yes"])
        .run()
        .assert_code(0);
    assert!(
        again.stderr_text().contains("there is no key to move"),
        "{again:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn an_import_is_undone_without_values_or_with_them() {
    let home = keyfile_home();
    let file = write(&home);
    let path = file.to_str().unwrap();
    let before: Value = serde_json::from_str(&config()).unwrap();
    let run = |args: &[&str]| {
        mira(&home, &[&["mcp", "import", path], args].concat())
            .run()
            .assert_code(0)
    };
    run(&["--yes"]);
    run(&["--undo", "--yes"]);
    let mut expect = before.clone();
    expect["mcpServers"]["My Shell"]["env"]["API_KEY"] = "".into();
    expect["mcpServers"]["remote"]["headers"]["Authorization"] = "".into();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        expect,
        "{text}"
    );
    // The servers stay, and the file is none of theirs any more.
    mira(&home, &["mcp", "import", path, "--undo", "--yes"])
        .run()
        .assert_code(3);

    fs::write(&file, config()).unwrap();
    run(&["--yes"]);
    let listed = mira(&home, &["mcp", "list", "--json"]).run().assert_code(0);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        listed.as_array().unwrap().len(),
        2,
        "the same servers are found again: {listed}"
    );
    mira(&home, &["mcp", "import", path, "--undo", "--with-values"])
        .run()
        .assert_code(3);
    run(&["--undo", "--with-values", "--yes"]);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        before,
        "{text}"
    );
}

#[test]
fn a_server_of_the_same_name_with_another_key_gets_a_name_of_its_own() {
    let home = keyfile_home();
    let entry = |value: &str| {
        format!(
            r#"{{"mcpServers": {{"x": {{"command": "cat", "env": {{"API_KEY": "{value}"}}}}}}}}"#
        )
    };
    for (name, value) in [("a.json", VALUE), ("b.json", OTHER), ("c.json", VALUE)] {
        let file = home.path().join("home").join(name);
        fs::write(&file, entry(value)).unwrap();
        mira(&home, &["mcp", "import", name, "--yes"])
            .run()
            .assert_code(0);
    }
    let run_by = |name: &str| {
        let text = fs::read_to_string(home.path().join("home").join(name)).unwrap();
        let now: Value = serde_json::from_str(&text).unwrap();
        now["mcpServers"]["x"]["args"][2]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        ["a.json", "b.json", "c.json"].map(run_by),
        ["x", "x-2", "x"]
    );
}

#[test]
fn files_that_must_not_be_changed_are_not() {
    let home = keyfile_home();
    let file = write(&home);
    let refused = |args: &[&str], expect: &str| {
        let run = mira(&home, &[&["mcp", "import", "--yes"], args].concat()).run();
        assert_ne!(run.code(), Some(0), "{run:?}");
        assert!(run.stderr_text().contains(expect), "{expect}: {run:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), config());
    };
    let link = home.path().join("home/link.json");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    refused(
        &[link.to_str().unwrap()],
        ".cursor/mcp.json; name that file",
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    refused(&[file.to_str().unwrap()], "is read-only");
    refused(&["none.json"], "none.json");
}

#[test]
fn a_person_says_what_is_a_secret_where_a_guess_is_wrong() {
    let home = keyfile_home();
    let file = home.path().join("home/x.json");
    let text = format!(
        r#"{{"mcpServers": {{"x": {{"command": "cat", "args": ["--key={VALUE}"], "env": {{"WORD": "open-sesame", "KEY": "C-major-7"}}}}}}}}"#
    );
    fs::write(&file, &text).unwrap();
    let run = mira(
        &home,
        &[
            "mcp",
            "import",
            "x.json",
            "--yes",
            "--secret",
            "WORD",
            "--setting",
            "KEY",
        ],
    )
    .run()
    .assert_code(0);
    assert!(
        run.stderr_text()
            .contains("x: argument 1 looks like a secret and stays in plain"),
        "{run:?}"
    );
    assert!(!run.stderr_text().contains(VALUE), "{run:?}");
    let servers = fs::read_to_string(home.mira_home().join("mcp.json")).unwrap();
    let servers: Value = serde_json::from_str(&servers).unwrap();
    assert_eq!(
        servers["servers"]["x"]["secrets"],
        serde_json::json!(["WORD"])
    );
    assert_eq!(servers["servers"]["x"]["settings"]["KEY"], "C-major-7");
}
