//! `kill -9` at every system call of a save: the vault opens, with the old or the new value, and nothing is left over.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;

use mira_testkit::home::TestHome;

use crate::support::{MIRA, keyfile_home, mira, set};

/// The calls by which a save changes a disk.
const CALLS: &str = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,openat,ftruncate,flock,fchmod,close";

const ROUNDS: usize = 200;

#[test]
fn a_save_that_is_killed_anywhere_leaves_the_old_or_the_new_value() {
    let home = keyfile_home();
    set(&home, "KEY", "value-number-0");
    let files = names(&home);
    let mut old = 0;
    let (mut killed, mut finished) = (0, 0);
    let mut call = 1;
    for round in 1..=ROUNDS {
        let ended = save_killed_at(&home, call, &format!("value-number-{round}"));
        let now = value(&home);
        assert!(
            now == old || now == round,
            "round {round}, call {call}: {now}, after {old}"
        );
        old = now;
        if ended {
            // There are fewer calls than that: from the first one again.
            finished += 1;
            call = 1;
        } else {
            killed += 1;
            call += 1;
        }
    }
    assert!(
        killed > ROUNDS / 2 && finished >= 1,
        "{killed} killed, {finished} finished"
    );
    // One more save cleans up what the killed ones left.
    set(&home, "KEY", "value-number-0");
    assert_eq!(names(&home), files);
}

/// Saves the value, and kills the process when it makes its `call`th call; returns whether it ended before.
fn save_killed_at(home: &TestHome, call: usize, value: &str) -> bool {
    let inject = format!("inject={CALLS}:signal=KILL:when={call}");
    let run = home
        .mira("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &inject])
        .args([MIRA, "set", "KEY", "--stdin", "--replace"])
        .stdin_bytes(value)
        .run();
    match (run.status.code(), run.status.signal()) {
        (Some(0), _) => true,
        (_, Some(9)) => false,
        _ => panic!("neither saved nor killed: {run:?}"),
    }
}

/// Returns the number in the saved value.
fn value(home: &TestHome) -> usize {
    let script = "printf '%s' \"${KEY#value-number-}\"";
    let run = mira(home, &["run", "--", "sh", "-c", script])
        .run()
        .assert_code(0);
    run.stdout_text().parse().unwrap()
}

fn names(home: &TestHome) -> BTreeSet<String> {
    fs::read_dir(home.mira_home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "leases")
        .collect()
}
