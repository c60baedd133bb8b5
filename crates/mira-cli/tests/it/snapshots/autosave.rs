//! Snapshots that the supervisor takes by itself: as long as an app runs, when it has stopped, and none that holds a secret.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mira_host::instances::{Instances, Surroundings};
use mira_server::{
    Attachment, Autosave, AutosaveState, Client, Event, Place, Spawn, Started, Starting,
};
use mira_snapshot::Retention;
use mira_vault::home::Home;
use mira_vault::{AskError, LockedVault, UnlockOptions};
use serde_json::json;

use super::notes::{MANIFEST, Notes};
use crate::support::{MIRA, VALUE};

/// How long a test waits for what is to happen soon, so that a broken one ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the manifest of an app that asks for snapshots, more seldom than a test lasts.
fn autosaved() -> String {
    let state = "{volumes: [{name: data}], autosave: 30d, retention: {last: 2}}";
    MANIFEST.replace("{volumes: [{name: data}]}", state)
}

#[test]
fn what_changed_is_saved_when_an_instance_has_stopped_and_old_ones_go() {
    let notes = Notes::with(&autosaved(), "exec sleep infinity");
    let round = |text: &str| {
        notes.run(&["start", "notes", "-d"], 0);
        notes.write("note", text);
        notes.run(&["stop", "notes"], 0);
        notes
            .list()
            .into_iter()
            .map(|one| one["id"].clone())
            .collect::<Vec<_>>()
    };
    let begun = notes.list();
    assert_eq!(begun[0]["tags"], json!(["autosave"]), "of the first run");
    let first = round("one");
    assert_eq!(first.len(), 2);
    // Nothing changed: it is as the last one has it.
    notes.run(&["start", "notes", "-d"], 0);
    notes.run(&["stop", "notes"], 0);
    assert_eq!(notes.list().len(), 2);
    let own = notes.create();
    round("two");
    let last = round("three");
    assert_eq!(
        last.len(),
        3,
        "two that were taken by themselves, and the user's"
    );
    assert!(last.contains(&json!(own)));
    assert_eq!(notes.restic(&["dump", "latest", "/data/note"]), "three");
    notes.restic(&["check", "--read-data"]);

    // What is deleted is not saved first.
    notes.run(&["start", "notes", "-d"], 0);
    notes.write("note", "four");
    notes.run(&["delete", "notes", "--yes"], 0);
    let left: Vec<_> = fs::read_dir(notes.home.mira_home().join("instances"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_secret_in_the_state_is_told_by_whoever_stops_the_instance() {
    let notes = Notes::with(&autosaved(), "exec sleep infinity");
    let before = notes.list().len();
    notes.run(&["start", "notes", "-d"], 0);
    notes.write("bad", VALUE);
    let stopped = notes.run(&["stop", "notes"], 0);
    let said = stopped.stderr_text();
    assert!(said.contains("autosave failed since"), "{said}");
    assert!(said.contains("/data/bad (API_KEY at byte 0"), "{said}");
    assert_eq!(notes.list().len(), before);
}

/// A supervisor that a test started, and an instance in it that is saved as often as the test wants.
struct Running<'a> {
    notes: &'a Notes,
    runtime: tokio::runtime::Runtime,
    supervisor: Child,
    starting: Starting,
}

/// There is a supervisor; no other is to be started.
struct Never;

impl Spawn for Never {
    fn spawn(&self, _: Duration) -> Result<(), String> {
        Err("it ended".to_owned())
    }
}

impl<'a> Running<'a> {
    fn new(notes: &'a Notes, interval: Duration, last: u16) -> Self {
        let mut supervisor = Command::new(MIRA)
            .arg("serve")
            .env_clear()
            .envs(notes.home.env().iter().cloned())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(supervisor.stderr.take().unwrap());
        let ready = said.lines().next().unwrap().unwrap();
        assert!(ready.contains("ready"), "{ready}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let starting = runtime.block_on(start(notes, interval, last));
        Self {
            notes,
            runtime,
            supervisor,
            starting,
        }
    }

    /// Returns what becomes of the next snapshot.
    fn next(&mut self) -> AutosaveState {
        let starting = &mut self.starting;
        let next = async {
            loop {
                match starting.next().await.unwrap() {
                    Some(Started::Event(Event::Autosave { state })) => return state,
                    Some(_) => {}
                    None => panic!("the supervisor ended"),
                }
            }
        };
        let next = async { tokio::time::timeout(PATIENCE, next).await };
        self.runtime.block_on(next).expect("it is saved again")
    }

    /// Waits until a snapshot came to this.
    fn until(&mut self, what: impl Fn(&AutosaveState) -> bool) -> AutosaveState {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.next();
            if what(&state) {
                return state;
            }
            assert!(
                Instant::now() < deadline,
                "it never came to that: {state:?}"
            );
        }
    }

    /// Changes the state until a file is there that was not, whose name begins so.
    fn until_new(&self, folder: &Path, name: &str, before: &BTreeSet<OsString>) {
        let data = self.notes.data();
        let begins = |found: &OsString| found.to_string_lossy().starts_with(name);
        let deadline = Instant::now() + PATIENCE;
        for change in 0.. {
            let text = format!("{change} ").repeat(100_000);
            fs::write(data.join("big-changed"), text).unwrap();
            // One that comes and goes may be missed; another one comes with the next change.
            for _ in 0..1000 {
                if names(folder).difference(before).any(begins) {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "it was not seen at work");
        }
    }
}

/// Returns the names in a folder that comes and goes.
fn names(folder: &Path) -> BTreeSet<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.file_name()).collect()
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.notes.mira(&["serve", "--stop"]).run().assert_code(0);
        self.supervisor.wait().unwrap();
    }
}

