//! `mira aws`: credentials are tried before they are saved, shown without their values, and delivered as AWS's tools expect them.

use std::process::Command;

use mira_testkit::aws_server::{AwsServer, AwsService};
use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::{Invocation, Run, TestHome};
use mira_testkit::origin::AwsKeys;
use mira_testkit::terminal::Terminal;
use serde_json::{Value, json};

use crate::support::{MIRA, keyfile_home, list, mira, set};

const LONG: &str = "AKIAQ7WX2M4PKZ5TJ3VB";
const SHORT: &str = "ASIAQ7WX2M4PKZ5TJ3VB";
const SECRET: &str = "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";
const TOKEN: &str = "IQoJb3JpZ2luX2VjEPr+Zq8LmN3vXy7RtBw2HcKd9PfGs4/Tj6==";

fn server(id: &str, token: Option<&str>) -> AwsServer {
    AwsServer::start(AwsKeys {
        access_key_id: id.to_owned(),
        secret_access_key: SECRET.to_owned(),
        session_token: token.map(str::to_owned),
    })
}

/// What `aws sts get-session-token` prints.
fn temporary(expires: &str) -> String {
    json!({"Credentials": {"AccessKeyId": SHORT, "SecretAccessKey": SECRET, "SessionToken": TOKEN, "Expiration": expires}})
        .to_string()
}

/// The lines of a profile.
fn long_term(id: &str, secret: &str) -> String {
    format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")
}

fn saving(home: &TestHome, input: String, more: &[&str]) -> Invocation {
    mira(home, &["aws", "set", "--stdin", "--region", "eu-central-1"])
        .args(more)
        .stdin_bytes(input)
}

/// Saves credentials without a try.
fn saved(home: &TestHome, input: String) -> Run {
    saving(home, input, &["--no-test", "--replace"])
        .run()
        .assert_code(0)
}

fn no_value_in(run: &Run) {
    let canaries = [
        Canary::new("ID", LONG),
        Canary::new("SHORT_ID", SHORT),
        Canary::new("SECRET", SECRET),
        Canary::new("TOKEN", TOKEN),
    ];
    let sweep = Sweep::new(&canaries);
    sweep.bytes("stdout", &run.stdout).assert_clean();
    sweep.bytes("stderr", &run.stderr).assert_clean();
}

fn shown(home: &TestHome) -> Value {
    let run = mira(home, &["aws", "show", "--json"]).run().assert_code(0);
    no_value_in(&run);
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn good_keys_are_tried_and_saved_in_one_encrypted_entry() {
    let home = keyfile_home();
    let server = server(SHORT, Some(TOKEN));
    let run = saving(
        &home,
        temporary("2099-01-02T03:04:05Z"),
        &["--endpoint-url", &server.url()],
    )
    .run()
    .assert_code(0);
    no_value_in(&run);
    let told = run.stderr_text();
    assert!(told.contains("arn:aws:iam::123456789012:user/me"), "{told}");
    assert!(
        told.contains("saved ASIA…J3VB as AWS_CREDENTIALS"),
        "{told}"
    );
    assert_eq!(server.asked(), ["POST /", "GET /foundation-models"]);
    let listed = list(&home);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["kind"], "aws-credentials");
    let mut facts = shown(&home);
    facts.as_object_mut().unwrap().remove("saved");
    assert_eq!(
        facts,
        json!({
            "access_key_id": "ASIA…J3VB", "temporary": true, "expires": "2099-01-02T03:04:05Z", "expired": false,
            "region": "eu-central-1", "version": 1,
        })
    );
    let canaries = [
        Canary::new("SECRET", SECRET),
        Canary::new("TOKEN", TOKEN),
        Canary::new("ID", SHORT),
    ];
    Sweep::new(&canaries).folder(home.path()).assert_clean();
}

