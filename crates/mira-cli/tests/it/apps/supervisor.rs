//! The supervisor comes when it is needed, once, and goes with the last instance; commands that meet at its door all get in.

use std::thread;

use mira_testkit::home::Run;

use super::app::MANIFEST;
use super::house::{House, until_gone};
use crate::support::VALUE;

/// Makes instances that have what they need.
fn ready(names: &[String]) -> House {
    let house = House::new();
    let package = house.app("parrot", MANIFEST).pack();
    for name in names {
        house.run(&["open", &package, "-d", "--name", name], 3);
        house.save(name, "API_KEY", VALUE);
    }
    house
}

fn names(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("parrot-{number}"))
        .collect()
}

/// Runs a command for each name, all at the same time.
fn all_at_once(house: &House, names: &[String], args: &[&str]) -> Vec<Run> {
    thread::scope(|scope| {
        let running: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(move || house.mira(args).arg(name).run()))
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn commands_that_start_it_at_the_same_time_share_one() {
    let names = names(5);
    let house = ready(&names);
    for run in all_at_once(&house, &names, &["start", "-d"]) {
        run.assert_code(0);
    }
    let states = house.json(&["ps", "--json"], 0);
    for state in states.as_array().unwrap() {
        assert_eq!(state["state"], "up", "{states}");
    }
    // One supervisor has all of them: each keeper, two processes, is its child.
    for name in &names {
        let first = house.parent(house.pid(name, "web"));
        let keeper = house.parent(first);
        assert_eq!(house.parent(keeper), house.supervisor());
    }
}

#[test]
fn it_leaves_with_the_last_instance_and_a_start_meanwhile_gets_another() {
    let names = names(2);
    let house = ready(&names);
    house.run(&["start", "-d", &names[0]], 0);
    for round in 0..8 {
        // The one stops, so the supervisor is about to leave; the other comes.
        let (stops, starts) = match round % 2 {
            0 => (&names[0], &names[1]),
            _ => (&names[1], &names[0]),
        };
        thread::scope(|scope| {
            let stop = scope.spawn(|| house.mira(&["stop", stops]).run());
            let start = scope.spawn(|| house.mira(&["start", "-d", starts]).run());
            stop.join().unwrap().assert_code(0);
            start.join().unwrap().assert_code(0);
        });
        assert_eq!(house.ps(stops)["state"], "stopped");
        assert_eq!(house.ps(starts)["state"], "up");
    }
    let supervisor = house.supervisor();
    house.run(&["stop", "--all"], 0);
    until_gone(supervisor);
    assert!(!house.runtime().join("supervisor.sock").exists());
}

#[test]
fn one_instance_started_by_several_commands_at_once_runs_once() {
    let names = names(1);
    let house = ready(&names);
    for _ in 0..4 {
        let same: Vec<String> = names.iter().cycle().take(6).cloned().collect();
        let runs = all_at_once(&house, &same, &["start", "-d"]);
        let started = runs.iter().filter(|run| run.code() == Some(0)).count();
        assert_eq!(started, 1, "{runs:?}");
        for run in runs.iter().filter(|run| run.code() != Some(0)) {
            assert_eq!(run.code(), Some(1), "{run:?}");
        }
        // What is shown is what runs, whoever came second.
        let ps = house.ps(&names[0]);
        assert_eq!(ps["state"], "up", "{ps}");
        for (service, name) in [("web", "http"), ("store", "tcp")] {
            let ports = ps["ports"].as_array().unwrap();
            let shown = ports
                .iter()
                .find(|port| port["service"] == service && port["name"] == name);
            let has = house.variable(&names[0], service, "PORT").unwrap();
            assert_eq!(shown.unwrap()["number"].to_string(), has, "{ps}");
        }
        house.run(&["stop", &names[0]], 0);
    }
}

#[test]
fn logs_are_followed_until_the_instance_stops() {
    let names = names(1);
    let house = ready(&names);
    house.run(&["start", "-d", &names[0]], 0);
    let mut terminal = house.terminal(&["logs", "-f", &names[0]]);
    terminal.expect("web was started");
    house.run(&["restart", &names[0], "--service", "web"], 0);
    terminal.expect("web was started");
    house.run(&["stop", &names[0]], 0);
    assert_eq!(terminal.wait().code(), Some(0));
    let shown = terminal.transcript();
    assert_eq!(
        shown.matches("was started").count(),
        3,
        "each line once: {shown}"
    );
    let ended = house.run(&["logs", "-f", &names[0], "--service", "web", "-n", "1"], 0);
    assert_eq!(ended.stdout_text().lines().count(), 1, "{ended:?}");
}

#[test]
fn one_that_was_started_by_hand_stays_until_it_is_told_to_go() {
    let names = names(1);
    let house = ready(&names);
    let mut terminal = house.terminal(&["serve"]);
    terminal.expect("the supervisor is ready");
    let second = house.run(&["serve"], 1);
    assert!(second.stderr_text().contains("runs"), "{second:?}");
    house.run(&["start", "-d", &names[0]], 0);
    house.run(&["stop", &names[0]], 0);
    house.run(&["start", "-d", &names[0]], 0);
    let service = house.pid(&names[0], "web");
    assert_eq!(house.supervisor(), terminal.child().id());
    house.run(&["serve", "--stop"], 0);
    until_gone(service);
    assert_eq!(terminal.wait().code(), Some(0));
    assert_eq!(house.ps(&names[0])["state"], "stopped");
    let none = house.run(&["serve", "--stop"], 0);
    assert!(
        none.stderr_text().contains("no supervisor runs"),
        "{none:?}"
    );
}
