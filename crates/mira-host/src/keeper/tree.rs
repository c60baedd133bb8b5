//! Killing a tree of processes, from its top downwards.
//!
//! Only our own children are signalled, and their process groups. A child that has ended keeps its number, and that of its
//! group, until we take note of it; so no signal ever goes to a stranger who got a number that was free again. What
//! a killed child leaves behind becomes our child, because we are a subreaper, and is killed in the next round. A signal to a
//! group is atomic with regard to `fork`: a group cannot grow faster than it is killed.
//!
//! LIMIT: a service that forks into a new session each time, without an end and on purpose, can outrun this. In a room it cannot: the
//! end of a PID namespace's first process is the end of all.

use std::fs;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};

/// A process as `/proc` tells of it: proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    session: i32,
}

/// Kills all our children, and the groups that they are in.
pub(super) fn kill_children() {
    let Some(own) = own() else {
        return;
    };
    for child in children(own) {
        kill(child, own);
    }
}

/// Kills whatever became our child without being started by us, until nothing is left of it.
///
/// Those are known by their session: what we start is in ours, and a service and all that it starts never are.
pub(crate) fn kill_strays() {
    let Some(own) = own() else {
        return;
    };
    loop {
        let strays: Vec<Process> = children(own)
            .filter(|child| child.session != own.session)
            .collect();
        if strays.is_empty() {
            return;
        }
        for stray in strays {
            kill(stray, own);
            if let Some(pid) = Pid::from_raw(stray.pid) {
                // Somebody else of us may have waited for it already.
                rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty())).ok();
            }
        }
    }
}

fn kill(child: Process, own: Process) {
    // Those that have ended meanwhile are fine.
    if child.group != own.group
        && let Some(group) = Pid::from_raw(child.group)
    {
        kill_process_group(group, Signal::KILL).ok();
    }
    if let Some(pid) = Pid::from_raw(child.pid) {
        kill_process(pid, Signal::KILL).ok();
    }
}

/// Returns ourselves. Our session and group may have no number here, in a PID namespace of our own: 0, then.
fn own() -> Option<Process> {
    parse(&fs::read("/proc/self/stat").ok()?)
}

fn children(own: Process) -> impl Iterator<Item = Process> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let name = entry.file_name();
            let first = name.as_encoded_bytes().first()?;
            first.is_ascii_digit().then_some(())?;
            // It may have ended since.
            parse(&fs::read(entry.path().join("stat")).ok()?)
        })
        .filter(move |process| process.parent == own.pid)
}

fn parse(stat: &[u8]) -> Option<Process> {
    // The name, in parentheses, may hold anything; nothing after it holds another one.
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let (head, rest) = stat.split_at_checked(close)?;
    let pid = head.split(|&byte| byte == b' ').next()?;
    let mut fields = rest.split(|&byte| byte == b' ').skip(2).map(number);
    Some(Process {
        pid: number(pid)?,
        parent: fields.next()??,
        group: fields.next()??,
        session: fields.next()??,
    })
}

fn number(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_do_not_confuse_the_fields() {
        let expect = Process {
            pid: 7,
            parent: 3,
            group: 5,
            session: 6,
        };
        for stat in [
            "7 (sh) S 3 5 6 0 -1 4194304",
            "7 (a) R 1 1 1) S 3 5 6 0 -1 4194304",
            "7 () S 3 5 6 0",
        ] {
            assert_eq!(parse(stat.as_bytes()), Some(expect), "{stat}");
        }
        assert_eq!(parse(b"7 (sh"), None);
        assert_eq!(parse(b"7 (sh) S 3 5"), None);
    }

    #[test]
    fn a_child_is_listed_with_its_group_and_session() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let own = own().unwrap();
        let listed = children(own).find(|process| process.pid == pid);
        child.kill().unwrap();
        child.wait().unwrap();
        let listed = listed.unwrap();
        assert_eq!((listed.group, listed.session), (own.group, own.session));
    }
}
