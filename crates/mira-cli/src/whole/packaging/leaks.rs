//! The search for values in what was packed: of the vault, of what is sealed, and keys that sign.
//!
//! INVARIANT: what is told of a finding is a file's path, a secret's name and an offset; a path that holds a value is not told.

use std::fs::File;
use std::io::{self, Read, Seek, Write as _};
use std::path::Path;

use mira_package::archive::Packed;
use mira_package::digest::{FileEntry, Hashing};
use mira_package::sealed::SECRETS_PATH;
use mira_package::signature::{SIGNATURE_BYTES_MAX, SigningKey};
use mira_redact::{Coverage, Finding, NeedleSet, NeedleSetBuilder};
use mira_secret::{SecretName, SecretValue};
use mira_vault::{AskError, LockedVault, UnlockOptions, Vault, VaultError};

use super::cannot;
use crate::error::CommandError;
use crate::render::count;
use crate::session;
use crate::ui::Ui;

/// The most findings that are told one by one.
// LIMIT: a screen full; whoever mends these sees the others next time.
const TOLD_MAX: usize = 20;

/// The values that must not be in a package.
pub(crate) struct Leaks {
    needles: NeedleSet,
}

impl Leaks {
    /// Collects what is sealed, and the vault's values if it opens without asking; not those of `allowed`.
    pub(crate) fn new(
        ui: &Ui,
        sealed: &[(SecretName, SecretValue)],
        allowed: &[SecretName],
    ) -> Self {
        let mut builder = NeedleSet::builder();
        for (name, value) in sealed {
            // EXPOSE: to the scanner, which looks for it in the package.
            let coverage = add(&mut builder, allowed, name, value.expose());
            if coverage == Some(Coverage::TooShort) {
                ui.say(&format!(
                    "{name} has fewer than 4 bytes: whether it stands in the package was not looked at"
                ));
            }
        }
        if let Err(error) = add_vault(&mut builder, allowed) {
            ui.say("your vault's values were not looked for in the package:");
            ui.detail(&error.in_one_line());
        }
        Self {
            needles: builder.build(),
        }
    }

    /// Looks through every file that was packed of a folder.
    ///
    /// What is looked through is what was packed: its digests are compared.
    pub(crate) fn check(&self, folder: &Path, packed: &Packed) -> Result<(), CommandError> {
        let mut told = Vec::new();
        let mut total = 0;
        for file in packed.digests.files() {
            let name = file.path.as_str();
            let in_path = self.needles.find(name.as_bytes());
            if !in_path.is_empty() {
                total += in_path.len() as u64;
                let told_of = |found: &Finding| format!("the name of a file: {}", found.name);
                told.extend(in_path.iter().map(told_of));
                continue;
            }
            // What is sealed now is not in the folder.
            if name == SECRETS_PATH && !file.path.below(folder).exists() {
                continue;
            }
            let scan = self.scan(folder, file)?;
            total += scan.total;
            told.extend(scan.findings.iter().take(TOLD_MAX).map(|found| {
                format!(
                    "{name}, byte {}: {} ({})",
                    found.offset, found.name, found.form
                )
            }));
        }
        if total == 0 {
            return Ok(());
        }
        let places = count(usize::try_from(total).unwrap_or(usize::MAX), "place");
        let error = CommandError::failed(format!(
            "whoever has the package could read values of secrets in {places}, so nothing was written:"
        ));
        let left_out = total.saturating_sub(told.len().min(TOLD_MAX) as u64);
        let error = told
            .into_iter()
            .take(TOLD_MAX)
            .fold(error, CommandError::hint);
        let error = match left_out {
            0 => error,
            more => error.hint(format!("and {more} more")),
        };
        Err(error.hint(
            "Take them out, name the file in .miraignore, or, if a value is none to hide: --may-contain NAME.",
        ))
    }

    fn scan(&self, folder: &Path, entry: &FileEntry) -> Result<mira_redact::Scan, CommandError> {
        let path = entry.path.below(folder);
        let failed = |error: &io::Error| cannot("read", &path, error);
        let mut file = File::open(&path).map_err(|error| failed(&error))?;
        if entry.size <= SIGNATURE_BYTES_MAX {
            refuse_signing_key(&mut file, entry)?;
        }
        let mut reader = Tee {
            reader: file,
            hashing: Hashing::new(io::sink()),
        };
        let scan = self.needles.scan(&mut reader);
        let scan = scan.map_err(|error| failed(&error))?;
        if reader.hashing.finish() != (entry.sha256, entry.size) {
            return Err(CommandError::failed(format!(
                "{} was changed while it was packed; try again",
                path.display()
            )));
        }
        Ok(scan)
    }
}

/// A key that signs is never a part of an app.
fn refuse_signing_key(file: &mut File, entry: &FileEntry) -> Result<(), CommandError> {
    let start = session::read_secret(&mut *file, SIGNATURE_BYTES_MAX)?;
    file.rewind()?;
    match SigningKey::is_protected(&start) {
        Err(_) => Ok(()),
        Ok(_) => Err(CommandError::failed(format!(
            "{} is a secret key that signs packages, and everybody who has the package could sign with it",
            entry.path
        ))
        .hint("Move it out of the app's folder.")),
    }
}

/// Adds a value unless it may be there; returns how well it is found.
fn add(
    builder: &mut NeedleSetBuilder,
    allowed: &[SecretName],
    name: &SecretName,
    value: &[u8],
) -> Option<Coverage> {
    (!allowed.contains(name)).then(|| builder.add(name.as_str(), value))
}

/// Adds the values of the vault, if there is one.
fn add_vault(builder: &mut NeedleSetBuilder, allowed: &[SecretName]) -> Result<(), CommandError> {
    let Some(vault) = unlocked_vault()? else {
        return Ok(());
    };
    for entry in vault.secrets() {
        for (name, value) in vault.delivered(entry)?.variables {
            // EXPOSE: to the scanner, which looks for it in the package.
            add(builder, allowed, &name, value.expose());
        }
    }
    Ok(())
}

/// Opens the vault if that needs no answer from anybody.
fn unlocked_vault() -> Result<Option<Vault>, CommandError> {
    let locked = match LockedVault::read(&session::home()?) {
        Err(VaultError::NoVault { .. }) => return Ok(None),
        other => other?,
    };
    let mut ask = || Err(AskError::new("`mira unlock` opens it for a while"));
    Ok(Some(locked.unlock(&mut ask, &UnlockOptions::default())?))
}

/// Makes a digest of what is read.
struct Tee<R> {
    reader: R,
    hashing: Hashing<io::Sink>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.hashing
            .write_all(buffer.get(..read).unwrap_or_default())?;
        Ok(read)
    }
}
