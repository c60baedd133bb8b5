//! Passwords and identities of packages: asked for on the terminal, or read from a file.

use std::fs::File;
use std::path::PathBuf;

use mira_host::instances::{Key, KeyWanted, NoKey};
use mira_secret::SecretBytes;

use crate::session::read_secret;
use crate::ui::Ui;

/// The longest identity file, in bytes.
// LIMIT: an SSH key has a few thousand.
const IDENTITY_BYTES_MAX: u64 = 64 * 1024;

/// The longest password, in bytes.
// LIMIT: far beyond what anybody types.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// What opens sealed secrets and encrypted packages.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct KeyArgs {
    /// Read the package's password from a file instead of asking (less one trailing newline)
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// An age identity or SSH private key that the package is encrypted to
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
}

impl KeyArgs {
    /// Returns what opens a package or its secrets.
    pub(crate) fn ask(&self, ui: &Ui, wanted: KeyWanted) -> Result<Key, NoKey> {
        let what = match wanted {
            KeyWanted::Package { .. } => "the package",
            KeyWanted::Secrets { .. } => "the package's secrets",
        };
        if wanted.is_password() {
            return self.password(ui, what).map(Key::Passphrase);
        }
        let Some(path) = &self.identity else {
            return Err(NoKey(format!(
                "{what} is encrypted to somebody's key; give --identity FILE"
            )));
        };
        read(path, IDENTITY_BYTES_MAX).map(Key::Identities)
    }

    fn password(&self, ui: &Ui, what: &str) -> Result<SecretBytes, NoKey> {
        match &self.password_file {
            Some(path) => read(path, PASSWORD_BYTES_MAX),
            None if ui.can_ask_hidden() => ui
                .ask_hidden(&format!("Password of {what}: "))
                .map_err(|error| NoKey(error.in_one_line())),
            None => Err(NoKey(format!(
                "there is no terminal to ask for the password of {what} on; give --password-file FILE"
            ))),
        }
    }
}

fn read(path: &std::path::Path, bytes_max: u64) -> Result<SecretBytes, NoKey> {
    File::open(path)
        .and_then(|file| read_secret(file, bytes_max))
        .map_err(|error| NoKey(format!("cannot read {}: {error}", path.display())))
}
