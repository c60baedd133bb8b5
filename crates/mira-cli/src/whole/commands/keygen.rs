//! `mira keygen`: a key pair to sign packages with, as minisign's are.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mira_package::signature::keygen;
use mira_vault::private_file;

use crate::error::CommandError;
use crate::render::quoted;
use crate::session;
use crate::ui::Ui;
use crate::whole::packaging::{cannot, folder_of, new_password};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without -o the pair is publisher.key and publisher.pub in Mira's own folder: never inside an app, where it would be packed.\n\
                  `minisign` reads both files."
)]
pub(crate) struct Args {
    /// Where the secret key goes; the public key goes beside it, with the ending .pub
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Protect the secret key by nothing but its file's mode: for machines that sign alone
    #[arg(long)]
    no_password: bool,

    /// Read the new password from a file instead of asking (less one trailing newline)
    #[arg(long, value_name = "FILE", conflicts_with = "no_password")]
    password_file: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let secret_path = match &args.output {
        Some(path) => path.clone(),
        None => default_path()?,
    };
    let public_path = secret_path.with_extension("pub");
    if public_path == secret_path {
        return Err(CommandError::usage(
            "-o names the secret key's file, and .pub is the ending of the public one",
        ));
    }
    for path in [&secret_path, &public_path] {
        if path.symlink_metadata().is_ok() {
            return Err(CommandError::failed(format!(
                "{} is there already, and is not written over",
                path.display()
            ))
            .hint("Give another -o PATH."));
        }
    }
    let password = match args.no_password {
        true => None,
        false => Some(new_password(
            ui,
            "the key",
            args.password_file.as_deref(),
            "--password-file FILE, or --no-password",
        )?),
    };
    let pair =
        keygen(password.as_ref()).map_err(|error| CommandError::failed(error.to_string()))?;
    // EXPOSE: to the key's file; with a password it is encrypted.
    private_file::create(&secret_path, pair.secret_file.expose())
        .map_err(|error| CommandError::failed(error.to_string()))?;
    write_public(&public_path, &pair.public_file)?;
    ui.data(&format!("{}\n", pair.key))?;
    ui.say(&format!(
        "made the secret key {} and the public key {}",
        secret_path.display(),
        public_path.display()
    ));
    ui.detail("Into mira.yaml, so that whoever opens the app can tell who made it:");
    ui.detail(&format!(
        "  publisher: {{name: Your name, key: \"{}\"}}",
        pair.key
    ));
    ui.detail("To sign:");
    ui.detail(&format!("  mira pack DIR --sign {}", quoted(&secret_path)));
    ui.detail(
        "Keep a copy of the secret key: without it, updates count as those of another publisher.",
    );
    Ok(())
}

/// Returns the key's place in the home, which is private and no app's folder.
fn default_path() -> Result<PathBuf, CommandError> {
    let home = session::home()?;
    home.create()
        .map_err(|error| CommandError::failed(error.to_string()))?;
    Ok(home.path().join("publisher.key"))
}

fn write_public(path: &Path, text: &str) -> Result<(), CommandError> {
    let write = || {
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder_of(path))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|error| error.error)
    };
    write()
        .map(drop)
        .map_err(|error| cannot("write", path, &error))
}
