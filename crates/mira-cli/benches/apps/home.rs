//! A home for the bench, and its apps.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mira_package::archive::{PackOptions, pack};
use mira_testkit::home::{Run, TestHome};

use crate::hand;

/// The program under test.
const MIRA: &str = env!("CARGO_BIN_EXE_mira");

/// A home whose supervisor is ended when it is dropped.
pub(crate) struct Home {
    home: TestHome,
    memory: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let mut home = TestHome::new();
        let memory = tempfile::tempdir_in("/dev/shm").expect("memory");
        home.set("XDG_RUNTIME_DIR", memory.path());
        let home = Self { home, memory };
        home.mira(&["init", "--provider", "keyfile"]);
        let idle = home.pack("idle", "  - {name: idle, command: [sleep, infinity]}\n");
        home.mira(&["open", &idle, "-d"]);
        home.end_supervisor();
        home
    }

    pub(crate) fn mira(&self, args: &[&str]) -> Run {
        self.home.mira(MIRA).args(args).run().assert_code(0)
    }

    /// Packs an app of two services, the second after the first.
    pub(crate) fn two_services(&self, program: &[&str]) -> String {
        let words = hand::words(program).join(", ");
        let service = |name: &str, more: &str| {
            format!(
                "  - name: {name}\n    command: [{words}, \"${{port:http}}\"]\n    ports: [{{name: http}}]\n    \
                 health: {{http: /, port: http}}\n{more}"
            )
        };
        let services = service("first", "") + &service("second", "    dependsOn: [first]\n");
        let package = self.pack("two", &services);
        // The first time, an instance is made.
        self.open(&package);
        package
    }

    /// Packs an app; returns the package.
    pub(crate) fn pack(&self, name: &str, services: &str) -> String {
        let folder = self.home.path().join("apps").join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let manifest = format!(
            "kind: mira.app/v1\nid: org.example.{name}\nname: {name}\nversion: 1.0.0\nservices:\n{services}"
        );
        std::fs::write(folder.join("mira.yaml"), manifest).expect("a file");
        let package = folder.with_extension("mira");
        pack(&folder, &package, &PackOptions::default()).expect("it can be packed");
        package.to_str().expect("its path is text").to_owned()
    }

    /// Opens the app of two services, and stops it; returns the milliseconds until it was up.
    pub(crate) fn open(&self, package: &str) -> f64 {
        let began = Instant::now();
        self.mira(&["open", package, "-d"]);
        let took = began.elapsed().as_secs_f64() * 1e3;
        self.mira(&["stop", "two"]);
        took
    }

    /// Has something run, so that the supervisor stays.
    pub(crate) fn keep_supervisor(&self) {
        self.mira(&["start", "idle", "-d"]);
    }

    pub(crate) fn end_supervisor(&self) {
        self.mira(&["serve", "--stop"]);
    }

    /// Returns the supervisor's process.
    pub(crate) fn supervisor(&self) -> u32 {
        let lock = first(&first(self.memory.path())).join("supervisor.lock");
        let pid = std::fs::read_to_string(lock).expect("it runs");
        pid.parse().expect("a number")
    }
}

fn first(folder: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .next()
        .expect("something in it")
        .expect("it can be read")
        .path()
}

impl Drop for Home {
    fn drop(&mut self) {
        self.end_supervisor();
    }
}
