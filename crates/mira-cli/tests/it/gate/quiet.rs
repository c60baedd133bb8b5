//! What leaves the machine is what the record says, and Mira itself says nothing to anybody.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use mira_testkit::home::TestHome;

use super::street::{ALLOWED, BROKERED, REFUSED, Street};
use crate::apps::house::House;
use crate::support::{MIRA, VALUE, keyfile_home, set};

/// Where nobody listens; a try to connect there ends a capture.
const MARK: &str = "203.0.113.9";

/// What may tell of a destination: the first packet of a connection, and whatever is no TCP over IPv4.
const TELLING: &str = "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn or not (ip and tcp)";

/// Calls three hosts by name, one by its address, and one that has neither.
const CALLS: &str = r#"
curl -s -o allowed "https://$1/echo"
curl -s -o brokered -H "Authorization: Bearer $KEY" "https://$2/echo"
curl -s -o refused "https://$3/echo"
curl -s -o address --connect-timeout 5 https://93.184.216.36/ || echo "no way"
curl -s -o nobody --connect-timeout 5 https://nobody.test:8443/ || echo "no way"
"#;

#[test]
fn the_record_has_the_destinations_that_a_capture_has() {
    let street = Street::new(true);
    let mut capture = street
        .powerful("strace")
        // It wants to be rid of its groups, which nobody can in such a namespace.
        .args(["-qq", "-o", "/dev/null", "-e", "trace=setgroups"])
        .args(["-e", "inject=setgroups:retval=0", "--"])
        .args(["tcpdump", "-i", "lo", "-nn", "-l", "--immediate-mode"])
        .args(["-Z", "root"])
        .arg(TELLING)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(capture.stderr.take().unwrap());
    let mut told = told.lines();
    assert!(
        told.any(|line| line.unwrap().contains("listening on")),
        "tcpdump does not capture"
    );

    let mut run = street.run();
    run.arg("--broker").arg(format!("KEY={}", BROKERED.0));
    run.args(["--", "sh", "-c", CALLS, "sh"]);
    let output = run.args([ALLOWED.0, BROKERED.0, REFUSED.0]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let mark = format!("http://{MARK}:9/");
    let marked = street.command("curl").args(["-s", &mark]).status();
    assert!(!marked.unwrap().success());

    let lines = BufReader::new(capture.stdout.take().unwrap()).lines();
    let captured: BTreeSet<(String, u64)> = lines
        .map(|line| destination(&line.unwrap()))
        .take_while(|(address, _)| address != MARK)
        .collect();
    drop(capture.kill());
    drop(capture.wait());

    // The record has names; where they lead is the world's affair.
    let rows = street.rows();
    let allowed = rows.iter().filter(|row| row["verdict"] == "allowed");
    let recorded: BTreeSet<(String, u64)> = allowed
        .map(|row| {
            let leads = [ALLOWED, BROKERED, REFUSED];
            let lead = leads.iter().find(|(name, _)| row["host"] == *name);
            let (_, address) = lead.unwrap_or_else(|| panic!("{row}"));
            ((*address).to_owned(), row["port"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(captured, recorded, "{rows:?}");
    let both = [ALLOWED.1, BROKERED.1].map(|address| (address.to_owned(), 443));
    assert_eq!(captured, BTreeSet::from(both));
    let refused = rows.iter().filter(|row| row["verdict"] == "refused");
    let refused: BTreeSet<&str> = refused.filter_map(|row| row["host"].as_str()).collect();
    assert!(refused.is_superset(&BTreeSet::from([REFUSED.0, REFUSED.1, "nobody.test"])));
}

/// Returns where a packet goes: `… > 192.0.2.1.443: …`.
fn destination(line: &str) -> (String, u64) {
    let mut words = line.split_whitespace();
    let found = words.any(|word| word == ">").then(|| words.next());
    let end = found.flatten().and_then(|word| word.strip_suffix(':'));
    let parts = end.and_then(|end| end.rsplit_once('.'));
    let (address, port) = parts.unwrap_or_else(|| panic!("no destination: {line}"));
    (address.to_owned(), port.parse().unwrap())
}

/// A service that is ready when nothing has happened for a while.
const IDLER: &str = r#"
kind: mira.app/v1
id: org.example.idler
name: Idler
version: 1.0.0
services:
  - name: idle
    command: [sh, -c, 'sleep 2; : > "$$TMPDIR/rested"; exec sleep infinity']
    ports: [{name: http}]
    health: {command: [sh, -c, 'test -e "$$TMPDIR/rested"'], interval: 100ms, startPeriod: 60s}
secrets:
  - {name: KEY, required: true, deliver: brokered, hosts: [api.brokered.test]}
network: {allow: [api.allowed.test]}
"#;

#[test]
fn mira_calls_nobody_while_an_instance_is_idle() {
    let house = House::new();
    let app = house.app("idler", IDLER);
    house.run(&["open", app.path(), "-d"], 3);
    house.save("idler", "KEY", VALUE);
    let trace = house.home.path().join("trace");
    let script = format!("{MIRA} start idler -d && {MIRA} stop idler");
    traced(&house.home, &trace, &["sh", "-c", &script]);
    assert_calls_nobody(&trace);
    // The supervisor made the room, and so was among those that were looked at.
    assert!(fs::read_to_string(&trace).unwrap().contains("AF_PACKET"));
}

#[test]
fn mira_run_calls_nobody() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    for gate in [&[][..], &["--gate"], &["--broker", "KEY=api.brokered.test"]] {
        let trace = home.path().join("trace");
        traced(
            &home,
            &trace,
            &[&[MIRA, "run"], gate, &["--", "true"]].concat(),
        );
        assert_calls_nobody(&trace);
    }
}

/// Runs words and all that they start under `strace`, until the last of it has ended.
fn traced(home: &TestHome, trace: &Path, words: &[&str]) {
    home.mira("strace")
        .args(["-f", "-e", "trace=network", "-o"])
        .arg(trace)
        .args(words)
        .run()
        .assert_code(0);
}

/// Checks that whatever was connected or sent to stayed on the machine.
fn assert_calls_nobody(trace: &Path) {
    let text = fs::read_to_string(trace).unwrap();
    assert!(text.contains("exited with 0"), "nothing was traced: {text}");
    let internet = ["sin_addr", "sin6_addr", "inet_pton"];
    let names = |line: &&str| internet.iter().any(|name| line.contains(name));
    let calls = ["connect(", "sendto(", "sendmsg(", "sendmmsg("];
    let calls = |line: &&str| calls.iter().any(|call| line.contains(call));
    let at_home = |line: &&str| line.contains("\"127.0.0.1\"") || line.contains("\"::1\"");
    let mut away = text.lines().filter(names).filter(calls);
    assert_eq!(away.find(|line| !at_home(line)), None);
}

#[test]
fn a_trace_shows_who_is_called() {
    // What the two tests before this one look for is found where it is.
    let home = TestHome::new();
    let trace = home.path().join("trace");
    let try_it =
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))";
    traced(
        &home,
        &trace,
        &[
            "unshare",
            "-Urn",
            "sh",
            "-c",
            "ip link set lo up; ip route add local default dev lo; exec python3 -c \"$1\"",
            "sh",
            try_it,
        ],
    );
    let found = std::panic::catch_unwind(|| assert_calls_nobody(&trace));
    assert!(found.is_err());
}
