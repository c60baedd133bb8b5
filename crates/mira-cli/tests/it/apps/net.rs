//! `mira net`: decisions about hosts, the rules that come of them, and the record as people and programs read it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use mira_gate::{Attempt, Audit, Entry, How, Keep, Reason, Verdict};
use mira_host::network::NetworkMode;
use mira_package::manifest::{Host, HostPattern};
use mira_testkit::home::{Run, TestHome};
use serde_json::{Value, json};

use super::house::House;
use crate::support::MIRA;

/// Calls one host by its own account, and brings secrets to others.
const CALLER: &str = r#"
kind: mira.app/v1
id: org.example.caller
name: Caller
version: 1.0.0
services: [{name: web, command: [sleep, infinity]}]
secrets:
  - {name: MODEL_KEY, deliver: brokered, hosts: [api.example.org, "*.example.net:8443"], query: [key]}
network: {allow: [www.example.org, "localhost:11434"]}
state: {volumes: [{name: data}]}
"#;

/// A house with a caller that does not run.
fn house() -> House {
    let house = House::without_vault(TestHome::new());
    let app = house.app("caller", CALLER);
    house.run(&["open", app.path(), "-d"], 0);
    house.run(&["stop", "caller"], 0);
    house
}

/// Returns an instance's rules, in words.
#[track_caller]
fn rules(house: &House, instance: &str) -> Vec<String> {
    let rules = house.json(&["net", "rules", instance, "--json"], 0);
    let word = |rule: &Value| {
        let word = if rule["allow"] == true { "+" } else { "-" };
        let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        format!(
            "{word}{} {}{}",
            text("hosts"),
            text("origin"),
            text("secret")
        )
    };
    rules.as_array().unwrap().iter().map(word).collect()
}

const MANIFEST_RULES: [&str; 4] = [
    "+www.example.org manifest",
    "+localhost:11434 manifest",
    "+api.example.org secretMODEL_KEY",
    "+*.example.net:8443 secretMODEL_KEY",
];

#[test]
fn decisions_come_after_the_manifest_and_are_taken_back() {
    let house = house();
    assert_eq!(rules(&house, "caller"), MANIFEST_RULES);
    let told = house.run(&["net", "rules", "caller"], 0);
    assert!(
        told.stdout_text()
            .contains("allow  *.example.net:8443  secret MODEL_KEY\n"),
        "{told:?}"
    );

    house.run(
        &["net", "deny", "caller", "www.example.org", "*.example.com"],
        0,
    );
    house.run(&["net", "allow", "caller", "cdn.example.com:443"], 0);
    let decided = [
        "-www.example.org decision",
        "-*.example.com decision",
        "+cdn.example.com decision",
    ];
    assert_eq!(
        rules(&house, "caller"),
        [&MANIFEST_RULES[..], &decided].concat()
    );
    let ps = house.ps("caller");
    assert_eq!(ps["decisions"][0]["hosts"], "www.example.org");
    assert_eq!(ps["decisions"][0]["allow"], false);

    // The last word counts, and is the last in the list.
    house.run(&["net", "allow", "caller", "www.example.org"], 0);
    assert_eq!(
        rules(&house, "caller").last().unwrap(),
        "+www.example.org decision"
    );
    let forgotten = ["cdn.example.com", "www.example.org", "*.example.com"];
    house.run(&[&["net", "forget", "caller"], &forgotten[..]].concat(), 0);
    assert_eq!(rules(&house, "caller"), MANIFEST_RULES);
    let refused = house.run(&["net", "forget", "caller", "cdn.example.com"], 3);
    assert!(
        refused.stderr_text().contains("  cdn.example.com\n"),
        "{refused:?}"
    );
}

