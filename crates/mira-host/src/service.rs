//! Services as the supervisor takes them: what to run, with which folders and values, and when it counts as well.
//!
//! These are plain types: where they come from (a manifest, a vault, a sealed package) is the caller's business. What does not
//! fit together is found by [`InstanceSpec::check`], before anything is started.

mod check;
mod environment;
mod folders;
mod ports;
mod program;
mod state;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use mira_secret::{Scope, SecretName, SecretValue};

use crate::network::Network;

pub use check::SpecError;
pub use environment::base_environment;
pub use folders::{FolderError, check_in_memory};
pub use ports::is_free;
pub use program::ProgramError;
pub use state::{End, Phase, ServiceError, ServiceState};

pub(crate) use folders::provide as provide_folders;
pub(crate) use program::{find as find_program, not_started};

/// An instance to run.
#[derive(Debug)]
pub struct InstanceSpec {
    /// Its id.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Where it lives.
    pub folders: Folders,
    /// Its services; each comes after those that it depends on.
    pub services: Vec<ServiceSpec>,
    /// Its secrets. All of them are taken out of what its services say, whoever gets them.
    pub values: Vec<Value>,
    /// What its services may call; without, they have the network that we have.
    pub network: Option<Network>,
    /// Where it tells how it fares.
    pub report: Option<Report>,
}

/// Where an instance tells how it fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The service that does.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// The path there.
    pub path: String,
}

/// The folders of an instance.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The unpacked package, read-only: the services' working folder.
    pub package: PathBuf,
    /// The services' home.
    pub home: PathBuf,
    /// Their folder for temporary files.
    pub tmp: PathBuf,
    /// The logs.
    pub logs: PathBuf,
    /// Secret files, for as long as their service runs; on a file system that is memory only.
    pub runtime_secrets: PathBuf,
}

/// One secret of an instance.
#[derive(Debug)]
pub struct Value {
    /// Its name.
    pub name: SecretName,
    /// The value.
    pub value: SecretValue,
    /// Where it rests, so that its holders can be told; nothing for one that was sealed in the package.
    pub origin: Option<Origin>,
}

/// Where a secret rests in the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its id.
    pub secret_id: String,
    /// Its scope.
    pub scope: Scope,
    /// The version that this is.
    pub version: u64,
}

/// One service.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// Program and arguments. A program without a slash is looked up in the `PATH` of `env`, one with a slash in the package.
    pub command: Vec<OsString>,
    /// All variables that are no secrets.
    pub env: Vec<(OsString, OsString)>,
    /// The secrets that it gets as variables; one without a value is left out.
    pub env_secrets: Vec<SecretName>,
    /// The secrets that it gets as files, with the path in `NAME_FILE`; one without a value is left out.
    pub file_secrets: Vec<SecretName>,
    /// How it is found to be well; without, it is as soon as it runs.
    pub health: Option<Health>,
    /// Whether it is started again after it ended.
    pub restart: Restart,
    /// What asks it to end.
    pub stop_signal: StopSignal,
    /// How long it has for that, until it is killed.
    pub stop_grace: Duration,
    /// The services that have to be up before it is started.
    pub depends_on: Vec<String>,
    /// The ports of 127.0.0.1 that it will listen on.
    pub ports: Vec<u16>,
}

/// How and when a service's health is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The check.
    pub check: Check,
    /// How long after one check the next begins.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// How many checks in a row have to fail until the service is unhealthy.
    pub retries: u32,
    /// How long after its start failed checks do not count.
    pub start_period: Duration,
}

/// A check of a service's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A GET is answered with a status of 200 to 399.
    Http {
        /// The port of 127.0.0.1.
        port: u16,
        /// The path, from its slash on.
        path: String,
    },
    /// A connection is accepted.
    Tcp {
        /// The port of 127.0.0.1.
        port: u16,
    },
    /// A program, started as the service is, exits with 0. What it says is thrown away.
    Command(Vec<OsString>),
}

/// Whether a service is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    Never,
    /// If it failed: another exit code than 0, a signal, failing health. Not if it exited with 3 before it was up: what it needs is missing.
    #[default]
    OnFailure,
    /// However it ended.
    Always,
}

/// A signal that asks a program to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGWINCH.
    Winch,
    /// SIGKILL: it is not asked.
    Kill,
}

impl StopSignal {
    const ALL: [(Self, &'static str, i32); 8] = [
        (Self::Term, "TERM", libc::SIGTERM),
        (Self::Int, "INT", libc::SIGINT),
        (Self::Quit, "QUIT", libc::SIGQUIT),
        (Self::Hup, "HUP", libc::SIGHUP),
        (Self::Usr1, "USR1", libc::SIGUSR1),
        (Self::Usr2, "USR2", libc::SIGUSR2),
        (Self::Winch, "WINCH", libc::SIGWINCH),
        (Self::Kill, "KILL", libc::SIGKILL),
    ];

    fn row(self) -> (&'static str, i32) {
        let row = Self::ALL.iter().find(|(signal, ..)| *signal == self);
        row.map_or(("TERM", libc::SIGTERM), |(_, name, number)| (name, *number))
    }

    /// Returns the system's number of the signal.
    #[must_use]
    pub fn number(self) -> i32 {
        self.row().1
    }
}

/// A text is not the name of a signal that stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stop signal is TERM, INT, QUIT, HUP, USR1, USR2, WINCH or KILL")]
pub struct StopSignalError;

impl FromStr for StopSignal {
    type Err = StopSignalError;

    fn from_str(text: &str) -> Result<Self, StopSignalError> {
        let row = Self::ALL.iter().find(|(_, name, _)| *name == text);
        row.map(|(signal, ..)| *signal).ok_or(StopSignalError)
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals_have_one_spelling() {
        for (signal, name, number) in StopSignal::ALL {
            assert_eq!(name.parse(), Ok(signal));
            assert_eq!(signal.to_string(), name);
            assert_eq!(signal.number(), number);
        }
        assert_eq!("SIGTERM".parse::<StopSignal>(), Err(StopSignalError));
    }
}
