//! `mira review`: a diff of the person's own, reviewed by the instance's program with its key, in a room of its own.

use std::fs;
use std::process::{Output, Stdio};

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::model_server::{ModelServer, Reply};
use mira_testkit::origin::Origin;
use serde_json::Value;

use super::town::{BEDROCK, KEY, OWN, Server, Town, report};

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
fn a_service_at_an_address_of_ones_own_gets_the_key_that_is_for_it_once_it_is_allowed() {
    const OWN_KEY: &str = "canary-own-3fX9qLmB7tZw2KdP";
    let town = Town::new();
    let server = Server::start(&town, &[]);
    server.open_reviewer(None);
    server.mira(&["stop", "reviewer"], 0);
    let listener = town.world.listen(&format!("{}:8000", OWN.1));
    let tls = Some(town.world.ca().server(&[OWN.0]));
    let own = ModelServer::start_on(listener, tls, Some(OWN_KEY), |_| report());
    server
        .house
        .save("reviewer", "REVIEWER_MODEL_API_KEY", OWN_KEY);
    let host = format!("{}:8000", OWN.0);
    let base = format!("REVIEWER_MODEL_BASE_URL=https://{host}/v1");
    let once = ["--with", "REVIEWER_MODEL_RETRIES=0", "--with", &base];
    server.mira(&[&["start", "reviewer", "-d"], &once[..]].concat(), 0);

    let refused = review(&server, &["--diff", "-"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = text(&refused.stderr);
    let allow = format!("mira net allow reviewer {host}");
    assert!(told.contains("cannot be reached"), "{told}");
    assert!(told.contains(&allow) && !told.contains("--allow"), "{told}");
    server.mira(&["net", "allow", "reviewer", &host], 0);

    let found = review(&server, &["--diff", "-"]);
    assert!(found.status.success(), "{found:?}");
    assert!(text(&found.stdout).contains("It panics"), "{found:?}");
    server.send("opened", "e-1");
    server.until_delivered("e-1", "done");
    let events = server.json(&["hooks", "list", "--json"]);
    let event = server.mira(&["hooks", "show", events[0]["id"].as_str().unwrap()], 0);
    assert!(text(&event.stdout).contains("done, 1 try,"), "{event:?}");
    let asked = own.requests();
    let keys: Vec<_> = asked.iter().map(|one| one.bearer.as_deref()).collect();
    assert_eq!(keys, [Some(OWN_KEY); 2], "the command's and the service's");
    assert!(town.model.requests().is_empty());
    let sweep = Sweep::new(&[Canary::new("OWN_KEY", OWN_KEY), Canary::new("KEY", KEY)]);
    for output in [&refused, &found, &server.mira(&["logs", "reviewer"], 0)] {
        sweep.bytes("stdout", &output.stdout).assert_clean();
        sweep.bytes("stderr", &output.stderr).assert_clean();
    }
}

#[test]
fn bedrock_is_asked_with_keys_of_aws_that_the_reviewer_does_not_hold() {
    const KEYS: [(&str, &str); 3] = [
        ("AWS_ACCESS_KEY_ID", "AKIACANARY7REVIEWER1"),
        (
            "AWS_SECRET_ACCESS_KEY",
            "canary/Secret+4rZq8Xc2LnT6vBw9KmPy0dGh1",
        ),
        ("AWS_SESSION_TOKEN", "canary-session-FwoGZXIvYXdzEJr7Qk2"),
    ];
    let town = Town::new();
    let server = Server::start(&town, &[]);
    server.open_reviewer(None);
    server.mira(&["stop", "reviewer"], 0);
    let listener = town.world.listen(&format!("{}:443", BEDROCK.1));
    let tls = town.world.ca().server(&[BEDROCK.0]);
    let bedrock = Origin::start(listener, Some(tls));
    for (name, value) in KEYS {
        server.house.save("reviewer", name, value);
    }
    let settings = [
        "REVIEWER_MODEL_API=bedrock",
        "REVIEWER_MODEL_BASE_URL=",
        "AWS_REGION=eu-west-1",
    ];
    let settings = settings.into_iter().flat_map(|one| ["--with", one]);
    let start: Vec<_> = ["start", "reviewer", "-d"]
        .into_iter()
        .chain(settings)
        .collect();
    server.mira(&start, 0);

    // This server knows no models: what counts is what came to it.
    let failed = review(&server, &["--diff", "-"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(text(&failed.stderr).contains("status 404"), "{failed:?}");
    let asked = bedrock.wait_for_requests(1);
    assert!(asked[0].target.starts_with("/model/anthropic"), "{asked:?}");
    let signature = asked[0].header("authorization").unwrap();
    let scope = format!("Credential={}/", KEYS[0].1);
    assert!(signature.contains(&scope), "{signature}");
    assert!(signature.contains("/eu-west-1/bedrock/"), "{signature}");
    assert_eq!(asked[0].header("x-amz-security-token"), Some(KEYS[2].1));
    let canaries = KEYS.map(|(name, value)| Canary::new(name, value));
    let service = server.house.pid("reviewer", "web");
    let environ = fs::read(format!("/proc/{service}/environ")).unwrap();
    Sweep::new(&canaries)
        .bytes("environ", &environ)
        .assert_clean();
}

#[test]
fn a_configuration_that_is_a_link_or_a_pipe_is_neither_followed_nor_waited_for() {
    let town = Town::new();
    let server = Server::start(&town, &[]);
    server.open_reviewer(None);
    let folder = server.house.home.path().join("home");
    let config = folder.join(".mira.yaml");
    let check = || {
        let refused = review(&server, &["--diff", "-"]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        let told = text(&refused.stderr);
        assert!(told.contains("is a link, or no regular file"), "{told}");
        assert!(!told.contains("SOMEBODY"), "{told}");
        fs::remove_file(&config).unwrap();
    };
    fs::write(folder.join("other.yaml"), "KEY_OF_SOMEBODY: 1\n").unwrap();
    std::os::unix::fs::symlink("other.yaml", &config).unwrap();
    check();
    let made = std::process::Command::new("mkfifo").arg(&config).status();
    assert!(made.unwrap().success());
    check();
    assert!(town.model.requests().is_empty());
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
