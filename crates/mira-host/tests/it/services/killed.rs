//! Nothing is left of a service, and none of its secrets, whoever is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::house::{Gate, example, limited};
use super::stopping::resisting;
use mira_testkit::signal::send;

/// The supervisor as a process of its own.
struct Supervisor {
    child: Child,
    output: Option<BufReader<ChildStdout>>,
    seen: Vec<String>,
    folder: Arc<tempfile::TempDir>,
    memory: Arc<tempfile::TempDir>,
    gate: Gate,
}

impl Supervisor {
    /// Runs a service whose tree holds the gate, and whose main process then does what `main` says.
    fn start(main: &str) -> Self {
        Self::start_in(Command::new(example()), |gate| resisting(gate, main))
    }

    fn start_in(command: Command, script: impl FnOnce(&Gate) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        std::fs::create_dir(folder.path().join("package")).unwrap();
        std::fs::write(folder.path().join("keys"), "API_KEY=sk-proj-0123456789\n").unwrap();
        let gate = Gate::new(folder.path().join("gate"));
        let script = script(&gate);
        Self::start_at(command, Arc::new(folder), Arc::new(memory), gate, &script)
    }

    fn start_at(
        mut command: Command,
        folder: Arc<tempfile::TempDir>,
        memory: Arc<tempfile::TempDir>,
        gate: Gate,
        script: &str,
    ) -> Self {
        let mut child = command
            .args([folder.path(), memory.path(), &folder.path().join("keys")])
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            output: child.stdout.take().map(BufReader::new),
            seen: Vec::new(),
            child,
            folder,
            memory,
            gate,
        }
    }

    /// Waits for a line that begins like this, unless there was one already, and returns it.
    fn line(&mut self, start: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.starts_with(start)) {
            return line.clone();
        }
        let (mut output, mut seen) = (self.output.take().unwrap(), Vec::new());
        let start = start.to_owned();
        let (output, mut seen) = limited(move || {
            loop {
                let mut line = String::new();
                assert_ne!(
                    output.read_line(&mut line).unwrap(),
                    0,
                    "no {start:?}: {seen:?}"
                );
                seen.push(line.trim_end().to_owned());
                if line.starts_with(&start) {
                    return (output, seen);
                }
            }
        });
        let line = seen.last().unwrap().clone();
        self.output = Some(output);
        self.seen.append(&mut seen);
        line
    }

    fn secret_file(&self) -> std::path::PathBuf {
        self.memory.path().join("s1/API_KEY")
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("PPid:"))
        .unwrap();
    line.trim_start_matches("PPid:").trim().parse().unwrap()
}

const DEAF: &str = "trap '' TERM HUP INT; echo \"main $$\"; while :; do sleep 1000; done";