#[test]
fn what_aws_refuses_is_not_saved_unless_the_person_insists() {
    let other = SECRET.replace('h', "i");
    let check = |input: String, prepare: &dyn Fn(&AwsServer), says: &str| {
        let home = keyfile_home();
        let server = server(LONG, None);
        prepare(&server);
        let url = ["--endpoint-url", &server.url()];
        let run = saving(&home, input.clone(), &url).run().assert_code(1);
        no_value_in(&run);
        let told = run.stderr_text();
        assert!(told.contains(says), "{says}: {told}");
        assert!(told.contains("nothing was saved"), "{told}");
        assert!(list(&home).is_empty());
        assert!(!home.mira_home().join("settings.json").exists());
        let insisted = [&url[..], &["--force"]].concat();
        saving(&home, input, &insisted).run().assert_code(0);
        assert_eq!(list(&home).len(), 1);
    };
    check(
        long_term(LONG, &other),
        &|_| {},
        "secret access key is wrong",
    );
    check(
        long_term(&LONG.replace('Q', "R"), SECRET),
        &|_| {},
        "no such access key",
    );
    check(
        long_term(LONG, SECRET),
        &|server| server.set_clock(3600 * 5 + 9),
        "5 hours behind",
    );
    check(
        long_term(LONG, SECRET),
        &|server| {
            server.refuse(
                AwsService::Bedrock,
                403,
                "AccessDeniedException",
                "Not you.",
            )
        },
        "bedrock:ListFoundationModels",
    );
    check(
        long_term(LONG, SECRET),
        &|server| server.refuse(AwsService::Sts, 403, "ExpiredToken", "Over."),
        "expired",
    );
}

#[test]
fn what_is_no_key_is_refused_before_anything_is_called() {
    let home = keyfile_home();
    let check = |input: &str, says: &str| {
        let run = saving(
            &home,
            input.to_owned(),
            &["--endpoint-url", "http://127.0.0.1:9"],
        )
        .run()
        .assert_code(1);
        no_value_in(&run);
        let told = run.stderr_text();
        assert!(told.contains(says), "{says}: {told}");
        assert!(list(&home).is_empty());
    };
    check(&long_term(SECRET, LONG), "no access key id");
    check(&long_term(LONG, LONG), "no secret access key");
    check(&long_term(SHORT, SECRET), "session token");
    check("nothing of that kind", "");
    let told = mira(&home, &["aws", "set"]).run().assert_code(3);
    assert!(
        told.stderr_text().contains("--stdin"),
        "{}",
        told.stderr_text()
    );
}

#[test]
fn keys_are_not_sent_over_an_open_line() {
    let home = keyfile_home();
    let url = "http://sts.example.com";
    saving(&home, long_term(LONG, SECRET), &["--endpoint-url", url])
        .run()
        .assert_code(2);
    saving(&home, long_term(LONG, SECRET), &[])
        .env("AWS_ENDPOINT_URL", url)
        .run()
        .assert_code(2);
    assert!(list(&home).is_empty());
}

#[test]
fn a_profile_of_awss_own_tools_is_taken() {
    let home = keyfile_home();
    let folder = home.path().join("home/.aws");
    std::fs::create_dir(&folder).unwrap();
    let credentials = format!(
        "{}\n[work]\naws_access_key_id={SHORT}\naws_secret_access_key={SECRET}\naws_session_token={TOKEN}\n",
        long_term(LONG, SECRET)
    );
    std::fs::write(folder.join("credentials"), credentials).unwrap();
    std::fs::write(
        folder.join("config"),
        "[profile work]\nregion = eu-west-3\n[profile web]\nsso_session = corp\n",
    )
    .unwrap();
    let run = mira(
        &home,
        &[
            "aws",
            "set",
            "--profile",
            "work",
            "--no-test",
            "--expires",
            "12h",
        ],
    )
    .run()
    .assert_code(0);
    no_value_in(&run);
    let facts = shown(&home);
    assert_eq!(facts["region"], "eu-west-3");
    assert_eq!(facts["access_key_id"], "ASIA…J3VB");
    assert_eq!(facts["expired"], false);
    let unknown = mira(&home, &["aws", "set", "--profile", "home", "--replace"])
        .run()
        .assert_code(1);
    assert!(
        unknown.stderr_text().contains("default, web, work"),
        "{}",
        unknown.stderr_text()
    );
    let elsewhere = mira(&home, &["aws", "set", "--profile", "web", "--replace"])
        .run()
        .assert_code(1);
    assert!(
        elsewhere.stderr_text().contains("export-credentials"),
        "{}",
        elsewhere.stderr_text()
    );
}

