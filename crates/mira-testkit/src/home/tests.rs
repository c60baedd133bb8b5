//! A run sees its home only, and always ends.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;

#[test]
fn a_program_sees_the_home_and_nothing_else() {
    let mut home = TestHome::new();
    home.set("TERM", "xterm");
    let run = home
        .mira("env")
        .env("EXTRA", "1")
        .env_remove("LANG")
        .run()
        .assert_code(0);
    let text = run.stdout_text();
    let seen: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let names: Vec<_> = seen.keys().copied().collect();
    assert_eq!(
        names,
        [
            "EXTRA",
            "HOME",
            "MIRA_HOME",
            "PATH",
            "TERM",
            "TMPDIR",
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "XDG_RUNTIME_DIR",
            "XDG_STATE_HOME"
        ]
    );
    assert_eq!((seen["TERM"], seen["EXTRA"]), ("xterm", "1"));
    for (name, value) in seen {
        if name.contains("HOME") || name.contains("DIR") {
            assert!(Path::new(value).starts_with(home.path()), "{name}={value}");
            let mode = fs::metadata(value).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{name}");
        }
    }
    assert_eq!(fs::read_dir(home.mira_home()).unwrap().count(), 0);
}

#[test]
fn streams_and_status_come_back() {
    let home = TestHome::new();
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let run = home
        .mira("sh")
        .args(["-c", "cat; echo wrong >&2; exit 3"])
        .stdin_bytes(input.clone())
        .run()
        .assert_code(3);
    assert!(run.stdout == input);
    assert_eq!(run.stderr_text(), "wrong\n");
    let killed = home.mira("sh").arg("-c").arg("kill -9 $$").run();
    assert_eq!(killed.code(), None);
    let deaf = home.mira("true").stdin_bytes(input).run();
    assert_eq!(deaf.code(), Some(0));
}

/// Runs a script that leaves a process behind which writes to a fifo, and waits until no writer is left.
fn check_killed(script: &str) {
    let home = TestHome::new();
    let fifo = home.path().join("alive");
    home.mira("mkfifo").arg(&fifo).run().assert_code(0);
    let (sender, gone) = mpsc::channel();
    let path = fifo.clone();
    // Opening waits for the first writer, reading for the end of the last.
    thread::spawn(move || sender.send(fs::read(path).map_err(|error| error.to_string())));
    let hung = home
        .mira("sh")
        .args(["-c", script, "sh"])
        .arg(&fifo)
        .wait_max(Duration::from_secs(2));
    let panicked = catch_unwind(AssertUnwindSafe(|| hung.run()));
    let message = panicked.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("ran longer than 2s"), "{message}");
    assert_eq!(
        gone.recv_timeout(Duration::from_secs(60)),
        Ok(Ok(b"up\n".to_vec()))
    );
}

#[test]
fn a_program_that_does_not_end_is_killed_with_all_it_started() {
    check_killed("(exec 3>\"$1\"; echo up >&3; exec tail -f /dev/null) & wait");
}

#[test]
fn a_program_that_ends_and_leaves_its_output_open_fails() {
    check_killed("(exec 3>\"$1\"; echo up >&3; exec tail -f /dev/null) &");
}
