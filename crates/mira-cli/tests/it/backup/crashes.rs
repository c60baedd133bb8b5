//! A restore that is killed anywhere leaves the old home or the new one.

use std::os::unix::process::ExitStatusExt as _;

use super::Ground;
use crate::support::{MIRA, VALUE};

/// The calls by which a restore puts things into their places.
const CALLS: &str = "mkdir,rename,renameat,renameat2,rmdir,unlink,unlinkat,syncfs,fsync,fdatasync";

/// How many calls further the next one is killed.
const STRIDE: usize = 8;

#[test]
fn a_restore_that_is_killed_anywhere_leaves_the_old_home_or_the_new_one() {
    let ground = Ground::filled();
    ground.back_up(&[]);
    let notes = &ground.notes;
    let old = "sk-a-newer-value-0123";
    let is = |value: &str| {
        let test = "test \"$OPENAI_API_KEY\" = \"$0\"";
        let run = notes.mira(&["run", "--", "sh", "-c", test, value]).run();
        run.code() == Some(0)
    };
    let (mut before, mut after, mut call) = (0, 0, 1);
    loop {
        let set = notes.mira(&["set", "OPENAI_API_KEY", "--stdin", "--replace"]);
        set.stdin_bytes(old).run().assert_code(0);
        let inject = format!("inject={CALLS}:signal=KILL:when={call}");
        let run = notes
            .home
            .mira("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &inject])
            .args([MIRA, "restore", "--replace", "--identity", &ground.identity])
            .arg(&ground.file)
            .run();
        match (is(old), is(VALUE)) {
            (true, false) => before += 1,
            (false, true) => after += 1,
            other => panic!("neither the old nor the new one: {other:?} at {call}, {run:?}"),
        }
        match (run.status.code(), run.status.signal()) {
            (Some(0), _) => break,
            (_, Some(9)) => call += STRIDE,
            _ => panic!("neither restored nor killed: {run:?}"),
        }
    }
    assert!(before > 3 && after > 0, "{before} before, {after} after");
}
