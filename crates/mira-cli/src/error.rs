//! What went wrong, who it stopped, and what to do: one error type for all commands.
//!
//! INVARIANT: the kind alone decides the exit code, and no message holds a value.

use std::process::ExitCode;

use mira_age::AgeError;
use mira_vault::recovery::RecoveryError;
use mira_vault::settings::SettingsError;
use mira_vault::{FaultKind, VaultError};
use serde_json::{Value, json};

use crate::ui::Ui;

/// The number of the interrupt signal (POSIX.1-2017, `kill`).
const SIGINT: i32 = 2;

/// Which kind of failure, and so which exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It did not work.
    Failed,
    /// The command line asks for something that makes no sense.
    Usage,
    /// Something required is missing.
    Missing,
    /// The vault is locked, or its key cannot be reached.
    Locked,
    /// Integrity or trust refused.
    Integrity,
    /// Too many wrong guesses at a password.
    LockedOut,
    /// A program could not be started, with the exit code that a shell gives.
    NotStarted(u8),
    /// The person typed Ctrl-C at a prompt.
    Interrupted,
}

impl Kind {
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Missing => 3,
            Self::Locked => 4,
            Self::Integrity => 5,
            Self::LockedOut => 6,
            Self::NotStarted(code) => code,
            Self::Interrupted => mira_run::die_by(SIGINT),
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Missing => "missing",
            Self::Locked => "locked",
            Self::Integrity => "integrity",
            Self::LockedOut => "locked-out",
            Self::NotStarted(_) => "not-started",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A command's failure.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    missing: Vec<String>,
    /// Where values of secrets were found.
    found: Option<Value>,
}

impl CommandError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            missing: Vec::new(),
            found: None,
        }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Ends as Ctrl-C ends a program: by the signal.
    pub(crate) fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted; nothing was changed")
    }

    /// Names what is missing, in the message and in `--json`.
    pub(crate) fn missing(
        message: impl Into<String>,
        names: impl IntoIterator<Item = impl ToString>,
    ) -> Self {
        let mut error = Self::new(Kind::Missing, message);
        error.missing = names.into_iter().map(|name| name.to_string()).collect();
        error
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the message and what to do, for a line of a report.
    pub(crate) fn in_one_line(&self) -> String {
        std::iter::once(&self.message)
            .chain(&self.hints)
            .cloned()
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Adds a line that says what to do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says, to programs, where values of secrets were found; never the values.
    pub(crate) fn found(mut self, places: Value) -> Self {
        self.found = Some(places);
        self
    }

    /// Prints the error and returns its exit code; an interruption ends the process by its signal.
    pub(crate) fn report(&self, ui: &Ui) -> ExitCode {
        if ui.is_json() {
            let mut told = json!({"error": {
                "kind": self.kind.as_str(),
                "message": self.message,
                "hints": self.hints,
                "missing": self.missing,
            }});
            if let (Some(found), Some(error)) = (&self.found, told.get_mut("error")) {
                error["found"] = found.clone();
            }
            ui.data(&format!("{told}\n")).unwrap_or_default();
        }
        ui.say(&self.message);
        for name in &self.missing {
            ui.detail(name);
        }
        for hint in &self.hints {
            ui.detail(hint);
        }
        self.kind.exit_code()
    }
}

impl From<VaultError> for CommandError {
    fn from(error: VaultError) -> Self {
        let kind = match error.kind() {
            FaultKind::Missing => Kind::Missing,
            FaultKind::Locked => Kind::Locked,
            FaultKind::Integrity => Kind::Integrity,
            FaultKind::Usage => Kind::Usage,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<RecoveryError> for CommandError {
    fn from(error: RecoveryError) -> Self {
        let kind = match error {
            RecoveryError::Vault(error) => return error.into(),
            RecoveryError::Age(error) => return error.into(),
            RecoveryError::Content(_) => Kind::Integrity,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<AgeError> for CommandError {
    fn from(error: AgeError) -> Self {
        let kind = match error {
            AgeError::PassphraseNotText | AgeError::NoRecipient | AgeError::Recipient { .. } => {
                Kind::Usage
            }
            AgeError::Identity | AgeError::WrongKey => Kind::Locked,
            AgeError::ExcessiveWork { .. } | AgeError::Damaged => Kind::Integrity,
            _ => Kind::Failed,
        };
        Self::new(kind, format!("the age file: {error}"))
    }
}

impl From<SettingsError> for CommandError {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::File(error) => VaultError::from(error).into(),
            other => Self::new(Kind::Integrity, other.to_string()),
        }
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}
