//! New passwords: asked for twice, or read from a file.

use std::fs::File;
use std::path::Path;

use mira_secret::SecretBytes;

use crate::error::CommandError;
use crate::session::read_secret;
use crate::ui::Ui;
use crate::whole::packaging::cannot;

/// The longest password, in bytes.
// LIMIT: far beyond what anybody types; keeps a wrong file from being read whole.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// The shortest new password, in bytes.
// LIMIT: NIST SP 800-63B asks for 8; what it protects can be guessed at offline, so a little more.
const PASSWORD_BYTES_MIN: usize = 10;

/// Returns a new password of `what`; `option` is what to give where it cannot be asked for.
pub(crate) fn new_password(
    ui: &Ui,
    what: &str,
    file: Option<&Path>,
    option: &str,
) -> Result<SecretBytes, CommandError> {
    let password = match file {
        Some(file) => read_secret_file(file, PASSWORD_BYTES_MAX)?,
        None if ui.can_ask_hidden() => ask_twice(ui, what)?,
        None => {
            return Err(CommandError::missing(
                format!(
                    "the new password of {what} is missing, and there is no terminal to ask on; give:"
                ),
                [option],
            ));
        }
    };
    // EXPOSE: to the check that it is text, which the formats ask for.
    if std::str::from_utf8(password.expose()).is_err() {
        return Err(CommandError::failed(
            "a password is UTF-8 text; nothing was made",
        ));
    }
    if password.len() < PASSWORD_BYTES_MIN {
        return Err(CommandError::failed(format!(
            "the password is shorter than {PASSWORD_BYTES_MIN} bytes; nothing was made"
        ))
        .hint(
            "Whoever has the file can guess at it elsewhere without limit: take several words.",
        ));
    }
    Ok(password)
}

/// Asks for a new password of `what`, twice.
pub(crate) fn ask_twice(ui: &Ui, what: &str) -> Result<SecretBytes, CommandError> {
    let first = ui.ask_hidden(&format!("New password of {what}: "))?;
    let second = ui.ask_hidden("The same again: ")?;
    if first != second {
        return Err(CommandError::failed(
            "the two were not the same; nothing was made",
        ));
    }
    Ok(first)
}

/// Returns the password that something has already.
pub(super) fn known_password(
    ui: &Ui,
    what: &str,
    file: Option<&Path>,
    option: &str,
) -> Result<SecretBytes, CommandError> {
    match file {
        Some(file) => read_secret_file(file, PASSWORD_BYTES_MAX),
        None if ui.can_ask_hidden() => ui.ask_hidden(&format!("Password of {what}: ")),
        None => Err(CommandError::missing(
            format!("the password of {what} is missing, and there is no terminal to ask on; give:"),
            [option],
        )),
    }
}

/// Reads a file that holds something secret, less one trailing newline.
pub(crate) fn read_secret_file(path: &Path, bytes_max: u64) -> Result<SecretBytes, CommandError> {
    File::open(path)
        .and_then(|file| read_secret(file, bytes_max))
        .map_err(|error| cannot("read", path, &error))
}
