//! Killed at any instant, or out of room: the database opens, is whole, and holds all that was acknowledged.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command};

use crate::common::{Place, example, lines_of_all, run};

/// What a churning process said last of each instance that it made.
type Acknowledged = HashMap<u64, String>;

#[test]
fn a_killed_writer_leaves_all_that_it_acknowledged() {
    let place = Place::new();
    for round in 0..50 {
        let name = format!("round-{round}");
        let mut child = place.start("churn", &[&name]);
        drop(child.stdin.take());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        for _ in 0..fastrand::usize(1..12) {
            out.read_line(&mut said).unwrap();
        }
        kill_somewhen(&mut child);
        out.read_to_string(&mut said).unwrap();
        verify(&place, &name, &acknowledged(&said));
    }
}

#[test]
fn a_killed_opener_leaves_what_another_opens() {
    for _ in 0..25 {
        let place = Place::new();
        let mut child = place.start("churn", &["first"]);
        drop(child.stdin.take());
        kill_somewhen(&mut child);
        let mut said = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        verify(&place, "first", &acknowledged(&said));
    }
}

#[test]
fn a_writer_without_room_says_so_and_leaves_all_that_it_acknowledged() {
    let place = Place::new();
    place.with_instance();
    // Files may not grow beyond 256 KiB, as on a full disk; without the trap, that would kill the process.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 512; exec \"$0\" \"$@\""])
        .arg(example());
    let mut child = place.prepare(shell, "churn", &["full"]).spawn().unwrap();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(place.file("").to_str().unwrap()), "{error}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().count() > 5, "{said}");
    verify(&place, "full", &acknowledged(&said));
}

/// The room ends at each page that is written while the database is made.
#[test]
fn an_opener_without_room_leaves_what_another_opens() {
    let mut failed = 0;
    for blocks in (0..240).step_by(6) {
        let place = Place::new();
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).arg(example());
        let mut child = place.prepare(shell, "open", &[]).spawn().unwrap();
        drop(child.stdin.take());
        failed += usize::from(!child.wait().unwrap().success());
        verify(&place, "none", &Acknowledged::new());
    }
    assert!((5..40).contains(&failed), "{failed}");
}

/// Nothing is acknowledged that the system only promised to write: the machine may lose its power the moment after.
#[cfg(target_os = "linux")]
#[test]
fn what_is_acknowledged_is_on_the_disk() {
    let place = Place::new();
    let trace = place.home().join("trace");
    let mut strace = Command::new("strace");
    strace
        .args([
            "-f",
            "-y",
            "-s",
            "64",
            "-e",
            "trace=write,pwrite64,fsync,fdatasync",
            "-o",
        ])
        .arg(&trace)
        .arg(example());
    let child = place
        .prepare(strace, "guesses", &["ab01", "5"])
        .spawn()
        .unwrap();
    assert_eq!(lines_of_all(vec![child]), [["0", "1", "2", "3", "4"]]);
    let trace = std::fs::read_to_string(trace).unwrap();
    let (mut unsaved, mut saved, mut acknowledged) = (false, 0, 0);
    for call in trace.lines() {
        if call.contains(" write(1<") {
            assert!(!unsaved, "{trace}");
            acknowledged += 1;
        } else if call.contains("/mira.db-wal>") {
            unsaved = call.contains(" pwrite64(");
            saved += usize::from(!unsaved);
        }
    }
    assert_eq!(acknowledged, 5, "{trace}");
    assert!(saved >= acknowledged, "{trace}");
}

/// Kills a process after a time that is different each time, from none to a few milliseconds.
fn kill_somewhen(child: &mut Child) {
    for _ in 0..fastrand::usize(0..4_000) {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn acknowledged(said: &str) -> Acknowledged {
    said.lines()
        .map(|line| {
            let (what, number) = line.split_once(' ').unwrap();
            (number.parse().unwrap(), what.to_owned())
        })
        .collect()
}

fn verify(place: &Place, name: &str, acknowledged: &Acknowledged) {
    run(async {
        let store = place.store().await;
        store.check().await.unwrap();
        let all = store.instances().await.unwrap();
        let names: HashSet<&str> = all.iter().map(|instance| instance.name.as_str()).collect();
        for (number, last) in acknowledged {
            let name = format!("{name}-{number}");
            match last.as_str() {
                "gone" => assert!(!names.contains(&*name), "{name}"),
                // Every third may be in the middle of its deletion.
                "filled" if number.is_multiple_of(3) => {}
                "filled" => {
                    let found = store.find(&name).await.unwrap();
                    assert_eq!(store.bindings(&found.id).await.unwrap().len(), 1, "{name}");
                    assert_eq!(store.settings(&found.id).await.unwrap().len(), 1, "{name}");
                    assert_eq!(store.ports(&found.id).await.unwrap().len(), 1, "{name}");
                }
                _ => assert!(names.contains(&*name), "{name}"),
            }
        }
        for interrupted in store.deleting().await.unwrap() {
            store.finish_delete(&interrupted.id).await.unwrap();
        }
        store.check().await.unwrap();
        store.close().await;
    });
    assert_eq!(place.sqlite("PRAGMA integrity_check"), "ok");
}
