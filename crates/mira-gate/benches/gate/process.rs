//! What the system says of a process: its CPU time and its memory.

use std::fs;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;

/// Returns the CPU time that a process took so far, on all its threads, those that ended too.
pub(crate) fn cpu(pid: u32) -> Duration {
    let pid = Pid::from_raw(i32::try_from(pid).expect("process ids are positive"));
    let now = ClockId::pid_cpu_clock_id(pid).and_then(ClockId::now);
    now.expect("the process runs").into()
}

/// Returns the memory of a process that no other one shares, in KiB.
pub(crate) fn private_kib(pid: u32) -> u64 {
    let map = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let private = map.lines().filter(|line| line.starts_with("Private_"));
    private
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

/// Returns how many processes of the machine ran or wanted to, on average over the last minute.
pub(crate) fn load_average() -> String {
    let all = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split_whitespace().next().unwrap_or("?").to_owned()
}