#[test]
fn a_host_in_another_spelling_is_refused_and_nothing_is_decided() {
    let house = house();
    for wrong in [
        "https://api.example.org",
        "API.example.org",
        "127.1",
        "b\u{fc}cher.example",
        "*.org",
    ] {
        let args = ["net", "allow", "caller", "fine.example.org", wrong];
        house.run(&args, 2);
    }
    house.run(&["net", "allow", "caller"], 2);
    house.run(&["net", "allow", "nobody", "api.example.org"], 3);
    assert_eq!(rules(&house, "caller"), MANIFEST_RULES);
}

#[test]
fn all_names_are_allowed_with_a_word_of_warning() {
    let house = house();
    let told = house.run(&["net", "allow", "caller", "*"], 0);
    assert!(told.stderr_text().contains("all public names"), "{told:?}");
    house.run(
        &["net", "test", "caller", "https://anybody.example.com/"],
        0,
    );
}

#[test]
fn a_decision_about_an_instance_that_runs_says_when_it_takes_effect() {
    let house = house();
    let told = house.run(&["net", "allow", "caller", "a.example.org"], 0);
    assert!(!told.stderr_text().contains("takes effect"), "{told:?}");
    house.run(&["start", "caller", "-d"], 0);
    let told = house.run(&["net", "allow", "caller", "b.example.org"], 0);
    assert!(told.stderr_text().contains("takes effect"), "{told:?}");
}

#[test]
fn a_copy_has_the_decisions_and_a_deleted_instance_none() {
    let house = House::new();
    let app = house.app("caller", CALLER);
    house.run(&["open", app.path(), "-d"], 0);
    house.run(&["stop", "caller"], 0);
    house.run(&["net", "deny", "caller", "www.example.org"], 0);
    record(&house, "caller").refused("one.example.com", How::Tunnel);
    let folder = house.file("caller", "net");
    house.run(&["duplicate", "caller", "--name", "copy"], 0);
    assert_eq!(
        rules(&house, "copy").last().unwrap(),
        "-www.example.org decision"
    );
    assert!(!house.file("copy", "net").exists());
    assert!(folder.join("net.jsonl").exists());
    house.run(&["delete", "caller", "--yes"], 0);
    assert!(!folder.exists());
    assert_eq!(rules(&house, "copy").len(), MANIFEST_RULES.len() + 1);
}

#[test]
fn an_address_is_tested_by_the_last_rule_that_fits() {
    let house = house();
    house.run(&["net", "deny", "caller", "*.example.org"], 0);
    house.run(&["net", "allow", "caller", "api.example.org"], 0);
    let test = |url: &str, code: i32| house.json(&["net", "test", "caller", url, "--json"], code);
    let found = test("https://api.example.org/v1/models?key=x", 0);
    assert_eq!(found["rule"]["origin"], "decision");
    assert_eq!(found["secrets"], json!(["MODEL_KEY"]));
    assert_eq!(found["host"], "api.example.org");
    let found = test("https://www.example.org/", 1);
    assert_eq!(found["allowed"], false);
    assert_eq!(found["rule"]["hosts"], "*.example.org");
    assert_eq!(found["secrets"], json!([]));
    let found = test("https://elsewhere.example.com/", 1);
    assert_eq!(found["rule"], Value::Null);
    assert_eq!(found["reason"], "not listed");
    let found = test("https://a.example.net:8443/", 0);
    assert_eq!(found["rule"]["secret"], "MODEL_KEY");
    test("http://api.example.org/", 1);
    test("http://127.1:11434/", 1);
    assert_eq!(test("http://2130706433/", 1)["reason"], "not a host");

    let told = house.run(
        &["net", "test", "caller", "http://localhost:11434/v1?token=x"],
        0,
    );
    let text = told.stdout_text();
    assert!(text.contains("allowed    localhost:11434\n"), "{text}");
    assert!(text.contains("not looked up"), "{text}");
    assert!(!text.contains("token"), "{text}");
    house.run(&["net", "test", "caller", "b\u{fc}cher.example"], 2);
    house.run(&["net", "test", "caller", "postgres://db.example.org"], 2);
}