#[test]
fn keys_are_asked_for_and_not_shown() {
    let home = keyfile_home();
    let server = server(SHORT, Some(TOKEN));
    let mut command = Command::new(MIRA);
    command
        .args(["aws", "set", "--endpoint-url", &server.url()])
        .env_clear()
        .envs(home.env().iter().cloned());
    let mut terminal = Terminal::start(command);
    terminal.expect("Access key id (not shown): ");
    terminal.send(format!("{SHORT}\n"));
    terminal.expect("Secret access key (not shown): ");
    terminal.send(format!("{SECRET}\n"));
    terminal.expect("Session token (not shown): ");
    terminal.send(format!("{TOKEN}\n"));
    terminal.expect("Region [us-east-1]: ");
    terminal.send("\n");
    terminal.expect("saved ASIA");
    assert_eq!(terminal.wait().code(), Some(0));
    let transcript = terminal.transcript();
    for value in [SHORT, SECRET, TOKEN] {
        assert!(!transcript.contains(value), "{transcript}");
    }
    assert_eq!(shown(&home)["region"], "us-east-1");
}

/// What a program has of AWS's variables, which it writes backwards so that nothing is redacted.
fn delivered(home: &TestHome, more: &[&str]) -> Vec<String> {
    let script = "env | grep ^AWS_ | sort | tr -d '\\n' | rev";
    let run = mira(home, &["run"])
        .args(more)
        .args(["--", "sh", "-c", script])
        .run()
        .assert_code(0);
    let text: String = run.stdout_text().chars().rev().collect();
    text.split("AWS_")
        .filter(|part| !part.is_empty())
        .map(|part| format!("AWS_{part}"))
        .collect()
}

#[test]
fn a_process_gets_the_variables_that_awss_tools_know() {
    let home = keyfile_home();
    saved(&home, temporary("2099-01-02T03:04:05Z"));
    let all = [
        format!("AWS_ACCESS_KEY_ID={SHORT}"),
        "AWS_DEFAULT_REGION=eu-central-1".to_owned(),
        "AWS_REGION=eu-central-1".to_owned(),
        format!("AWS_SECRET_ACCESS_KEY={SECRET}"),
        format!("AWS_SESSION_TOKEN={TOKEN}"),
    ];
    assert_eq!(delivered(&home, &[]), all);
    assert_eq!(delivered(&home, &["--only", "AWS_CREDENTIALS"]), all);
    assert!(delivered(&home, &["--except", "AWS_CREDENTIALS"]).is_empty());
    // Another region wins, and there is one only.
    let other = delivered(&home, &["--with", "AWS_REGION=us-west-2"]);
    assert!(
        other.contains(&"AWS_REGION=us-west-2".to_owned()),
        "{other:?}"
    );
    assert_eq!(other.len(), 4);
    // Long-term keys have no token.
    saved(&home, long_term(LONG, SECRET));
    assert_eq!(delivered(&home, &[]).len(), 4);
}

#[test]
fn each_part_is_redacted_under_its_own_name() {
    let home = keyfile_home();
    saved(&home, temporary("2099-01-02T03:04:05Z"));
    let script = "echo $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY; echo $AWS_SESSION_TOKEN >&2";
    let run = mira(&home, &["run", "--", "sh", "-c", script])
        .run()
        .assert_code(0);
    assert_eq!(
        run.stdout_text(),
        "[redacted:AWS_ACCESS_KEY_ID] [redacted:AWS_SECRET_ACCESS_KEY]\n"
    );
    assert_eq!(run.stderr_text(), "[redacted:AWS_SESSION_TOKEN]\n");
    let filtered = mira(&home, &["redact"])
        .stdin_bytes(format!("a {SECRET} b"))
        .run()
        .assert_code(0);
    assert_eq!(
        filtered.stdout_text(),
        "a [redacted:AWS_SECRET_ACCESS_KEY] b"
    );
}

#[test]
fn keys_of_two_sources_are_never_mixed() {
    let home = keyfile_home();
    saved(&home, long_term(LONG, SECRET));
    let run = |more: &[&str]| {
        mira(&home, &["run"])
            .args(more)
            .args([
                "--",
                "sh",
                "-c",
                "echo ${AWS_ACCESS_KEY_ID:+id} ${AWS_SESSION_TOKEN:-no token}",
            ])
            .env("AWS_SESSION_TOKEN", "of-another-key")
            .run()
    };
    let told = run(&[]).assert_code(2).stderr_text();
    assert!(told.contains("AWS_SESSION_TOKEN"), "{told}");
    assert_eq!(
        run(&["--prefer", "vault"]).assert_code(0).stdout_text(),
        "id no token\n"
    );
    assert_eq!(
        run(&["--prefer", "inherited"]).assert_code(0).stdout_text(),
        "of-another-key\n"
    );
    set(&home, "AWS_ACCESS_KEY_ID", LONG);
    let told = mira(&home, &["run", "--", "true"])
        .run()
        .assert_code(2)
        .stderr_text();
    assert!(
        told.contains("AWS_CREDENTIALS") && told.contains("--except"),
        "{told}"
    );
}

