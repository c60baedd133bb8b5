//! What is started, when, and with what around it; and what is not started at all.

use std::ffi::OsString;
use std::net::TcpListener;
use std::time::Duration;

use mira_host::service::{Check, Health, ProgramError};
use mira_host::supervisor::StartError;

use super::house::{House, PATIENCE};

/// A check that a file is there.
pub(super) fn flag(house: &House, name: &str) -> Health {
    let path = house.path(name).display().to_string();
    Health {
        check: Check::Command(["test", "-e", &path].map(OsString::from).to_vec()),
        interval: Duration::from_millis(10),
        timeout: PATIENCE,
        retries: 1,
        start_period: PATIENCE,
    }
}

#[test]
fn a_service_waits_until_what_it_depends_on_is_healthy() {
    let house = House::new();
    let mut db = house.sh("db", "echo db runs; exec sleep 1000");
    db.health = Some(flag(&house, "healthy"));
    let mut web = house.sh("web", "echo web runs; exec sleep 1000");
    web.depends_on = vec!["db".to_owned()];
    let mut job = house.sh("job", "echo job is done");
    job.depends_on = vec!["web".to_owned()];
    let mut followed = house.begin(house.spec(vec![db, web, job]));
    followed.line("db runs");
    let states = house.supervisor.states();
    let phases: Vec<_> = states[0]
        .services
        .iter()
        .map(|(name, state)| format!("{name} {}", state.phase))
        .collect();
    assert_eq!(phases, ["db starting", "web waiting", "job waiting"]);
    std::fs::write(house.path("healthy"), "").unwrap();
    followed.up().unwrap();
    followed.phase("job", "ended");
    let position = |event: &str| followed.seen.iter().position(|seen| seen == event).unwrap();
    assert!(position("db up") < position("web starting"));
    assert!(position("web up") < position("job starting"));
}

#[test]
fn what_is_wrong_is_told_before_anything_is_started() {
    let house = House::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mark = house.path("mark").display().to_string();
    let refused = |change: &dyn Fn(&mut mira_host::service::InstanceSpec)| {
        let first = house.sh("first", &format!("touch {mark}"));
        let mut spec = house.spec(vec![first, house.sh("second", "true")]);
        change(&mut spec);
        house.wait(house.supervisor.begin(spec, false)).unwrap_err()
    };
    let missing = refused(&|spec| spec.services[1].command = vec!["no-such-program".into()]);
    assert!(
        matches!(&missing, StartError::Program { service, error: ProgramError::NotInstalled { .. } } if service == "second"),
        "{missing}"
    );
    assert!(missing.to_string().contains("no-such-program"), "{missing}");
    let spec = refused(&|spec| spec.services[0].depends_on = vec!["second".to_owned()]);
    assert!(matches!(spec, StartError::Spec(_)), "{spec}");
    let port_taken = refused(&|spec| spec.services[1].ports = vec![port]);
    assert!(
        matches!(port_taken, StartError::PortTaken { .. }),
        "{port_taken}"
    );
    let check = Check::Command(vec!["./none".into()]);
    let health = refused(&|spec| {
        spec.services[1].health = Some(Health {
            check: check.clone(),
            ..flag(&house, "x")
        });
    });
    assert!(matches!(health, StartError::Program { .. }), "{health}");
    let package = refused(&|spec| spec.folders.package = house.path("none"));
    assert!(matches!(package, StartError::Folder(_)), "{package}");
    assert!(house.supervisor.states().is_empty());
    assert!(!house.path("mark").exists());
}

#[test]
fn one_that_fails_for_good_stops_all() {
    let house = House::new();
    let gate = house.gate("gate");
    let up = house.path("up").display().to_string();
    let script = format!(
        "exec 9>{}; touch {up}; exec sleep 1000",
        gate.path().display()
    );
    let mut good = house.sh("good", &script);
    good.health = Some(flag(&house, "up"));
    let mut bad = house.sh("bad", "echo it is broken >&2; exit 7");
    bad.health = Some(flag(&house, "never"));
    bad.depends_on = vec!["good".to_owned()];
    let mut followed = house.begin(house.spec(vec![good, bad]));
    let held = gate.open();
    let error = followed.up().unwrap_err();
    assert_eq!(
        error.to_string(),
        "service \"bad\" does not run: it exited with 7; see its log"
    );
    held.closed();
    assert!(house.supervisor.states().is_empty());
    assert!(followed.lines().contains(&"it is broken".to_owned()));
}

#[test]
fn an_instance_is_started_once() {
    let house = House::new();
    let spec = || house.spec(vec![house.sh("web", "exec sleep 1000")]);
    house.wait(house.supervisor.start(spec())).unwrap();
    let again = house.wait(house.supervisor.start(spec()));
    assert!(matches!(again, Err(StartError::AlreadyThere { .. })));
    house.wait(house.supervisor.stop("app-1")).unwrap();
    house.wait(house.supervisor.start(spec())).unwrap();
}

#[test]
fn a_script_that_cannot_be_executed_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let house = House::new();
    for (content, says) in [
        ("#!/no/such/interpreter\n", "needs an interpreter"),
        ("echo hi\n", "begins with #!"),
    ] {
        let path = house.path("package/run");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let spec = house.spec(vec![house.program("web", &["./run"])]);
        let error = house.wait(house.supervisor.start(spec)).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_service_has_its_own_surroundings_and_nothing_of_ours() {
    let house = House::new();
    // Open in this process, and not closed on exec.
    let ours = std::fs::File::open("/dev/null").unwrap();
    let inherited = rustix::io::dup(&ours).unwrap();
    let asks = "
        pwd; umask; ulimit -c; ulimit -Hc; readlink /proc/self/fd/0
        read -r pid _ _ _ group session _ < /proc/$$/stat; test $pid = $group -a $pid = $session && echo leads
        echo \"$HOME $TMPDIR $MIRA_INSTANCE $MIRA_SERVICE\"
        env | cut -d= -f1 | grep -vE '^(LC_.*|LANG|TZ|PATH|HOME|TMPDIR|MIRA_.*|PWD|SHLVL|_)$'
        true";
    let lines = house.output(house.spec(vec![house.sh("web", asks)]));
    let folder = |name: &str| house.path(name).display().to_string();
    assert_eq!(
        lines,
        [
            &folder("package"),
            "0077",
            "0",
            "0",
            "/dev/null",
            "leads",
            &format!("{} {} app-1 web", folder("home"), folder("tmp")),
        ]
    );
    // The fourth is the listing itself.
    let fds = house.program("web", &["ls", "/proc/self/fd"]);
    assert_eq!(house.output(house.spec(vec![fds])), ["0", "1", "2", "3"]);
    drop(inherited);
    let signals = house.program("web", &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    for line in house.output(house.spec(vec![signals])) {
        let mask = line.split_whitespace().next_back().unwrap();
        // Without two that the C library keeps to itself.
        let mask = u64::from_str_radix(mask, 16).unwrap() & !(0b11 << 31);
        assert_eq!(mask, 0, "{line}");
    }
}
