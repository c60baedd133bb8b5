//! What idle instances keep in memory that no other process shares.

use std::fs;

use crate::home::Home;

/// Memory in KiB: of the supervisor, of all keepers, of all services.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) supervisor: u64,
    pub(crate) keepers: u64,
    pub(crate) services: u64,
}

/// Brings this many instances up, measures, and stops them.
pub(crate) fn of(home: &Home, instances: usize) -> Memory {
    let package = home.pack("sleeper", "  - {name: web, command: [sleep, infinity]}\n");
    for number in 0..instances {
        home.mira(&[
            "open",
            &package,
            "-d",
            "--name",
            &format!("sleeper-{number}"),
        ]);
    }
    let supervisor = home.supervisor();
    let keepers = children(supervisor);
    let services: Vec<u32> = keepers
        .iter()
        .flat_map(|keeper| children(*keeper))
        .collect();
    assert_eq!(services.len(), instances, "each instance has one service");
    let memory = Memory {
        supervisor: private_kib(supervisor),
        keepers: keepers.iter().map(|pid| private_kib(*pid)).sum(),
        services: services.iter().map(|pid| private_kib(*pid)).sum(),
    };
    home.end_supervisor();
    memory
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let lists = tasks
        .flatten()
        .map(|task| fs::read_to_string(task.path().join("children")));
    let pids = lists.flatten().flat_map(|list| {
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.collect::<Vec<u32>>()
    });
    pids.collect()
}

fn private_kib(pid: u32) -> u64 {
    let map = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let private = map.lines().filter(|line| line.starts_with("Private_"));
    private
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}