#[test]
fn an_expired_token_is_said_wherever_it_matters() {
    let home = keyfile_home();
    let told = saved(&home, temporary("2020-01-02T03:04:05Z")).stderr_text();
    assert!(told.contains("AWS_CREDENTIALS expired"), "{told}");
    assert_eq!(shown(&home)["expired"], true);
    let told = mira(&home, &["run", "--", "true"])
        .run()
        .assert_code(0)
        .stderr_text();
    assert!(told.contains("AWS_CREDENTIALS expired"), "{told}");
    let text = mira(&home, &["explain", "AWS_SESSION_TOKEN"])
        .run()
        .assert_code(0)
        .stdout_text();
    assert!(text.contains("(expired)"), "{text}");
}

#[test]
fn explain_knows_where_each_part_comes_from() {
    let home = keyfile_home();
    saved(&home, long_term(LONG, SECRET));
    let explain = |name: &str| mira(&home, &["explain", name]).run();
    let text = explain("AWS_SECRET_ACCESS_KEY")
        .assert_code(0)
        .stdout_text();
    assert!(text.contains("as a part of AWS_CREDENTIALS"), "{text}");
    let text = explain("AWS_CREDENTIALS").assert_code(0).stdout_text();
    assert!(
        text.contains("as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"),
        "{text}"
    );
    let text = explain("AWS_REGION").assert_code(0).stdout_text();
    assert!(text.contains("setting: eu-central-1"), "{text}");
    explain("AWS_SESSION_TOKEN").assert_code(3);
}

#[test]
fn a_plain_value_is_no_aws_credentials() {
    let home = keyfile_home();
    let kind = [
        "set",
        "AWS_CREDENTIALS",
        "--stdin",
        "--kind",
        "aws-credentials",
    ];
    let run = mira(&home, &kind).stdin_bytes(SECRET).run().assert_code(2);
    no_value_in(&run);
    assert!(
        run.stderr_text().contains("mira aws set"),
        "{}",
        run.stderr_text()
    );
    saved(&home, long_term(LONG, SECRET));
    let replaced = ["set", "AWS_CREDENTIALS", "--stdin", "--replace"];
    mira(&home, &replaced)
        .stdin_bytes(SECRET)
        .run()
        .assert_code(2);
    assert_eq!(list(&home)[0]["version"], 1);
}

#[test]
fn a_test_says_what_is_wrong_and_exits_with_it() {
    let home = keyfile_home();
    mira(&home, &["aws", "test"]).run().assert_code(3);
    mira(&home, &["aws", "show"]).run().assert_code(3);
    saved(&home, long_term(LONG, SECRET));
    let server = server(LONG, None);
    let test = |more: &[&str]| {
        mira(&home, &["aws", "test"])
            .args(more)
            .env("AWS_ENDPOINT_URL", server.url())
            .run()
    };
    let text = test(&["--model", "amazon.nova-micro-v1:0"])
        .assert_code(0)
        .stdout_text();
    assert!(
        text.contains("account 123456789012")
            && text.contains("2 models")
            && text.contains("it answered"),
        "{text}"
    );
    server.refuse(
        AwsService::Bedrock,
        403,
        "AccessDeniedException",
        "Not you.",
    );
    let run = test(&["--json"]).assert_code(1);
    no_value_in(&run);
    let told: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(told["ok"], false);
    assert_eq!(told["faults"][0]["code"], "no-permission");
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hung.local_addr().unwrap());
    let run = test(&["--json", "--timeout", "1", "--endpoint-url", &url]).assert_code(1);
    let told: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(told["faults"][0]["code"], "timeout");
}

#[test]
fn removing_takes_the_region_too() {
    let home = keyfile_home();
    saved(&home, long_term(LONG, SECRET));
    mira(&home, &["aws", "rm", "--yes"]).run().assert_code(0);
    assert!(list(&home).is_empty());
    let settings = std::fs::read_to_string(home.mira_home().join("settings.json")).unwrap();
    assert!(!settings.contains("eu-central-1"), "{settings}");
}
