//! `kill -9` of the supervisor, of the command in the foreground, of a keeper: nothing of an app is left that nobody answers for.

use mira_testkit::home::Run;

use super::app::MANIFEST;
use super::house::{House, kill, until_gone};
use crate::support::VALUE;

/// A house with a parrot that is up.
fn running() -> House {
    let house = ready();
    house.run(&["start", "parrot", "-d"], 0);
    house
}

/// A house with a parrot that has what it needs.
fn ready() -> House {
    let house = House::new();
    let package = house.app("parrot", MANIFEST).pack();
    house.run(&["open", &package, "-d"], 3);
    house.save("parrot", "API_KEY", VALUE);
    house
}

fn services(house: &House) -> [u32; 2] {
    ["web", "store"].map(|service| house.pid("parrot", service))
}

#[test]
fn a_killed_supervisor_leaves_no_service_and_the_next_start_works_at_once() {
    let house = running();
    for _ in 0..3 {
        let services = services(&house);
        let keepers = services.map(|pid| house.parent(pid));
        kill(house.supervisor());
        // At once: what is left of the former ones is not in the way.
        house.run(&["start", "parrot", "-d"], 0);
        for pid in services.into_iter().chain(keepers) {
            until_gone(pid);
        }
        assert_eq!(house.ps("parrot")["state"], "up");
        assert_eq!(
            house.variable("parrot", "web", "API_KEY").as_deref(),
            Some(VALUE)
        );
    }
    kill(house.supervisor());
    assert_eq!(house.ps("parrot")["state"], "stopped");
    let stopped = house.run(&["stop", "parrot"], 0);
    assert!(stopped.stderr_text().contains("did not run"), "{stopped:?}");
}

#[test]
fn a_killed_command_in_the_foreground_stops_its_instance() {
    let house = ready();
    let mut terminal = house.terminal(&["open", "parrot"]);
    terminal.expect("parrot is up");
    let services = services(&house);
    kill(terminal.child().id());
    for pid in services {
        until_gone(pid);
    }
    house.until("parrot", |ps| ps["state"] == "stopped");
    house.run(&["start", "parrot", "-d"], 0);
}

#[test]
fn a_closed_terminal_stops_its_instance() {
    let house = ready();
    let mut terminal = house.terminal(&["open", "parrot"]);
    terminal.expect("parrot is up");
    let services = services(&house);
    terminal.hang_up();
    for pid in services {
        until_gone(pid);
    }
}

#[test]
fn a_service_whose_keeper_is_killed_dies_and_is_started_again() {
    let house = running();
    let [web, store] = services(&house);
    kill(house.parent(web));
    until_gone(web);
    let again = house.until("parrot", |ps| {
        let web = &ps["services"][1];
        web["service"] == "web" && web["restarts"] == 1 && web["phase"] == "up"
    });
    assert_ne!(again["services"][1]["pid"], web);
    assert_eq!(again["services"][0]["pid"], store, "{again}");
    assert_eq!(
        house.variable("parrot", "web", "API_KEY").as_deref(),
        Some(VALUE)
    );
}

#[test]
fn a_service_that_dies_is_started_again_by_itself_and_on_request() {
    let house = running();
    let [web, _] = services(&house);
    kill(web);
    house.until("parrot", |ps| {
        let web = &ps["services"][1];
        web["restarts"] == 1 && web["phase"] == "up"
    });
    house.run(&["restart", "parrot", "--service", "web"], 0);
    let no_such: Run = house.run(&["restart", "parrot", "--service", "nobody"], 1);
    assert!(no_such.stderr_text().contains("nobody"), "{no_such:?}");
    house.run(&["stop", "parrot"], 0);
    house.run(&["restart", "parrot", "--service", "web"], 1);
}