/// Does what `mira start` does, with another interval than a manifest may have.
async fn start(notes: &Notes, interval: Duration, last: u16) -> Starting {
    let home = Home::new(notes.home.mira_home());
    let runtime_dir = notes
        .home
        .env()
        .iter()
        .find(|(name, _)| name == "XDG_RUNTIME_DIR");
    let place = Place::of(home.path(), runtime_dir.map(|(_, path)| path.as_ref()));
    let instances = Instances::open(home.clone(), place.folder().to_owned())
        .await
        .unwrap();
    let instance = instances.store().find("notes").await.unwrap();
    let unpacked = instances.unpacked(&instance).unwrap().unwrap();
    let mut ask = || Err(AskError::new("it opens with a key file"));
    let locked = LockedVault::read(&home).unwrap();
    let mut vault = locked.unlock(&mut ask, &UnlockOptions::default()).unwrap();
    let manifest = &unpacked.manifest;
    let password = instances
        .snapshot_password(&instance, &mut vault)
        .unwrap()
        .name;
    let resolution = instances
        .resolve(&instance, manifest, Some(&vault), &[])
        .await
        .unwrap();
    let mut values = instances
        .values(&instance, &resolution, Some(&vault), Vec::new())
        .unwrap();
    values.extend(instances.undelivered(&instance, manifest, &vault).unwrap());
    let autosave = Autosave {
        interval,
        repository: instances.layout().snapshots(&instance.id),
        volumes: instances.volumes(&instance.id, manifest),
        retention: Some(Retention {
            last,
            ..Retention::default()
        }),
        password,
    };
    let surroundings = Surroundings {
        variables: notes.home.env().to_vec(),
        aws_region: None,
        require_enforcement: false,
    };
    let spec = instances
        .spec(&instance, &unpacked, values, &surroundings)
        .await
        .unwrap();
    let client = Client::new(place);
    client
        .start(&spec, Some(&autosave), Attachment::Attached, &Never)
        .await
        .unwrap()
}

#[test]
fn a_running_instance_is_saved_again_and_again_and_failures_are_told() {
    let notes = Notes::new();
    notes.write("note", "0");
    let mut running = Running::new(&notes, Duration::from_secs(1), 2);
    for text in ["1", "2", "3"] {
        let before = running.next();
        assert_eq!(before.failing_since, None, "{before:?}");
        notes.write("note", text);
        running.until(|state| state.snapshot != before.snapshot);
    }
    assert_eq!(notes.list().len(), 2, "the retention is the manifest's");
    let ps = notes.ps("notes");
    assert!(ps["autosave"]["saved"].is_string(), "{ps}");

    notes.write("bad", VALUE);
    let failed = running.until(|state| state.failing_since.is_some());
    assert_eq!(failed.found_total, 1);
    assert_eq!(
        (failed.found[0].path.as_str(), failed.found[0].name.as_str()),
        ("/data/bad", "API_KEY")
    );
    let again = running.next();
    assert_eq!(
        again.failing_since, failed.failing_since,
        "since the first time"
    );
    let told = notes.run(&["ps"], 0);
    assert!(
        told.stderr_text().contains("notes: autosave failed since"),
        "{told:?}"
    );
    assert_eq!(
        notes.ps("notes")["autosave"]["found"][0]["path"],
        "/data/bad"
    );
    fs::remove_file(notes.data().join("bad")).unwrap();
    running.until(|state| state.failing_since.is_none());
    drop(running);
    assert_eq!(notes.restic(&["dump", "latest", "/data/note"]), "3");
}

#[test]
fn a_supervisor_that_is_killed_while_it_saves_loses_nothing() {
    let notes = Notes::new();
    // Enough to be at work most of the time.
    for number in 0..40 {
        notes.write(
            &format!("big-{number}"),
            &"some text that is long. ".repeat(4000),
        );
    }
    // While it looks around, while it stores, when all is stored beside the repository, and when the first of it is in there.
    let staged = "snapshots.staging";
    let moments = [
        (staged, ""),
        (staged, "data-"),
        (staged, "snapshots-"),
        ("snapshots/snapshots", ""),
        ("snapshots/snapshots", ""),
        ("snapshots/snapshots", ""),
    ];
    for (round, (folder, name)) in moments.iter().enumerate() {
        let mut running = Running::new(&notes, Duration::from_millis(1), 1000);
        notes.write("note", &round.to_string());
        running.next();
        let saved = running.next();
        assert_eq!(saved.failure, None);
        let folder = notes.folder("notes").join(folder);
        running.until_new(&folder, name, &names(&folder));
        running.supervisor.kill().unwrap();
        drop(running);
        let list = notes.list();
        let saved = saved.snapshot.unwrap();
        assert!(
            list.iter().any(|one| one["id"] == saved),
            "{saved}: {list:?}"
        );
        let check = ["snapshot", "check", "notes", "--read-data", "--json"];
        notes.json(&check, 0);
        notes.restic(&["check", "--read-data"]);
    }
    notes.create();
    notes.run(&["snapshot", "restore", "notes", "latest", "--yes"], 0);
    assert_eq!(notes.read("note"), "5");
    let left = fs::read_dir(notes.folder("notes").join("snapshots.staging"));
    assert!(left.is_err(), "what was cut off is gone");
}