/// Returns the number at a line's end.
fn number(line: &str) -> u32 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Says that a folder has no entry any more.
fn assert_empty(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Returns what waits for the end of a process that is nobody's child here.
fn end_of(pid: u32) -> impl FnOnce() {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    move || {
        limited(move || poll(&mut [PollFd::new(&process, PollFlags::IN)], None).unwrap());
    }
}

#[test]
fn nothing_is_left_when_the_supervisor_is_killed() {
    let mut supervisor = Supervisor::start(DEAF);
    let held = supervisor.gate.open();
    let main = number(&supervisor.line("s1: main"));
    supervisor.line("s1: daemon");
    assert!(supervisor.secret_file().exists());
    let keepers_end = end_of(parent(main));
    send(supervisor.child.id(), "KILL");
    held.closed();
    keepers_end();
    assert_empty(supervisor.memory.path());
}

#[test]
fn nothing_is_left_when_the_keeper_is_killed() {
    let mut supervisor = Supervisor::start(DEAF);
    let held = supervisor.gate.open();
    let main = number(&supervisor.line("s1: main"));
    supervisor.line("s1: daemon");
    let keeper = parent(main);
    assert_eq!(parent(keeper), supervisor.child.id());
    send(keeper, "KILL");
    held.closed();
    supervisor.line("s1 failed");
    assert_empty(supervisor.memory.path());
}

#[test]
fn nothing_is_left_when_the_service_is_killed() {
    let mut supervisor = Supervisor::start(DEAF);
    let held = supervisor.gate.open();
    let main = number(&supervisor.line("s1: main"));
    send(main, "KILL");
    held.closed();
    supervisor.line("s1 failed");
    assert_empty(supervisor.memory.path());
}

#[test]
fn a_service_dies_with_its_keeper_even_if_nobody_else_sees_to_it() {
    let mut supervisor = Supervisor::start_in(Command::new(example()), |gate| {
        format!(
            "exec 9>{}; echo main $$; exec sleep 1000",
            gate.path().display()
        )
    });
    let held = supervisor.gate.open();
    let main = number(&supervisor.line("s1: main"));
    send(supervisor.child.id(), "STOP");
    send(parent(main), "KILL");
    held.closed();
}

#[test]
fn nothing_is_left_when_keeper_service_and_supervisor_are_killed_in_turn() {
    let mut supervisor = Supervisor::start(DEAF);
    let held = supervisor.gate.open();
    let main = number(&supervisor.line("s1: main"));
    supervisor.line("s1: daemon");
    // The supervisor last: it is what is left to see the keeper's end.
    let both = [parent(main), main].map(|pid| pid.to_string());
    // The service may have died with its keeper by the time that it is its turn.
    Command::new("kill")
        .arg("-KILL")
        .args(both)
        .status()
        .unwrap();
    supervisor.line("s1 failed");
    send(supervisor.child.id(), "KILL");
    held.closed();
    assert_empty(supervisor.memory.path());
}

#[test]
fn what_a_crash_left_of_secret_files_is_gone_after_the_next_run() {
    let mut supervisor = Supervisor::start_in(Command::new(example()), |_| {
        "echo main; exec sleep 1000".to_owned()
    });
    let left = supervisor.memory.path().join("s1");
    supervisor.line("s1: main");
    assert!(!left.join("OLD").exists());
    drop(supervisor.child.stdin.take());
    supervisor.line("s1 stopped");
    // As if everybody had been killed at one instant.
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("OLD"), "x").unwrap();
    let mut next = Supervisor::start_at(
        Command::new(example()),
        Arc::clone(&supervisor.folder),
        Arc::clone(&supervisor.memory),
        Gate::new(supervisor.folder.path().join("gate 2")),
        "ls $(dirname $API_KEY_FILE)",
    );
    next.line("s1 ended");
    let files: Vec<_> = next
        .seen
        .iter()
        .filter(|line| line.starts_with("s1: "))
        .collect();
    assert_eq!(files, ["s1: API_KEY"]);
    assert_empty(supervisor.memory.path());
}

#[test]
fn a_log_that_cannot_grow_keeps_whole_lines_and_its_service_running() {
    // Files may have 4 KiB: a write beyond that is cut short, as on a disk that is full.
    let mut command = Command::new("bash");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\""])
        .arg(example());
    let mut supervisor = Supervisor::start_in(command, |_| {
        "for i in $(seq 200); do echo number $i is a line of the log; done; echo \"pid $$\"; exec sleep 1000".to_owned()
    });
    supervisor.line("s1: pid");
    drop(supervisor.child.stdin.take());
    supervisor.line("s1 stopped");
    let log = std::fs::read_to_string(supervisor.folder.path().join("logs/s1.jsonl")).unwrap();
    assert!(log.len() <= 4096, "{}", log.len());
    let whole = |line: &str| line.starts_with("{\"time\":") && line.ends_with("\"}");
    assert!(log.is_empty() || log.ends_with('\n'), "{log}");
    assert!(log.lines().all(whole), "{log}");
}

#[test]
fn services_may_open_as_many_files_as_they_could_without_us() {
    let mut command = Command::new("bash");
    command
        .args(["-c", "ulimit -Sn 300; exec \"$0\" \"$@\""])
        .arg(example());
    let script = "echo limit $(ulimit -Sn); exec sleep 1000".to_owned();
    let mut supervisor = Supervisor::start_in(command, |_| script);
    assert_eq!(supervisor.line("s1: limit"), "s1: limit 300");
    // Our own is raised: each service takes several.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", supervisor.child.id()));
    let limits = limits.unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    assert!(!line.contains(" 300 "), "{line}");
}
