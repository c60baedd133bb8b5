//! The limiter's boundaries, under a clock that the test moves.

use super::*;

fn at(wall_s: i64, up_s: u64, boot: &str) -> Clock {
    at_ms(wall_s * 1000, up_s * 1000, boot)
}

fn at_ms(wall_ms: i64, up_ms: u64, boot: &str) -> Clock {
    Clock {
        wall: Timestamp::from_millisecond(wall_ms).unwrap(),
        since_boot: Duration::from_millis(up_ms),
        boot_id: boot.to_owned(),
    }
}

/// Fails as often as said, each time as soon as it is allowed; returns the state and the uptime of the last attempt.
fn failed(times: u32) -> (Guesses, u64) {
    let (mut state, mut up) = (Guesses::default(), 1000);
    for _ in 0..times {
        while let Err(wait) = state.reserve(&at(5000, up, "a")) {
            up += wait.left.as_secs();
        }
        state = state.reserve(&at(5000, up, "a")).unwrap();
    }
    (state, up)
}

#[test]
fn each_failure_doubles_the_delay_and_the_fifth_locks() {
    for (failures, delay_s) in [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 4),
        (4, 8),
        (5, 300),
        (6, 300),
        (20, 300),
    ] {
        let (state, up) = failed(failures);
        assert_eq!(state.failures(), failures);
        if delay_s > 0 {
            let wait = state.reserve(&at(0, up, "a")).unwrap_err();
            assert_eq!(
                (wait.left.as_secs(), wait.locked),
                (delay_s, failures >= 5),
                "{failures}"
            );
            let wait = state
                .reserve(&at_ms(0, (up + delay_s) * 1000 - 1, "a"))
                .unwrap_err();
            assert_eq!(wait.left, Duration::from_millis(1));
        }
        let state = state.reserve(&at(0, up + delay_s, "a")).unwrap();
        assert_eq!(state.failures(), failures + 1);
    }
}

#[test]
fn the_lock_holds_for_299_seconds_and_ends_after_300() {
    let (state, up) = failed(5);
    let wait = state.reserve(&at(5000, up + 299, "a")).unwrap_err();
    assert_eq!((wait.left.as_secs(), wait.locked), (1, true));
    assert_eq!(wait.until, Timestamp::from_second(5001).unwrap());
    assert_eq!(
        wait.to_string(),
        "locked after 5 wrong passwords; try again in 1 s"
    );
    // The sixth attempt fails as well: locked again, as long.
    let state = state.reserve(&at(5000, up + 300, "a")).unwrap();
    let wait = state.reserve(&at(5000, up + 301, "a")).unwrap_err();
    assert_eq!((wait.left.as_secs(), wait.locked), (299, true));
}

#[test]
fn success_resets() {
    let (state, up) = failed(4);
    let reserved = state.reserve(&at(0, up + 8, "a")).unwrap();
    assert_eq!(reserved.on_success(), Guesses::default());
    assert_eq!(
        reserved
            .on_success()
            .reserve(&at(0, up + 8, "a"))
            .unwrap()
            .failures(),
        1
    );
}

#[test]
fn an_attempt_counts_before_it_is_made() {
    // Sixteen processes at once, each with its own transaction: one gets to try. A killed one has failed.
    let now = at(5000, 1000, "a");
    let mut state = Guesses::default();
    let mut allowed = 0;
    for _ in 0..16 {
        match state.reserve(&now) {
            Ok(next) => {
                state = next;
                allowed += 1;
            }
            Err(wait) => state = wait.state,
        }
    }
    assert_eq!((allowed, state.failures()), (1, 1));
}

#[test]
fn the_delay_begins_when_the_failure_is_known() {
    let state = Guesses::default().reserve(&at(0, 1000, "a")).unwrap();
    let state = state.on_failure(&at(0, 1003, "a"));
    let wait = state.reserve(&at(0, 1003, "a")).unwrap_err();
    assert_eq!((wait.left.as_secs(), state.failures()), (1, 1));
    // Another process has succeeded meanwhile.
    assert_eq!(
        Guesses::default().on_failure(&at(0, 1003, "a")),
        Guesses::default()
    );
}

#[test]
fn within_a_boot_the_wall_clock_decides_nothing() {
    let (state, up) = failed(5);
    for wall in [0, 5000, 5299, 5300, 1_000_000, 100_000_000_000] {
        assert_eq!(
            state
                .reserve(&at(wall, up + 10, "a"))
                .unwrap_err()
                .left
                .as_secs(),
            290,
            "{wall}"
        );
        assert!(state.reserve(&at(wall, up + 300, "a")).is_ok(), "{wall}");
    }
    // An uptime that goes back is not possible, and gives nothing.
    assert_eq!(
        state.reserve(&at(5000, 0, "a")).unwrap_err().left.as_secs(),
        300
    );
}

#[test]
fn after_a_reboot_the_wall_clock_decides() {
    let (state, up) = failed(5);
    let wait = state.reserve(&at(5100, up + 9000, "b")).unwrap_err();
    assert_eq!(wait.left.as_secs(), 200);
    assert!(state.reserve(&at(5300, 1, "b")).is_ok());
    // Set back: no time has passed. What is left then counts in this boot, whatever the wall clock says.
    let wait = state.reserve(&at(10, 1, "b")).unwrap_err();
    assert_eq!(wait.left.as_secs(), 300);
    assert_eq!(
        wait.state
            .reserve(&at(999_999, 200, "b"))
            .unwrap_err()
            .left
            .as_secs(),
        101
    );
    assert!(wait.state.reserve(&at(10, 301, "b")).is_ok());
    assert_eq!(wait.state.failures(), 5);
}

#[test]
fn without_a_boot_identifier_the_wall_clock_decides() {
    let state = Guesses::default().reserve(&at(5000, 0, "")).unwrap();
    assert!(state.reserve(&at(5000, 0, "")).is_err());
    assert!(state.reserve(&at(4000, 0, "")).is_err());
    assert!(state.reserve(&at(5001, 0, "")).is_ok());
}

#[test]
fn a_state_is_kept_as_json_with_a_closed_schema() {
    for failures in [0, 1, 5] {
        let (state, _) = failed(failures);
        let text = state.to_json();
        assert!(text.len() < 200);
        assert_eq!(Guesses::from_json(&text), Ok(state));
    }
    let text = failed(5).0.to_json();
    for (from, to) in [
        ("\"version\":1", "\"version\":2"),
        ("\"failures\":5", "\"failures\":0"),
        ("\"failures\":5", "\"failures\":5,\"more\":1"),
        ("\"failures\":5,", ""),
        ("\"delay_ms\":300000", "\"delay_ms\":300001"),
        ("}}", "}"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert_eq!(Guesses::from_json(&changed), Err(StateError), "{to}");
    }
}

#[test]
fn the_real_clock_goes_forward() {
    let (first, second) = (Clock::now().unwrap(), Clock::now().unwrap());
    assert!(second.since_boot >= first.since_boot);
    assert_eq!(first.boot_id, second.boot_id);
    assert!(!cfg!(target_os = "linux") || first.boot_id.len() == 36);
}
