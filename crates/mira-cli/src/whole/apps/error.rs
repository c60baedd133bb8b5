//! What goes wrong with apps, as a command tells it: which kind, and what to type next.

use mira_desk::{AdminError, ListenError};
use mira_host::instances::InstanceError;
use mira_package::archive::OpenError;
use mira_package::unpacked::UnpackError;
use mira_server::{ClientError, PlaceError, ServeError};
use mira_snapshot::{Findings, SnapshotError};
use mira_store::{DumpError, SharedError, SharedOpenError, StoreError};

use super::snapshots;
use crate::error::{CommandError, Kind};
use crate::render::count;

impl From<InstanceError> for CommandError {
    fn from(error: InstanceError) -> Self {
        let text = error.to_string();
        match error {
            InstanceError::Vault(error) => error.into(),
            InstanceError::Store(error) => error.into(),
            InstanceError::Snapshot(error) => error.into(),
            InstanceError::Manifest(error) => error.faults().iter().fold(
                Self::failed("the manifest is wrong:"),
                |told, fault| told.hint(fault.in_file(mira_package::archive::MANIFEST_PATH).to_string()),
            ),
            InstanceError::Missing { names, instance } => Self::missing(text, names).hint(format!(
                "`mira secret set --instance {instance} NAME` saves one, then `mira start {instance}`."
            )),
            InstanceError::NotDeclared { declared, .. } => {
                let names: Vec<&str> = declared.iter().map(mira_secret::SecretName::as_str).collect();
                Self::usage(text).hint(match names.is_empty() {
                    true => "It declares none.".to_owned(),
                    false => format!("It declares {}.", names.join(", ")),
                })
            }
            InstanceError::NotSaved { name } => {
                Self::missing("not saved in scope user:", [name])
                    .hint("`mira set NAME` saves one; `mira list` shows what there is.")
            }
            InstanceError::OfServer { .. } => Self::usage(text),
            InstanceError::NoPart { secret, .. } => Self::usage(text)
                .hint(format!("`mira explain {secret}` says what it has.")),
            InstanceError::HasOwn { instance, name } => Self::usage(text).hint(format!(
                "`mira secret rm --instance {instance} {name}` removes it."
            )),
            InstanceError::IsBound { instance, name } => Self::usage(text).hint(format!(
                "`mira secret rm --instance {instance} {name}` ends that."
            )),
            InstanceError::Held { .. } => Self::usage(text).hint("Give the setting, or your own variable of that name, another value."),
            InstanceError::Guess(guess) if guess.is_lock() => Self::new(Kind::LockedOut, text),
            InstanceError::Guess(_) => Self::new(Kind::Integrity, text),
            InstanceError::NeedsAgreement { .. } => Self::new(Kind::Integrity, text)
                .hint("--agree takes it all the same, for good."),
            InstanceError::NoKey(_) => Self::new(Kind::Missing, text),
            InstanceError::Open(OpenError::Io { .. } | OpenError::Write { .. })
            | InstanceError::Unpack(
                UnpackError::Io { .. }
                | UnpackError::Package(OpenError::Io { .. } | OpenError::Write { .. }),
            )
            | InstanceError::Source { .. }
            | InstanceError::Folder { .. }
            | InstanceError::Pack(_)
            | InstanceError::Home(_)
            | InstanceError::Memory(_)
            | InstanceError::StoreOpen(_)
            | InstanceError::OtherPackage { .. }
            | InstanceError::NoState { .. }
            | InstanceError::NoCommonVolume { .. }
            | InstanceError::Clock(_) => Self::failed(text),
            InstanceError::OtherApp { .. } | InstanceError::Collision { .. } => {
                Self::new(Kind::Usage, text)
            }
            InstanceError::Busy { .. }
            | InstanceError::NoCopy { .. } => Self::failed(text),
            InstanceError::NoSnapshotPassword { .. } => Self::new(Kind::Missing, text),
            // What is left is about content that is not what it says it is.
            _ => Self::new(Kind::Integrity, text),
        }
    }
}

impl From<ServeError> for CommandError {
    fn from(error: ServeError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<ListenError> for CommandError {
    fn from(error: ListenError) -> Self {
        let kind = match error {
            ListenError::Plain(_) => Kind::Usage,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<AdminError> for CommandError {
    fn from(error: AdminError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<SharedOpenError> for CommandError {
    fn from(error: SharedOpenError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<SharedError> for CommandError {
    fn from(error: SharedError) -> Self {
        let kind = match error {
            SharedError::NoSuchUser | SharedError::NoSuchEvent => Kind::Missing,
            SharedError::NameTaken { .. } => Kind::Usage,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<DumpError> for CommandError {
    fn from(error: DumpError) -> Self {
        match error {
            DumpError::Shared(error) => error.into(),
            DumpError::Line { .. } => Self::new(Kind::Integrity, error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::NotFound => Kind::Missing,
            StoreError::Ambiguous { .. } | StoreError::NameTaken { .. } => Kind::Usage,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<SnapshotError> for CommandError {
    fn from(error: SnapshotError) -> Self {
        let kind = match error {
            SnapshotError::SecretsFound(findings) => return secrets_found(&findings),
            SnapshotError::WrongPassword { .. }
            | SnapshotError::Damaged { .. }
            | SnapshotError::NotPrivate { .. } => Kind::Integrity,
            SnapshotError::Missing { .. } | SnapshotError::NoSuchSnapshot { .. } => Kind::Missing,
            SnapshotError::AmbiguousSnapshot { .. } | SnapshotError::RetentionEmpty => Kind::Usage,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

/// Lists where values are: a line each for people, all of it for programs.
fn secrets_found(findings: &Findings) -> CommandError {
    let total = usize::try_from(findings.total).unwrap_or(usize::MAX);
    let error = CommandError::new(
        Kind::Integrity,
        format!(
            "no snapshot was taken, as it would hold values of secrets in {}:",
            count(total, "place")
        ),
    );
    let lines = snapshots::places(findings).into_iter();
    lines
        .fold(error, CommandError::hint)
        .hint("Remove them from these files, or give --leave-out for a snapshot without the files.")
        .found(snapshots::found_json(findings))
}

impl From<PlaceError> for CommandError {
    fn from(error: PlaceError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        Self::failed(error.to_string())
    }
}
