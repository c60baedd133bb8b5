//! Deleting: all of an instance and nothing else; what was interrupted anywhere is finished by the next try.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use mira_testkit::home::TestHome;
use mira_testkit::secret_service::SecretService;

use super::app::MANIFEST;
use super::house::{House, until_gone};
use crate::support::{MIRA, VALUE, set};

/// The calls by which a deletion changes a disk, as its parts make them: database, vault, folders, locks.
const CALLS: [&str; 4] = [
    "pwrite64,fdatasync",
    "rename,renameat,renameat2,fsync",
    "unlink,unlinkat,rmdir",
    "write,ftruncate,flock",
];

fn open(house: &House, package: &str, name: &str) {
    house.run(&["open", package, "-d", "--name", name], 3);
    house.save(name, "API_KEY", VALUE);
    house.save(name, "EXTRA_KEY", VALUE);
}

#[test]
fn a_running_instance_is_stopped_and_all_of_it_is_gone() {
    let house = House::new();
    let package = house.app("parrot", MANIFEST).pack();
    open(&house, &package, "parrot");
    house.run(&["start", "parrot", "-d"], 0);
    let (service, folder) = (house.pid("parrot", "web"), house.file("parrot", ""));
    let refused = house.run(&["delete", "parrot"], 3);
    assert!(refused.stderr_text().contains("--yes"), "{refused:?}");
    assert_eq!(house.ps("parrot")["state"], "up");
    house.run(&["delete", "parrot", "--yes"], 0);
    until_gone(service);
    assert!(!folder.exists());
    assert!(
        house
            .json(&["list", "--json"], 0)
            .as_array()
            .unwrap()
            .is_empty()
    );
    house.run(&["delete", "parrot", "--yes"], 3);
    let packages = fs::read_dir(house.home.mira_home().join("packages")).unwrap();
    assert_eq!(packages.count(), 0);
}

#[test]
fn a_deletion_that_is_killed_anywhere_is_finished_by_the_next() {
    let house = House::new();
    let package = house.app("parrot", MANIFEST).pack();
    open(&house, &package, "sibling");
    let mut stages = std::collections::BTreeSet::new();
    let (mut kind, mut call) = (CALLS.iter(), 1);
    let mut calls = kind.next();
    while let Some(killing) = calls {
        open(&house, &package, "victim");
        let id = house.ps("victim")["id"].as_str().unwrap().to_owned();
        let folder = house.file("victim", "");
        fs::create_dir_all(folder.join("state/data")).unwrap();
        fs::write(folder.join("state/data/file"), "state").unwrap();
        let ended = delete_killed_at(&house, killing, call);
        let (in_vault, in_store) = left(&house, &id);
        stages.insert((in_store.clone(), in_vault, folder.exists()));
        if let Some(state) = in_store {
            if state == "deleting" {
                // It is shown as such, and nothing brings it back to life.
                let started = house.run(&["start", "victim", "-d"], 1);
                assert!(started.stderr_text().contains("delete"), "{started:?}");
            }
            house.run(&["delete", "victim", "--yes"], 0);
        }
        assert_eq!(left(&house, &id), (false, None), "{killing} {call}");
        assert!(!folder.exists(), "{killing} {call}");
        let listed = house.json(&["secret", "list", "--instance", "sibling", "--json"], 0);
        assert_eq!(listed[1]["source"], "own", "{killing} {call}");
        call += 1;
        if ended {
            // There are fewer calls than that: on to the next kind.
            (calls, call) = (kind.next(), 1);
        }
    }
    // It was killed before the vault forgot, after that, and after the files were gone.
    assert!(stages.len() >= 4, "{stages:?}");
    house.run(&["start", "sibling", "-d"], 0);
}

/// Returns whether the vault knows the instance's scope, and what `mira ps` says of it.
fn left(house: &House, id: &str) -> (bool, Option<String>) {
    let vault = fs::read_to_string(house.home.mira_home().join("credentials.json")).unwrap();
    let all = house.json(&["ps", "--json"], 0);
    let mut found = all.as_array().unwrap().iter();
    let found = found.find(|known| known["id"] == id);
    let state = found.map(|known| known["state"].as_str().unwrap().to_owned());
    (vault.contains(id), state)
}

/// Deletes the victim, and kills the process when it makes its `call`th call; returns whether it ended before.
fn delete_killed_at(house: &House, calls: &str, call: usize) -> bool {
    let inject = format!("inject={calls}:signal=KILL:when={call}");
    let run = house
        .home
        .mira("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &inject])
        .args([MIRA, "delete", "victim", "--yes"])
        .run();
    match (run.status.code(), run.status.signal()) {
        (Some(0), _) => true,
        (_, Some(9)) => false,
        _ => panic!("neither deleted nor killed: {run:?}"),
    }
}

#[test]
fn with_the_keychain_exactly_its_own_items_go() {
    let service = SecretService::start();
    let mut home = TestHome::new();
    for (name, value) in service.env() {
        home.set(name, value);
    }
    let house = House::with(home, &["--provider", "keyring", "--backend", "keychain"]);
    set(&house.home, "MINE", VALUE);
    let package = house.app("parrot", MANIFEST).pack();
    open(&house, &package, "one");
    open(&house, &package, "two");
    let ids = ["one", "two"].map(|name| house.ps(name)["id"].as_str().unwrap().to_owned());
    let is_there = |account: &str| {
        let args = ["lookup", "service", "mira", "account", account];
        house.home.mira("secret-tool").args(args).run().code() == Some(0)
    };
    let accounts = |id: &str| ["API_KEY", "EXTRA_KEY"].map(|name| format!("instance/{id}/{name}"));
    house.run(&["start", "one", "-d"], 0);
    house.run(&["delete", "one", "--yes"], 0);
    let [gone, kept] = ids;
    for account in accounts(&gone) {
        assert!(!is_there(&account), "{account}");
    }
    for account in accounts(&kept)
        .iter()
        .map(String::as_str)
        .chain(["user/MINE"])
    {
        assert!(is_there(account), "{account}");
    }
    house.run(&["start", "two", "-d"], 0);
    assert_eq!(
        house.variable("two", "web", "API_KEY").as_deref(),
        Some(VALUE)
    );
}
