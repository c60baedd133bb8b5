//! Delivery as a file: in memory, for its services only, and gone with them however they end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::app::MANIFEST;
use super::house::{House, kill, until_gone};
use crate::support::VALUE;

fn running() -> (House, PathBuf) {
    let house = House::new();
    let manifest = MANIFEST.replace("services: [web]", "services: [web]\n    deliver: file");
    let package = house.app("parrot", &manifest).pack();
    house.run(&["open", &package, "-d"], 3);
    house.save("parrot", "API_KEY", VALUE);
    house.run(&["start", "parrot", "-d"], 0);
    let path = house.variable("parrot", "web", "API_KEY_FILE").unwrap();
    (house, path.into())
}

#[test]
fn a_secret_file_is_in_memory_readable_by_its_owner_and_known_to_its_service_only() {
    let (house, path) = running();
    assert_eq!(fs::read_to_string(&path).unwrap(), VALUE);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o400
    );
    assert_eq!(
        fs::metadata(path.parent().unwrap())
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o700
    );
    let kind = Command::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(kind.stdout).unwrap(), "tmpfs\n");
    assert_eq!(house.variable("parrot", "web", "API_KEY"), None);
    assert_eq!(house.variable("parrot", "store", "API_KEY_FILE"), None);
    house.run(&["stop", "parrot"], 0);
    assert_nothing_left(&house, &path);
}

#[test]
fn a_secret_file_is_gone_after_the_kill_of_the_supervisor() {
    let (house, path) = running();
    let (supervisor, keeper) = (house.supervisor(), house.parent(house.pid("parrot", "web")));
    kill(supervisor);
    // The keeper removes it, and then ends.
    until_gone(keeper);
    assert_nothing_left(&house, &path);
}

#[test]
fn a_secret_file_is_of_the_next_run_after_the_kill_of_its_keeper() {
    let (house, path) = running();
    let web = house.pid("parrot", "web");
    kill(house.parent(web));
    until_gone(web);
    house.until("parrot", |ps| {
        ps["services"][1]["restarts"] == 1 && ps["services"][1]["phase"] == "up"
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), VALUE);
    house.run(&["stop", "parrot"], 0);
    assert_nothing_left(&house, &path);
}

#[test]
fn a_secret_file_that_everybody_died_over_is_gone_with_the_next_command() {
    let (house, path) = running();
    let web = house.pid("parrot", "web");
    let (keeper, supervisor) = (house.parent(web), house.supervisor());
    // Stopped first, so that neither sees the other die.
    for pid in [keeper, supervisor] {
        let stopped = Command::new("kill")
            .args(["-STOP", &pid.to_string()])
            .status();
        assert!(stopped.unwrap().success());
    }
    kill(keeper);
    kill(supervisor);
    until_gone(keeper);
    until_gone(supervisor);
    until_gone(web);
    assert!(path.exists());
    house.run(&["ps"], 0);
    assert_nothing_left(&house, &path);
}

fn assert_nothing_left(house: &House, path: &std::path::Path) {
    assert!(!path.exists());
    let secrets = house.runtime().join("secrets");
    let left: Vec<_> = fs::read_dir(secrets)
        .into_iter()
        .flatten()
        .flat_map(|instance| fs::read_dir(instance.unwrap().path()).unwrap())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
