//! Publishers' keys: the secret one that signs, and the public one that checks.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use mira_package::signature::{PublisherKey, SIGNATURE_BYTES_MAX, SigningKey};

use super::password::known_password;
use super::{cannot, read_secret_file};
use crate::error::CommandError;
use crate::ui::Ui;

/// Reads the secret key that signs, and asks for its password if it has one.
pub(crate) fn signing_key(
    ui: &Ui,
    path: &Path,
    password_file: Option<&Path>,
) -> Result<SigningKey, CommandError> {
    let failed = |error| CommandError::failed(format!("{}: {error}", path.display()));
    let file = read_secret_file(path, SIGNATURE_BYTES_MAX).map_err(|error| {
        error.hint("--sign takes the secret key's file; `mira keygen` makes one.")
    })?;
    let password = match SigningKey::is_protected(&file).map_err(failed)? {
        true => {
            let what = format!("the key {}", path.display());
            Some(known_password(
                ui,
                &what,
                password_file,
                "--key-password-file FILE",
            )?)
        }
        false => None,
    };
    SigningKey::read(&file, password.as_ref()).map_err(failed)
}

/// Returns the public key that is given by its text or its file.
pub(crate) fn public_key(given: &str) -> Result<PublisherKey, CommandError> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    let path = Path::new(given);
    let wrong = || {
        CommandError::usage(
            "--key takes a minisign public key, the text that begins with RW, or the file that has it",
        )
    };
    if !path.exists() {
        return Err(wrong().hint("That is neither: there is no file of this name."));
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(SIGNATURE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| cannot("read", path, &error))?;
    text.parse()
        .map_err(|_| wrong().hint(format!("{} has none.", path.display())))
}
