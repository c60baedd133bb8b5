//! A home with a vault, and a run-time folder in memory: what a test of apps begins with, and how it looks at what runs.
//!
//! INVARIANT: a [`House`] that is dropped has ended its supervisor, also when the test panics.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use mira_testkit::home::{Invocation, Run, TestHome};
use mira_testkit::terminal::Terminal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

use super::app::App;
use crate::support::{MIRA, mira};

/// How long a test waits for what is to happen at once, so that a broken one ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A home, and the supervisor that commands start in it.
pub(crate) struct House {
    pub(crate) home: TestHome,
    pub(crate) memory: tempfile::TempDir,
}

impl House {
    /// Makes a home with a vault that opens with a key file.
    pub(crate) fn new() -> Self {
        Self::with(TestHome::new(), &["--provider", "keyfile"])
    }

    /// Makes a vault in a home.
    pub(crate) fn with(home: TestHome, init: &[&str]) -> Self {
        let house = Self::without_vault(home);
        house.run(&[&["init"], init].concat(), 0);
        house
    }

    /// Gives a home a run-time folder.
    pub(crate) fn without_vault(mut home: TestHome) -> Self {
        let memory = tempfile::Builder::new()
            .prefix("mira-run-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in("/dev/shm")
            .unwrap();
        home.set("XDG_RUNTIME_DIR", memory.path());
        Self { home, memory }
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

    /// Starts `mira` at a terminal.
    pub(crate) fn terminal(&self, args: &[&str]) -> Terminal {
        let mut command = Command::new(MIRA);
        command
            .args(args)
            .env_clear()
            .envs(self.home.env().iter().cloned());
        Terminal::start(command)
    }

    /// Makes the folder of an app.
    pub(crate) fn app(&self, name: &str, manifest: &str) -> App {
        App::new(self.home.path().join("apps").join(name), manifest)
    }

    /// Saves a secret of an instance.
    #[track_caller]
    pub(crate) fn save(&self, instance: &str, name: &str, value: impl Into<Vec<u8>>) -> Run {
        let args = [
            "secret",
            "set",
            "--instance",
            instance,
            name,
            "--stdin",
            "--replace",
        ];
        self.mira(&args).stdin_bytes(value).run().assert_code(0)
    }

    /// Returns what `mira ps` says of an instance.
    #[track_caller]
    pub(crate) fn ps(&self, instance: &str) -> Value {
        self.json(&["ps", "--json", instance], 0)[0].take()
    }

    /// Returns the main process of an instance's only service, or of the one given.
    #[track_caller]
    pub(crate) fn pid(&self, instance: &str, service: &str) -> u32 {
        let ps = self.ps(instance);
        let services = ps["services"].as_array().unwrap().iter();
        let mut found = services.filter(|known| known["service"] == service);
        let pid = found.next().and_then(|known| known["pid"].as_u64());
        pid.unwrap_or_else(|| panic!("{ps}")).try_into().unwrap()
    }

    /// Returns the parent of a process: a service's keeper.
    pub(crate) fn parent(&self, pid: u32) -> u32 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        after_name
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Returns a file of an instance.
    pub(crate) fn file(&self, instance: &str, name: &str) -> PathBuf {
        let id = self.ps(instance)["id"].as_str().unwrap().to_owned();
        self.home.mira_home().join("instances").join(id).join(name)
    }

    /// Returns the environment that a service of the parrot wrote into its volume at its last start.
    #[track_caller]
    pub(crate) fn environment(&self, instance: &str, service: &str) -> Vec<(String, String)> {
        let path = self.file(instance, &format!("state/data/{service}.env"));
        let text = fs::read_to_string(&path).unwrap();
        let variables = text.split_terminator('\0');
        variables
            .map(|variable| variable.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Returns one variable of that environment.
    #[track_caller]
    pub(crate) fn variable(&self, instance: &str, service: &str, name: &str) -> Option<String> {
        let all = self.environment(instance, service);
        all.into_iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// Returns the run-time folder of this home, once there is one.
    pub(crate) fn runtime(&self) -> PathBuf {
        let mut homes = fs::read_dir(self.memory.path().join("mira")).unwrap();
        homes.next().unwrap().unwrap().path()
    }

    /// Returns the supervisor's process.
    pub(crate) fn supervisor(&self) -> u32 {
        let pid = fs::read_to_string(self.runtime().join("supervisor.lock")).unwrap();
        pid.parse().unwrap()
    }

    /// Waits until an instance is in a state, as `mira ps` says it.
    #[track_caller]
    pub(crate) fn until(&self, instance: &str, what: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ps = self.ps(instance);
            if what(&ps) {
                return ps;
            }
            assert!(Instant::now() < deadline, "it never came to that: {ps}");
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // It may be that nothing runs, or that there is no home any more.
        drop(
            Command::new(MIRA)
                .args(["serve", "--stop"])
                .env_clear()
                .envs(self.home.env().iter().cloned())
                .output(),
        );
    }
}

/// Kills a process at once.
pub(crate) fn kill(pid: u32) {
    kill_process(raw(pid), Signal::KILL).unwrap();
}

/// Waits until a process is gone.
#[track_caller]
pub(crate) fn until_gone(pid: u32) {
    let Ok(process) = pidfd_open(raw(pid), PidfdFlags::empty()) else {
        return;
    };
    let patience = Timespec::try_from(PATIENCE).unwrap();
    let mut fds = [PollFd::new(&process, PollFlags::IN)];
    assert_eq!(
        poll(&mut fds, Some(&patience)),
        Ok(1),
        "{pid} is still there"
    );
}

fn raw(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}
