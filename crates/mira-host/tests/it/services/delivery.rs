//! Who gets which secret, how, and who does not.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use mira_host::service::{Origin, check_in_memory};
use mira_host::supervisor::StartError;
use mira_run::lease::Leases;
use mira_secret::Scope;
use mira_testkit::canary::{Canary, Sweep};

use super::house::{House, names, value};

#[test]
fn values_arrive_with_their_exact_bytes_and_missing_ones_not_at_all() {
    let house = House::new();
    let odd = b"\xff\xfe \t'\"$(id)`\\\n\n= end \n";
    let script = "printf %s \"$ODD\" > $HOME/env; cp \"$ODD_FILE\" $HOME/file; stat -c %a $ODD_FILE ${ODD_FILE%/*}; \
        echo ${MISSING-absent} ${MISSING_FILE-absent} ${OTHER-absent}";
    let mut service = house.sh("web", script);
    service.env_secrets = names(&["ODD", "MISSING"]);
    service.file_secrets = names(&["ODD", "MISSING"]);
    let mut spec = house.spec(vec![service]);
    spec.values = vec![value("ODD", odd), value("OTHER", b"not for this service")];
    let lines = house.output(spec);
    assert_eq!(lines, ["400", "700", "absent absent absent"]);
    // A variable in a shell loses nothing here but what $(...) would; printf writes it whole.
    assert_eq!(std::fs::read(house.path("home/env")).unwrap(), odd);
    assert_eq!(std::fs::read(house.path("home/file")).unwrap(), odd);
    assert!(
        std::fs::read_dir(house.folders().runtime_secrets)
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn secret_files_are_refused_on_a_disk_and_only_there() {
    let house = House::new();
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let start = |wants: &[&str]| {
        let mut service = house.sh("web", "true");
        service.file_secrets = names(wants);
        let mut spec = house.spec(vec![service]);
        spec.folders.runtime_secrets = disk.path().join("app");
        spec.values = vec![value("KEY", b"0123456789abcdef")];
        let started = house.wait(house.supervisor.start(spec));
        house.wait(house.supervisor.stop("app-1")).ok();
        started
    };
    start(&["MISSING"]).unwrap();
    if check_in_memory(disk.path()).is_err() {
        let refused = start(&["KEY"]).unwrap_err();
        assert!(matches!(refused, StartError::Folder(_)), "{refused}");
        assert!(refused.to_string().contains("is on a disk"), "{refused}");
    }
}

#[test]
fn a_secret_file_goes_even_if_its_service_resists() {
    let house = House::new();
    let mut service = house.sh("web", "chmod 000 ${KEY_FILE%/*}; exit 0");
    service.file_secrets = names(&["KEY"]);
    let mut spec = house.spec(vec![service]);
    spec.values = vec![value("KEY", b"0123456789abcdef")];
    house.output(spec);
    assert!(
        std::fs::read_dir(house.folders().runtime_secrets)
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn holders_are_known_while_they_hold() {
    let house = House::new();
    let leases = Leases::at(house.path("leases"));
    let mut web = house.sh("web", "echo ready; exec sleep 1000");
    web.env_secrets = names(&["KEPT", "SEALED"]);
    let other = house.sh("other", "exec sleep 1000");
    let mut spec = house.spec(vec![web, other]);
    let mut kept = value("KEPT", b"0123456789abcdef");
    kept.origin = Some(Origin {
        secret_id: "s1".to_owned(),
        scope: Scope::Instance("app-1".into()),
        version: 7,
    });
    spec.values = vec![kept, value("SEALED", b"fedcba9876543210")];
    house.wait(house.supervisor.start(spec)).unwrap();
    let holders = leases.holders().unwrap();
    let states = house.supervisor.states();
    assert_eq!(holders.len(), 1, "{holders:?}");
    assert_eq!(Some(holders[0].pid), states[0].services[0].1.pid);
    assert_eq!(holders[0].program, "app/web");
    assert_eq!(holders[0].delivery.name.as_str(), "KEPT");
    assert_eq!(holders[0].delivery.version, 7);
    house.wait(house.supervisor.stop("app-1")).unwrap();
    assert_eq!(leases.holders().unwrap(), []);
}

#[test]
fn a_home_without_leases_is_told_and_stops_nothing() {
    let house = House::new();
    std::fs::write(house.path("leases"), "in the way").unwrap();
    let mut service = house.sh("web", "exec sleep 1000");
    service.env_secrets = names(&["KEY"]);
    let mut spec = house.spec(vec![service]);
    spec.values = vec![value("KEY", b"0123456789abcdef")];
    spec.values[0].origin = Some(Origin {
        secret_id: "s1".to_owned(),
        scope: Scope::User,
        version: 1,
    });
    house.wait(house.supervisor.start(spec)).unwrap();
    let states = house.supervisor.states();
    assert!(states[0].services[0].1.lease_trouble.is_some());
}

#[test]
fn no_process_shows_a_value_but_the_service_itself() {
    let house = House::new();
    let canaries: Vec<Canary> = Canary::generate()
        .into_iter()
        .filter(|canary| !canary.value().contains(&0))
        .collect();
    let mut service = house.sh("web", "echo $BASHPID; exec sleep 1000");
    service.env_secrets = names(&canaries.iter().map(Canary::name).collect::<Vec<_>>());
    service.file_secrets = service.env_secrets.clone();
    let mut spec = house.spec(vec![service]);
    spec.values = canaries
        .iter()
        .map(|canary| value(canary.name(), canary.value()))
        .collect();
    let mut followed = house.begin(spec);
    let pid = followed.phase("web", "up").pid.unwrap();
    let sweep = Sweep::new(&canaries);
    let found = sweep.processes(&[]);
    assert!(
        !found.is_clean(),
        "the sweep does not see the service's own environment"
    );
    sweep.processes(&[pid]).assert_clean();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("PPid:"))
        .unwrap();
    let keeper: u32 = line.trim_start_matches("PPid:").trim().parse().unwrap();
    let command = std::fs::read(format!("/proc/{keeper}/cmdline")).unwrap();
    assert!(command.ends_with(b"keep\0app-1/web\0"));
    // The keeper's memory is closed to its own user; root is not kept out, and finds nothing.
    match std::fs::read(format!("/proc/{keeper}/environ")) {
        Ok(environ) => {
            assert_eq!(std::ffi::OsStr::from_bytes(&environ), "");
            sweep.memory(keeper).assert_clean();
        }
        Err(refused) => assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied),
    }
    house.wait(house.supervisor.stop("app-1")).unwrap();
    sweep.folder(house.folder.path()).assert_clean();
    sweep.folder(house.memory.path()).assert_clean();
    let folder = house.folders().runtime_secrets.metadata().unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
}
