//! A home with a vault and an app that keeps notes: what each test here begins with.
//!
//! INVARIANT: when a [`Notes`] is dropped, its supervisor has ended, also when the test panics.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mira_testkit::home::{Invocation, Run, TestHome};
use serde_json::Value;

use crate::support::{MIRA, VALUE, mira};

/// One service that says something and goes on until it is stopped; the notes are written by the tests.
pub(crate) const MANIFEST: &str = r#"
kind: mira.app/v1
id: org.example.notes
name: Notes
version: 1.0.0
services:
  - name: web
    command: [sh, service.sh]
    env: {DATA: "${volume:data}"}
secrets:
  - {name: API_KEY}
settings:
  - {name: MODEL, default: large}
state: {volumes: [{name: data}]}
"#;

/// The home, and one instance with the name `notes`.
pub(crate) struct Notes {
    pub(crate) home: TestHome,
    pub(crate) memory: tempfile::TempDir,
}

impl Notes {
    /// Makes the instance, with a secret of its own; it is stopped.
    pub(crate) fn new() -> Self {
        Self::with(MANIFEST, "exec sleep infinity")
    }

    /// Makes an instance of another app.
    pub(crate) fn with(manifest: &str, script: &str) -> Self {
        let memory = tempfile::Builder::new()
            .prefix("mira-run-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in("/dev/shm")
            .unwrap();
        let mut home = TestHome::new();
        home.set("XDG_RUNTIME_DIR", memory.path());
        let notes = Self { home, memory };
        let app = notes.app();
        fs::create_dir_all(&app).unwrap();
        fs::write(app.join("service.sh"), script).unwrap();
        fs::write(app.join("mira.yaml"), manifest).unwrap();
        notes.run(&["init", "--provider", "keyfile"], 0);
        notes.run(&["open", app.to_str().unwrap(), "-d"], 0);
        notes.run(&["stop", "notes"], 0);
        notes.save("API_KEY", VALUE);
        notes
    }

    /// Returns the folder that the app was opened from.
    pub(crate) fn app(&self) -> PathBuf {
        self.home.path().join("apps/notes")
    }

    /// Saves a secret of the instance.
    pub(crate) fn save(&self, name: &str, value: &str) {
        let args = ["secret", "set", "--instance", "notes", name, "--stdin"];
        let saved = self.mira(&args).stdin_bytes(value).run();
        saved.assert_code(0);
    }

    /// Prepares `mira`.
    pub(crate) fn mira(&self, args: &[&str]) -> Invocation {
        mira(&self.home, args)
    }

    /// Runs `mira`, which ends with this code.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str], code: i32) -> Run {
        self.mira(args).run().assert_code(code)
    }

    /// Runs `mira`, and returns what it printed as JSON.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        let run = self.run(args, code);
        serde_json::from_slice(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    }

    /// Returns what `mira snapshot list` says.
    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Value> {
        let listed = self.json(&["snapshot", "list", "notes", "--json"], 0);
        listed.as_array().unwrap().clone()
    }

    /// Takes a snapshot, and returns its id.
    #[track_caller]
    pub(crate) fn create(&self) -> String {
        let report = self.json(&["snapshot", "create", "notes", "--json"], 0);
        report["snapshot"]["id"].as_str().unwrap().to_owned()
    }

    /// Returns what `mira ps` says of an instance.
    #[track_caller]
    pub(crate) fn ps(&self, instance: &str) -> Value {
        self.json(&["ps", "--json", instance], 0)[0].take()
    }

    /// Returns the folder of an instance.
    pub(crate) fn folder(&self, instance: &str) -> PathBuf {
        let id = self.ps(instance)["id"].as_str().unwrap().to_owned();
        self.home.mira_home().join("instances").join(id)
    }

    /// Returns the volume of the instance.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder("notes").join("state/data")
    }

    /// Writes a note.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.data().join(name), text).unwrap();
    }

    /// Returns a note.
    pub(crate) fn read(&self, name: &str) -> String {
        read(&self.data().join(name))
    }

    /// Runs restic as the help of `mira snapshot` says, and returns what it wrote.
    #[track_caller]
    pub(crate) fn restic(&self, words: &[&str]) -> String {
        let scope = format!("instance/{}", self.ps("notes")["id"].as_str().unwrap());
        let folder = self.folder("notes").join("snapshots");
        let own = [
            "run",
            "--scope",
            &scope,
            "--only",
            "MIRA_SNAPSHOT_PASSWORD",
            "--",
        ];
        let password = "printenv MIRA_SNAPSHOT_PASSWORD";
        let repository = ["-r", folder.to_str().unwrap(), "--no-cache"];
        let restic = [
            &["restic"],
            &repository[..],
            &["--password-command", password],
        ];
        let args = [&own[..], &restic.concat(), words].concat();
        self.run(&args, 0).stdout_text()
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        // It may be that nothing runs.
        let stopped = Command::new(MIRA)
            .args(["serve", "--stop"])
            .env_clear()
            .envs(self.home.env().iter().cloned())
            .output();
        drop(stopped);
    }
}

/// Reads a text.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
