//! Two instances of one package beside another app: each has its own secrets, ports and state, also when all are opened at once.

use std::collections::BTreeSet;
use std::fs;
use std::thread;

use super::app::MANIFEST;
use super::house::House;
use crate::support::set;

/// What runs beside each other: the name, and the secret's value.
const INSTANCES: [(&str, &str); 3] = [
    ("one", "sk-proj-of-the-first-instance"),
    ("two", "sk-proj-of-the-second-instance"),
    ("other", "sk-proj-of-the-other-app"),
];

/// Opens all three at once, gives each its secret at once, starts all at once.
fn opened() -> House {
    let house = House::new();
    set(
        &house.home,
        "API_KEY",
        "the-users-own-which-nobody-is-bound-to",
    );
    let package = house.app("parrot", MANIFEST).pack();
    let other = MANIFEST.replace("org.example.parrot", "org.example.other");
    let other = house.app("other", &other).pack();
    let at_once = |step: &(dyn Fn(&str, &str) + Sync)| {
        thread::scope(|scope| {
            for (name, value) in INSTANCES {
                scope.spawn(move || step(name, value));
            }
        });
    };
    at_once(&|name, _| {
        let package = if name == "other" { &other } else { &package };
        house.run(&["open", package, "-d", "--name", name], 3);
    });
    at_once(&|name, value| drop(house.save(name, "API_KEY", value)));
    at_once(&|name, _| drop(house.run(&["start", name, "-d"], 0)));
    house
}

#[test]
fn instances_have_disjoint_secrets_ports_and_state() {
    let house = opened();
    let mut ports = BTreeSet::new();
    let mut folders = BTreeSet::new();
    for (name, value) in INSTANCES {
        assert_eq!(
            house.variable(name, "web", "API_KEY").as_deref(),
            Some(value)
        );
        for service in ["web", "store"] {
            let all = house.environment(name, service);
            for (_, foreign) in INSTANCES.iter().filter(|(other, _)| *other != name) {
                assert!(
                    all.iter().all(|(_, has)| !has.contains(foreign)),
                    "{name}: {all:?}"
                );
            }
            let has = |variable: &str| house.variable(name, service, variable).unwrap();
            assert!(ports.insert(has("PORT")), "{ports:?}");
            assert!(has("HOME").contains("instances/") && has("TMPDIR").contains("instances/"));
            // Of the user's own environment nothing else is there.
            let foreign = [
                "MIRA_HOME",
                "XDG_RUNTIME_DIR",
                "XDG_CONFIG_HOME",
                "USER",
                "TERM",
            ];
            assert!(
                all.iter()
                    .all(|(name, _)| !foreign.contains(&name.as_str())),
                "{all:?}"
            );
        }
        assert!(folders.insert(house.variable(name, "web", "DATA").unwrap()));
        let listed = house.json(&["secret", "list", "--instance", name, "--json"], 0);
        assert_eq!(listed[0]["source"], "own");
    }
}

#[test]
fn deleting_one_leaves_the_others_as_they_were() {
    let house = opened();
    let (kept, gone) = (house.ps("two"), house.ps("one"));
    let folder = house.file("one", "");
    house.run(&["delete", "one", "--yes"], 0);
    house.run(&["ps", "one"], 3);
    assert!(!folder.exists());
    let vault = fs::read_to_string(house.home.mira_home().join("credentials.json")).unwrap();
    assert!(!vault.contains(gone["id"].as_str().unwrap()));
    let now = house.ps("two");
    assert_eq!(
        (&now["services"], &now["ports"]),
        (&kept["services"], &kept["ports"])
    );
    // The copy of the package is the other one's still.
    for name in ["two", "other"] {
        house.run(&["restart", name, "-d"], 0);
        let value = INSTANCES
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap()
            .1;
        assert_eq!(
            house.variable(name, "web", "API_KEY").as_deref(),
            Some(value)
        );
    }
    house.run(&["delete", "two", "--yes"], 0);
    let packages = fs::read_dir(house.home.mira_home().join("packages")).unwrap();
    assert_eq!(packages.count(), 1, "the other app's");
}

#[test]
fn a_new_instance_of_a_deleted_ones_name_begins_with_nothing() {
    let house = opened();
    house.run(&["delete", "one", "--yes"], 0);
    let app = house.home.path().join("apps/parrot.mira");
    let again = house.json(
        &[
            "open",
            app.to_str().unwrap(),
            "-d",
            "--json",
            "--name",
            "one",
        ],
        3,
    );
    assert_eq!(again["error"]["missing"][0], "API_KEY");
    assert!(!house.file("one", "state").exists());
}
