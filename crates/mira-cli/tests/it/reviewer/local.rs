//! `mira review`: a diff of the person's own, reviewed by the instance's program with its key, in a room of its own.

use std::fs;
use std::process::{Output, Stdio};

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::model_server::Reply;
use serde_json::Value;

use super::town::{KEY, Server, Town};

const DIFF: &str = "\
diff --git a/a.rs b/a.rs
new file mode 100644
--- /dev/null
+++ b/a.rs
@@ -0,0 +1 @@
+fn a() { b().unwrap() }
";

/// Runs `mira review` in the person's folder.
fn review(server: &Server<'_>, args: &[&str]) -> Output {
    let folder = server.house.home.path().join("home");
    let args = [&["review"][..], args].concat();
    let mut command = server.town.command(&server.house, &args);
    let diff = folder.join("change.diff");
    fs::write(&diff, DIFF).unwrap();
    let stdin = Stdio::from(fs::File::open(diff).unwrap());
    command.current_dir(folder).stdin(stdin).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_diff_is_reviewed_by_the_instance_with_its_key_whether_it_runs_or_not() {
    let town = Town::new();
    let server = Server::start(&town, &[]);
    let none = review(&server, &["--diff", "-"]);
    assert_eq!(none.status.code(), Some(3), "{none:?}");
    assert!(text(&none.stderr).contains("mira open"), "{none:?}");
    server.open_reviewer(None);

    let found = review(&server, &["--diff", "-"]);
    assert!(found.status.success(), "{found:?}");
    assert!(text(&found.stdout).contains("It panics"), "{found:?}");
    let asked = town.model.wait_for_requests(1);
    assert_eq!(asked[0].bearer.as_deref(), Some(KEY));
    server.mira(&["stop", "reviewer"], 0);
    let found = review(
        &server,
        &["--diff", "change.diff", "--format", "json", "reviewer"],
    );
    let findings: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert!(findings.to_string().contains("It panics"), "{findings}");
    let found = review(&server, &["--diff", "change.diff", "--format", "sarif"]);
    let sarif: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(sarif["version"], "2.1.0");

    // What the repository says is heeded: nothing below this confidence.
    let config = server.house.home.path().join("home/.mira.yaml");
    fs::write(&config, "filter: {confidence_threshold: 0.99}\n").unwrap();
    let found = review(&server, &["--diff", "-"]);
    assert!(found.status.success(), "{found:?}");
    assert!(
        !text(&found.stdout).contains("It panics where"),
        "{found:?}"
    );
    fs::remove_file(config).unwrap();

    // A service that tells the key does not tell it to the person.
    town.model
        .script(Reply::error(400, "invalid_value", "No:").echoes_key());
    let failed = review(&server, &["--diff", "-"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let sweep = Sweep::new(&[Canary::new("KEY", KEY)]);
    for output in [&none, &found, &failed] {
        sweep.bytes("stdout", &output.stdout).assert_clean();
        sweep.bytes("stderr", &output.stderr).assert_clean();
    }
    let missing = review(&server, &["--diff", "nothing.diff"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(
        text(&missing.stderr).contains("nothing.diff"),
        "{missing:?}"
    );
}

#[test]
fn without_a_key_it_is_said_how_to_save_one() {
    let town = Town::new();
    let server = Server::start(&town, &[]);
    server.open_reviewer(None);
    server.mira(&["stop", "reviewer"], 0);
    server.mira(
        &[
            "secret",
            "rm",
            "--instance",
            "reviewer",
            "OPENAI_API_KEY",
            "--yes",
        ],
        0,
    );
    let failed = review(&server, &["--diff", "-"]);
    assert_eq!(failed.status.code(), Some(3), "{failed:?}");
    let told = text(&failed.stderr);
    assert!(told.contains("OPENAI_API_KEY"), "{told}");
    assert!(
        told.contains("mira secret set --instance reviewer"),
        "{told}"
    );
    assert!(town.model.requests().is_empty());
}
