//! How services are stopped, and that nothing is left of them.

use std::time::Duration;

use mira_host::service::{End, StopSignal};
use mira_host::supervisor::{StartError, StopError};

use super::house::{Gate, House};

/// A service whose tree resists: a daemon in a session of its own, a deaf child, a process that forks on and on, all of
/// them holding a gate; its main process does what `main` says.
pub(super) fn resisting(gate: &Gate, main: &str) -> String {
    format!(
        r#"exec 9>{gate}
        python3 -c '
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for s in (1, 2, 15):
            signal.signal(s, signal.SIG_IGN)
        print("daemon", flush=True)
        time.sleep(1000)
    os._exit(0)
os.wait()
'
        (trap "" TERM HUP INT; while :; do sleep 1000; done) &
        python3 -c '
import os, time
print("chain", flush=True)
for n in range(4000):
    if os.fork():
        os._exit(0)
    if n % 7 == 0:
        os.setsid()
time.sleep(1000)
' &
        setsid bash -c 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); (:); done; exec sleep 1000' &
        {main}"#,
        gate = gate.path().display(),
    )
}

#[test]
fn dependants_stop_before_what_they_depend_on() {
    let house = House::new();
    // A shell may miss a signal that comes just before it begins to wait; what waits for the signal itself does not.
    let script = r#"exec python3 -c '
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
signal.sigwait([signal.SIGTERM])
print("bye", flush=True)
'"#;
    let db = house.sh("db", script);
    let mut web = house.sh("web", script);
    web.depends_on = vec!["db".to_owned()];
    let mut followed = house.begin(house.spec(vec![db, web]));
    for _ in 0..2 {
        followed.line("ready");
    }
    house.wait(house.supervisor.stop("app-1")).unwrap();
    let all = followed.lines();
    assert_eq!(
        all.iter().filter(|line| *line == "bye").count(),
        2,
        "{all:?}"
    );
    let position = |event: &str| followed.seen.iter().position(|seen| seen == event).unwrap();
    assert!(position("web stopped") < position("db stopping"));
    assert!(position("db stopping") < position("db: bye"));
    let again = house.wait(house.supervisor.stop("app-1"));
    assert!(matches!(again, Err(StopError::NotThere { .. })));
}

#[test]
fn a_tree_that_does_not_end_when_asked_is_killed_whole() {
    let house = House::new();
    let gate = house.gate("gate");
    let main = "trap '' TERM; echo ready; while :; do sleep 1000; done";
    let mut service = house.sh("web", &resisting(&gate, main));
    service.stop_grace = Duration::from_millis(50);
    let mut followed = house.begin(house.spec(vec![service]));
    let held = gate.open();
    followed.each_line(&["daemon", "ready"]);
    house.wait(house.supervisor.stop("app-1")).unwrap();
    held.closed();
    let last = followed.phase("web", "stopped");
    assert_eq!(last.last_end, Some(End::Signaled(9)));
}

#[test]
fn what_a_service_leaves_behind_ends_with_it() {
    let house = House::new();
    let gate = house.gate("gate");
    let mut followed = house.begin(house.spec(vec![house.sh("web", &resisting(&gate, "exit 0"))]));
    let held = gate.open();
    let state = followed.phase("web", "ended");
    assert_eq!((state.last_end, state.pid), (Some(End::Exited(0)), None));
    held.closed();
}

#[test]
fn the_stop_signal_is_the_services_own_and_reaches_stopped_processes() {
    let house = House::new();
    let script = "trap 'echo got it; exit 7' USR1; trap '' TERM; echo ready; kill -STOP $$; while :; do :; done";
    let mut service = house.sh("web", script);
    service.stop_signal = StopSignal::Usr1;
    let mut followed = house.begin(house.spec(vec![service]));
    followed.line("ready");
    house.wait(house.supervisor.stop("app-1")).unwrap();
    followed.line("got it");
    let state = followed.phase("web", "stopped");
    assert_eq!(state.last_end, Some(End::Exited(7)));
}

#[test]
fn one_service_is_restarted_and_the_others_are_left_alone() {
    let house = House::new();
    let spec = house.spec(vec![
        house.sh("db", "exec sleep 1000"),
        house.sh("web", "exec sleep 1000"),
    ]);
    house.wait(house.supervisor.start(spec)).unwrap();
    let pids = || -> Vec<u32> {
        let states = house.supervisor.states();
        states[0]
            .services
            .iter()
            .map(|(_, state)| state.pid.unwrap())
            .collect()
    };
    let before = pids();
    house
        .wait(house.supervisor.restart("app-1", Some("web")))
        .unwrap();
    let after = pids();
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    house.wait(house.supervisor.restart("app-1", None)).unwrap();
    assert_ne!(pids()[0], after[0]);
    let none = house.wait(house.supervisor.restart("app-1", Some("none")));
    assert!(matches!(none, Err(StartError::NoService { .. })));
    let none = house.wait(house.supervisor.restart("other", None));
    assert!(matches!(none, Err(StartError::NotThere { .. })));
}

#[test]
fn a_start_that_is_stopped_says_so() {
    let house = House::new();
    let mut slow = house.sh("web", "exec sleep 1000");
    slow.health = Some(super::starting::flag(&house, "never"));
    let mut followed = house.begin(house.spec(vec![slow]));
    followed.phase("web", "starting");
    house.wait(house.supervisor.stop("app-1")).unwrap();
    assert!(matches!(followed.up(), Err(StartError::Stopped)));
}

#[test]
fn a_shutdown_and_the_supervisors_end_stop_everything() {
    let house = House::new();
    let gate = house.gate("gate");
    let spec = |id: &str| {
        let script = format!("exec 9>{}; exec sleep 1000", gate.path().display());
        let mut spec = house.spec(vec![house.sh("web", &script)]);
        spec.id = id.to_owned();
        spec
    };
    for id in ["one", "two"] {
        house.wait(house.supervisor.start(spec(id))).unwrap();
    }
    let held = gate.open();
    house.wait(house.supervisor.shutdown()).unwrap();
    held.closed();
    assert!(house.supervisor.states().is_empty());
    house.wait(house.supervisor.start(spec("three"))).unwrap();
    let held = gate.open();
    drop(house);
    held.closed();
}
