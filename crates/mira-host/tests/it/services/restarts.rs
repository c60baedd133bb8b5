//! When a service that ended is started again, and when that is given up.

use std::time::Duration;

use mira_host::service::{Check, End, Health, Restart};
use mira_host::supervisor::BackoffRules;

use super::house::{House, PATIENCE};

#[test]
fn each_policy_restarts_what_it_says() {
    for (restart, script, ends) in [
        (Restart::Never, "exit 0", "ended"),
        (Restart::Never, "exit 1", "failed"),
        (Restart::OnFailure, "exit 0", "ended"),
        (Restart::OnFailure, "exit 1", "delayed"),
        (Restart::OnFailure, "kill -9 $$", "delayed"),
        (Restart::Always, "exit 0", "delayed"),
    ] {
        let house = House::new();
        let mut service = house.sh("web", script);
        service.restart = restart;
        let mut followed = house.begin(house.spec(vec![service]));
        followed.phase("web", ends);
        assert!(!followed.seen.contains(&format!(
            "web {}",
            if ends == "delayed" {
                "ended"
            } else {
                "delayed"
            }
        )));
    }
}

#[test]
fn a_service_that_never_stays_up_is_given_up() {
    let house = House::new();
    let mut service = house.sh("web", "echo try; exit 4");
    service.restart = Restart::OnFailure;
    // Its state counts as up for a moment: without a health check nothing better is known.
    let mut followed = house.begin(house.spec(vec![service]));
    let says = followed.failure("web");
    assert_eq!(
        says,
        "it was started 11 times in a row and did not stay up (at last: it exited with 4; see its log)"
    );
    let tries = followed
        .seen
        .iter()
        .filter(|seen| *seen == "web: try")
        .count();
    assert_eq!(tries, 11);
    let states = house.supervisor.states();
    let state = &states[0].services[0].1;
    assert_eq!((state.restarts, state.last_end), (10, Some(End::Exited(4))));
    // Asked for by a person it is another try, with a new count.
    std::fs::write(house.path("home/fixed"), "").unwrap();
    house.wait(house.supervisor.restart("app-1", None)).unwrap();
}

#[test]
fn a_service_that_says_before_it_is_up_that_something_is_missing_is_not_started_again() {
    for restart in [Restart::OnFailure, Restart::Always] {
        let house = House::new();
        let mut service = house.sh("web", "echo try; exit 3");
        service.restart = restart;
        service.health = Some(Health {
            check: Check::Command(vec!["false".into()]),
            interval: Duration::from_millis(10),
            timeout: PATIENCE,
            retries: 2,
            start_period: PATIENCE,
        });
        let mut followed = house.begin(house.spec(vec![service]));
        assert_eq!(
            followed.failure("web"),
            "something that it needs is missing (it exited with 3); see its log"
        );
        assert!(!followed.seen.contains(&"web delayed".to_owned()));
    }
}

#[test]
fn a_service_that_was_well_for_long_begins_its_count_anew() {
    let house = House::with(|config| {
        config.backoff = BackoffRules {
            first: Duration::from_millis(1),
            well_after: Duration::ZERO,
            restarts_max: 2,
            ..BackoffRules::default()
        };
    });
    // Each run ends once it is known to have been well.
    let script = "n=$(cat $HOME/n 2>/dev/null || echo 0); echo $((n+1)) > $HOME/n; \
                  while [ ! -e $HOME/end-$n ]; do sleep 0.01; done; exit 1";
    let mut service = house.sh("web", script);
    service.restart = Restart::OnFailure;
    let mut followed = house.begin(house.spec(vec![service]));
    for run in 0..9 {
        while followed.phase("web", "up").restarts < run {}
        std::fs::write(house.path(&format!("home/end-{run}")), "").unwrap();
    }
    while followed.phase("web", "up").restarts < 9 {}
}

#[test]
fn a_stop_does_not_wait_for_the_next_start() {
    let house = House::with(|config| config.backoff.first = 2 * PATIENCE);
    let house = {
        let mut service = house.sh("web", "exit 1");
        service.restart = Restart::Always;
        let mut followed = house.begin(house.spec(vec![service]));
        followed.phase("web", "delayed");
        house.wait(house.supervisor.stop("app-1")).unwrap();
        assert!(!followed.seen.contains(&"web stopping".to_owned()));
        followed.phase("web", "stopped");
        house
    };
    assert!(house.supervisor.states().is_empty());
}
