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
    // Counts in the handler itself, which does not merge two that come close together.
    let script = "import os,signal,sys\n\
                  r,w=os.pipe()\nos.set_blocking(w,False)\nsignal.set_wakeup_fd(w)\n\
                  signal.signal(signal.SIGTERM,lambda *_:None)\n\
                  signal.signal(signal.SIGUSR1,lambda *_:print('USR1',flush=True))\n\
                  os.kill(0,15)\nprint('ready',flush=True)\nsys.stdin.read()\n\
                  print('heard',os.read(r,99).count(15))";
    // In a group of its own, since all of it is signalled.
    let command = launcher.command(&["python3", "-c", script]);
    let mut setsid = Command::new("setsid");
    setsid
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(std::process::Stdio::piped());
    let mut running = Running::start(setsid);
    assert_eq!(running.line(), "ready");
    // Passed on in the order of coming, so after this a TERM would have been, too.
    running.signal("USR1");
    assert_eq!(running.line(), "USR1");
    drop(running.child.stdin.take());
    assert_eq!(running.line(), "heard 1");
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn what_was_ignored_stays_ignored_unless_the_program_listens() {
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
    // A shell cannot listen to what was ignored at its start; others can.
    let script = "import signal,sys\nsignal.signal(signal.SIGHUP,lambda *_:sys.exit(7))\n\
                  print('ready',flush=True)\nwhile True: signal.pause()";
    let command = launcher.command(&["python3", "-c", script]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    let mut running = Running::start(shell);
    assert_eq!(running.line(), "ready");
    running.signal("HUP");
    assert_eq!(running.child.wait().unwrap().code(), Some(7));
}

#[test]
fn the_mask_and_the_dispositions_are_those_that_we_began_with() {
    let launcher = Launcher::new();
    let args = ["-E", "SigBlk|SigIgn", "/proc/self/status"];
    for starts in ["", "trap '' USR2; ", "trap '' CHLD; "] {
        let shell = |words: &str| {
            let script = format!(
                "{starts}exec {words} grep {} '{}' {}",
                args[0], args[1], args[2]
            );
            Command::new("sh")
                .args(["-c", &script])
                .output()
                .unwrap()
                .stdout
        };
        let alone = shell("");
        assert!(!alone.is_empty());
        assert_eq!(
            String::from_utf8_lossy(&shell(&launcher.line())),
            String::from_utf8_lossy(&alone),
            "{starts}"
        );
    }
}
