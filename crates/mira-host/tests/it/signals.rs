//! Signals that are sent to us.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::launcher::{Launcher, Running};

/// A program that says which signals it hears until it hears TERM.
const LISTENER: &str = r#"
for signal in HUP INT QUIT USR1 USR2 ALRM WINCH; do trap "echo $signal" $signal; done
trap 'echo TERM; exit 6' TERM
echo ready
while :; do sleep 0.05; done"#;

#[test]
fn what_is_sent_to_us_alone_is_passed_on_once() {
    for launcher in [Launcher::new(), Launcher::bare()] {
        let mut running = Running::start(launcher.command(&["bash", "-c", LISTENER]));
        assert_eq!(running.line(), "ready");
        for signal in ["HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "WINCH"] {
            running.signal(signal);
            assert_eq!(running.line(), signal);
        }
        running.signal("TERM");
        assert_eq!(running.rest(), "TERM\n");
        assert_eq!(running.child.wait().unwrap().code(), Some(6));
    }
}

#[test]
fn a_program_that_does_not_listen_dies_by_it_and_so_do_we() {
    let launcher = Launcher::new();
    for (signal, number) in [
        ("TERM", 15),
        ("INT", 2),
        ("HUP", 1),
        ("QUIT", 3),
        ("USR1", 10),
    ] {
        let mut running = Running::start(launcher.sh("echo ready; exec sleep 1000"));
        assert_eq!(running.line(), "ready");
        running.signal(signal);
        assert_eq!(running.child.wait().unwrap().signal(), Some(number));
    }
}

#[test]
fn what_the_program_sends_to_its_whole_group_does_not_come_back_to_it() {
    let launcher = Launcher::new();
    // Would never end if it came back: each TERM makes another one.
    let script = "trap 'echo heard; kill 0' TERM; echo ready; read line; trap - TERM; echo through";
    let mut command = Command::new("setsid");
    let mut words = launcher.command(&["bash", "-c", script]);
    command
        .arg("-w")
        .arg(words.get_program())
        .args(words.get_args());
    words.stdin(std::process::Stdio::null());
    command.stdin(std::process::Stdio::piped());
    let mut running = Running::start(command);
    assert_eq!(running.line(), "ready");
    drop(running.child.stdin.take());
    assert_eq!(running.line(), "through");
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn what_was_ignored_stays_ignored_for_us_and_for_the_program() {
    let launcher = Launcher::new();
    let shell = format!(
        "trap '' HUP QUIT; exec {} sh -c 'grep SigIgn /proc/self/status; echo ready; read line; echo alive'",
        launcher.line()
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &shell])
        .stdin(std::process::Stdio::piped());
    let mut running = Running::start(command);
    let ignored = running.line();
    let mask = u64::from_str_radix(ignored.split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(mask & 0b1111, 0b101, "{ignored}");
    assert_eq!(running.line(), "ready");
    running.signal("HUP");
    running.signal("QUIT");
    drop(running.child.stdin.take());
    assert_eq!(running.rest(), "alive\n");
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn the_program_begins_with_nothing_blocked_and_the_pipe_signal_as_usual() {
    let launcher = Launcher::new();
    let output = launcher.output("grep -E 'SigBlk|SigIgn|SigCgt' /proc/self/status");
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines().filter(|line| !line.starts_with("SigCgt")) {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
}