/// The record of an instance, as the gate writes it.
struct Record(Audit);

fn record(house: &House, instance: &str) -> Record {
    let folder = house.file(instance, "net");
    Record(Audit::open(&folder, instance, Keep::default()).unwrap())
}

impl Record {
    fn allowed(&self, host: &str) -> Entry {
        let hosts: HostPattern = "*.example.org".parse().unwrap();
        let mut policy = mira_gate::Policy::builder("caller");
        policy.allow(hosts, mira_gate::Origin::Manifest);
        let verdict = policy.build().decide(&Host::requested(host).unwrap(), 443);
        let how = How::Request {
            method: "POST",
            secure: true,
        };
        self.0.begin(&attempt(host, how, &verdict)).unwrap()
    }

    fn refused(&self, host: &str, how: How<'_>) {
        let verdict = Verdict::Refused(Reason::NotListed);
        self.0.refused(&attempt(host, how, &verdict)).unwrap();
    }
}

fn attempt<'a>(host: &'a str, how: How<'a>, verdict: &'a Verdict) -> Attempt<'a> {
    Attempt {
        service: Some("web"),
        host,
        address: None,
        port: 443,
        how,
        verdict,
    }
}

fn lines(run: &Run) -> Vec<Value> {
    let text = run.stdout_text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_record_is_shown_to_people_and_programs() {
    let house = house();
    let nothing = house.run(&["net", "log", "caller"], 0);
    assert_eq!(nothing.stdout_text(), "");
    assert!(
        nothing
            .stderr_text()
            .contains("the network of caller is enforced"),
        "{nothing:?}"
    );

    let record = record(&house, "caller");
    let entry = record.allowed("api.example.org");
    entry.sent(812);
    entry.received(1_572_864);
    entry.status(200);
    entry.used(&"MODEL_KEY".parse().unwrap());
    drop(entry);
    let packets = How::Packet {
        protocol: "udp",
        packets: 12,
    };
    record.refused("evil.example.com", packets);
    let _open = record.allowed("open.example.org");
    NetworkMode::Recorded {
        why: "user namespaces are off".to_owned(),
    }
    .write(&house.file("caller", "net"))
    .unwrap();

    let shown = house.run(&["net", "log", "caller"], 0);
    assert!(
        shown
            .stderr_text()
            .contains("the network of caller is recorded, not enforced: user namespaces are off"),
        "{shown:?}"
    );
    let text = shown.stdout_text();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(rows.len(), 4, "{text}");
    assert_eq!(
        rows[1][1..],
        [
            "caller",
            "web",
            "api.example.org:443",
            "https POST",
            "200",
            "812 B",
            "1.5 MiB",
            "allowed, not enforced",
            "allow *.example.org (manifest)"
        ]
    );
    assert_eq!(
        rows[2][3..],
        [
            "evil.example.com:443",
            "packet udp, 12 times",
            "-",
            "-",
            "-",
            "refused, not enforced",
            "not listed"
        ]
    );
    assert_eq!(rows[3][5], "open", "{text}");

    let rows = lines(&house.run(&["net", "log", "--json"], 0));
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["secrets"], json!(["MODEL_KEY"]));
    assert_eq!(rows[0]["enforced"], false);
    assert_eq!(rows[0]["received"], 1_572_864);
    let hosts = |args: &[&str]| -> Vec<String> {
        let args = [&["net", "log", "caller", "--json"], args].concat();
        let rows = lines(&house.run(&args, 0));
        rows.iter()
            .map(|row| row["host"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(hosts(&["--denied"]), ["evil.example.com"]);
    assert_eq!(hosts(&["--host", "api.example.org"]), ["api.example.org"]);
    assert_eq!(hosts(&["-n", "1"]), ["open.example.org"]);
    assert_eq!(hosts(&["-n", "0"]).len(), 0);
    assert_eq!(hosts(&["--since", "1h"]).len(), 3);
    assert_eq!(hosts(&["--since", "2100-01-01T00:00:00Z"]).len(), 0);
}

#[test]
fn the_records_of_all_instances_and_of_commands_are_merged_by_time() {
    let house = house();
    let app = house.app("caller", CALLER);
    house.run(&["open", app.path(), "-d", "--name", "other"], 0);
    let (one, other) = (record(&house, "caller"), record(&house, "other"));
    let folder = house.home.mira_home().join("net/run");
    let runs = Record(Audit::open(&folder, "curl", Keep::default()).unwrap());
    for (turn, record) in [&one, &runs, &other, &one].into_iter().enumerate() {
        record.refused(&format!("host{turn}.example.com"), How::Lookup("TXT"));
        until_the_next_millisecond();
    }
    NetworkMode::Enforced.write(&folder).unwrap();
    let shown = house.run(&["net", "log", "--json"], 0);
    let rows = lines(&shown);
    let whose: Vec<&Value> = rows.iter().map(|row| &row["instance"]).collect();
    assert_eq!(whose, ["caller", "curl", "other", "caller"]);
    assert!(
        shown
            .stderr_text()
            .contains("the network of mira run is enforced"),
        "{shown:?}"
    );
    assert!(!shown.stderr_text().contains("no run"), "{shown:?}");
}

/// Times in a record are in milliseconds.
fn until_the_next_millisecond() {
    let begin = jiff::Timestamp::now().as_millisecond();
    while jiff::Timestamp::now().as_millisecond() == begin {
        std::hint::spin_loop();
    }
}

#[test]
fn a_name_that_is_meant_for_the_terminal_does_not_reach_it() {
    let house = house();
    let record = record(&house, "caller");
    record.refused("a\x1b]0;owned\x07\r\nb.example.com", How::Lookup("T\x1bXT"));
    let shown = house.run(&["net", "log", "caller"], 0);
    let text = shown.stdout_text();
    assert_eq!(text.lines().count(), 2, "{text:?}");
    assert!(!text.contains(['\x1b', '\x07', '\r']), "{text:?}");
    let rows = lines(&house.run(&["net", "log", "caller", "--json"], 0));
    assert_eq!(rows[0]["host"], "a\x1b]0;owned\x07\r\nb.example.com");
}

#[test]
fn a_line_that_cannot_be_read_is_told_and_hides_no_other() {
    let house = house();
    record(&house, "caller").refused("one.example.com", How::Tunnel);
    let file = house.file("caller", "net/net.jsonl");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.insert_str(0, "{\"begin\":{\"id\n");
    std::fs::write(&file, text).unwrap();
    let shown = house.run(&["net", "log", "caller", "--json"], 0);
    assert_eq!(lines(&shown).len(), 1);
    assert!(
        shown
            .stderr_text()
            .contains("1 line of the record of caller"),
        "{shown:?}"
    );
}

/// A program that goes on until it is dropped.
struct Follower(Child);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn the_record_is_followed_and_a_connection_is_shown_again_when_it_ends() {
    let house = house();
    let record = record(&house, "caller");
    record.refused("first.example.com", How::Tunnel);
    let mut command = Command::new(MIRA);
    command
        .args(["net", "log", "caller", "-f", "--json"])
        .env_clear()
        .envs(house.home.env().iter().cloned())
        .stdout(Stdio::piped());
    let mut follower = Follower(command.spawn().unwrap());
    let mut lines = BufReader::new(follower.0.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["host"], "first.example.com");
    let entry = record.allowed("second.example.org");
    let begun = next();
    assert_eq!(
        (&begun["host"], &begun["open"]),
        (&json!("second.example.org"), &json!(true))
    );
    entry.status(204);
    drop(entry);
    let ended = next();
    assert_eq!(ended["id"], begun["id"]);
    assert_eq!(
        (&ended["status"], &ended["open"]),
        (&json!(204), &json!(false))
    );
}
