//! `mira pack`: makes one file of an app's folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use mira_host::instances::InstanceError;
use mira_package::archive::{MANIFEST_PATH, PackOptions, Packed, pack};
use mira_package::digest::Digest;
use mira_package::manifest::Manifest;
use mira_package::sealed::{SECRETS_PATH, seal};
use mira_package::signature::{PublisherKey, SigningKey, signature_path};
use mira_secret::{SecretName, SecretValue};
use serde_json::json;

use crate::error::CommandError;
use crate::render::{facts, quoted};
use crate::session::parse_names;
use crate::ui::Ui;
use crate::whole::packaging::{
    Leaks, SealFor, Staged, cannot, folder_of, manifest_bytes, new_password, parse_manifest,
    secrets_to_seal, signing_key,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "  mira pack myapp -o myapp.mira --sign publisher.key\n  \
                  mira pack myapp --seal secrets.env                    under a password\n  \
                  mira pack myapp --seal secrets.env --seal-to age1...   for somebody's key\n\
                  What .miraignore names stays out, in the words of .gitignore."
)]
pub(crate) struct Args {
    /// The app's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,

    /// The package; by default the id's last part and the version, in the current folder
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace a package that is there, and its signature
    #[arg(long)]
    replace: bool,

    /// Sign it with this secret key: a file that `mira keygen` or minisign made
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,

    /// Read the secret key's password from a file instead of asking
    #[arg(long, value_name = "FILE", requires = "sign")]
    key_password_file: Option<PathBuf>,

    /// Take along the secrets of a dotenv file, sealed under a password that is asked for
    #[arg(long, value_name = "FILE")]
    seal: Option<PathBuf>,

    /// Seal and encrypt for an age or SSH public key instead of under a password (may be repeated)
    #[arg(long, value_name = "RECIPIENT")]
    seal_to: Vec<String>,

    /// Encrypt the whole package as well
    #[arg(long)]
    encrypt: bool,

    /// Read the package's new password from a file instead of asking (less one trailing newline)
    #[arg(long, value_name = "FILE", conflicts_with = "seal_to")]
    password_file: Option<PathBuf>,

    /// Pack although the value of this secret stands in a file, because it is none to hide (may be repeated)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    may_contain: Vec<String>,

    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    check_usage(args)?;
    let allowed = parse_names(&args.may_contain)?;
    let bytes = manifest_bytes(&args.folder)?;
    let manifest = parse_manifest(&bytes)?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| format!("{}-{}.mira", manifest.id.last_part(), manifest.version).into());
    refuse_taken(args, &output)?;
    let secrets = match &args.seal {
        Some(file) => secrets_to_seal(file, &manifest)?,
        None => Vec::new(),
    };
    let key = match &args.sign {
        Some(path) => Some(key(ui, args, path, &manifest)?),
        None => None,
    };
    let options = options(ui, args, &secrets)?;

    let staged = Staged::beside(&output)?;
    let packed = pack(&args.folder, &staged.package(), &options).map_err(InstanceError::from)?;
    refuse_changed(&packed, &bytes)?;
    refuse_itself(args, &output, &packed)?;
    Leaks::new(ui, &secrets, &allowed).check(&args.folder, &packed)?;
    let comment = format!("{} {}", manifest.id, manifest.version);
    let signature = match &key {
        Some((key, _)) => {
            let path = staged.package();
            let package = File::open(&path).map_err(|error| cannot("read", &path, &error))?;
            Some(key.sign(package, &comment).map_err(InstanceError::from)?)
        }
        None => None,
    };
    staged.put(signature.as_deref(), args.replace)?;

    let names: Vec<SecretName> = secrets.into_iter().map(|(name, _)| name).collect();
    let signer = key.as_ref().map(|(_, signer)| signer);
    tell(ui, args, &output, &packed, signer, &names)?;
    advise(ui, args, &manifest, signer);
    Ok(())
}

fn check_usage(args: &Args) -> Result<(), CommandError> {
    let is_closed = args.seal.is_some() || args.encrypt;
    if !is_closed && !args.seal_to.is_empty() {
        return Err(CommandError::usage(
            "--seal-to says for whom: give --seal FILE or --encrypt with it",
        ));
    }
    if !is_closed && args.password_file.is_some() {
        return Err(CommandError::usage(
            "--password-file is the password of what is sealed: give --seal FILE or --encrypt with it",
        ));
    }
    Ok(())
}

/// Refuses to write over what is there, before anybody is asked for anything.
fn refuse_taken(args: &Args, output: &Path) -> Result<(), CommandError> {
    if output.is_dir() {
        return Err(CommandError::usage(format!(
            "{} is a folder; -o names the package's file",
            output.display()
        )));
    }
    let signature = signature_path(output);
    let taken = [output, &signature]
        .into_iter()
        .find(|path| path.symlink_metadata().is_ok());
    match taken {
        Some(path) if !args.replace => Err(CommandError::failed(format!(
            "{} is there already, and is not written over",
            path.display()
        ))
        .hint("Give --replace, or another -o FILE.")),
        _ => Ok(()),
    }
}

/// Reads the key that signs, which has to be the manifest's own.
fn key(
    ui: &Ui,
    args: &Args,
    path: &Path,
    manifest: &Manifest,
) -> Result<(SigningKey, PublisherKey), CommandError> {
    let key = signing_key(ui, path, args.key_password_file.as_deref())?;
    let signer = key.key().map_err(InstanceError::from)?;
    if let Some(publisher) = &manifest.publisher
        && publisher.key.parse() != Ok(signer.clone())
    {
        return Err(CommandError::failed(format!(
            "{} is not the key that {MANIFEST_PATH} names, so the package would count as tampered with",
            path.display()
        ))
        .hint(format!("publisher.key is {}", publisher.key))
        .hint(format!("the key signs as {signer}")));
    }
    Ok((key, signer))
}

/// Seals the secrets, and says how the package is encrypted.
fn options(
    ui: &Ui,
    args: &Args,
    secrets: &[(SecretName, SecretValue)],
) -> Result<PackOptions, CommandError> {
    let mut options = PackOptions::default();
    if args.seal.is_none() && !args.encrypt {
        return Ok(options);
    }
    let whom = if args.seal_to.is_empty() {
        let file = args.password_file.as_deref();
        SealFor::Password(new_password(
            ui,
            "the package",
            file,
            "--password-file FILE, or --seal-to RECIPIENT",
        )?)
    } else {
        SealFor::Keys(&args.seal_to)
    };
    let recipients = match args.encrypt {
        true => Some(whom.recipients()?),
        false => None,
    };
    if args.seal.is_some() {
        let sealed = seal(secrets, &whom.recipients()?).map_err(InstanceError::from)?;
        options.sealed = Some(sealed);
    }
    options.encrypt = recipients;
    Ok(options)
}

/// What was checked is what was packed.
fn refuse_changed(packed: &Packed, manifest: &[u8]) -> Result<(), CommandError> {
    let entry = packed.digests.file(MANIFEST_PATH);
    match entry.is_some_and(|entry| entry.sha256 == Digest::of(manifest)) {
        true => Ok(()),
        false => Err(CommandError::failed(format!(
            "{MANIFEST_PATH} was changed while it was packed; try again"
        ))),
    }
}

/// A package that is replaced inside of its folder must not hold the one before.
fn refuse_itself(args: &Args, output: &Path, packed: &Packed) -> Result<(), CommandError> {
    let folder = args.folder.canonicalize()?;
    for path in [output.to_owned(), signature_path(output)] {
        let beside = folder_of(&path).canonicalize()?;
        let place = beside.join(path.file_name().unwrap_or_default());
        let below = place.strip_prefix(&folder).ok().and_then(Path::to_str);
        if below.is_some_and(|below| packed.digests.file(below).is_some()) {
            return Err(CommandError::failed(format!(
                "{} is in the app's folder, so the package would hold the one before",
                path.display()
            ))
            .hint("End its name with .mira, name it in .miraignore, or put it elsewhere."));
        }
    }
    Ok(())
}

fn tell(
    ui: &Ui,
    args: &Args,
    output: &Path,
    packed: &Packed,
    signer: Option<&PublisherKey>,
    names: &[SecretName],
) -> Result<(), CommandError> {
    let under = match args.seal_to.is_empty() {
        true => "a password",
        false => "keys",
    };
    let signature = signature_path(output);
    let (digest, files) = (packed.digests.digest(), packed.digests.files().len());
    if args.json {
        return ui.json(&json!({
            "file": output.display().to_string(),
            "digest": digest.to_string(),
            "bytes": packed.bytes,
            "files": files,
            "signedBy": signer.map(ToString::to_string),
            "signature": signer.map(|_| signature.display().to_string()),
            "sealed": names.iter().map(SecretName::as_str).collect::<Vec<_>>(),
            "encrypted": args.encrypt,
        }));
    }
    let mut told = vec![
        ("package", output.display().to_string()),
        ("digest", digest.to_string()),
        ("size", format!("{} bytes", packed.bytes)),
        ("files", files.to_string()),
    ];
    match signer {
        Some(signer) => {
            told.push(("signed by", signer.to_string()));
            told.push(("signature", signature.display().to_string()));
        }
        None => told.push(("signed by", "nobody".to_owned())),
    }
    if !names.is_empty() {
        let names: Vec<&str> = names.iter().map(SecretName::as_str).collect();
        told.push((
            "sealed",
            format!("{} (opened by {under})", names.join(", ")),
        ));
    } else if packed.digests.file(SECRETS_PATH).is_some() {
        told.push(("sealed", format!("the folder's own {SECRETS_PATH}")));
    }
    if args.encrypt {
        told.push(("encrypted", format!("as a whole (opened by {under})")));
    }
    ui.data(&facts(&told))
}

/// Says what is left to do.
fn advise(ui: &Ui, args: &Args, manifest: &Manifest, signer: Option<&PublisherKey>) {
    if let Some(file) = &args.seal {
        ui.say(&format!(
            "{} is still there with the values in plain; remove it if you do not need it: rm {}",
            file.display(),
            quoted(file)
        ));
    }
    match (signer, &manifest.publisher) {
        (Some(signer), None) => {
            ui.say(&format!(
                "{MANIFEST_PATH} does not name the key, so nobody can tell by it who signed; add:"
            ));
            ui.detail(&format!("publisher: {{name: Your name, key: \"{signer}\"}}"));
        }
        (None, Some(_)) => ui.say(&format!(
            "{MANIFEST_PATH} names a publisher's key, and the package is not signed: --sign KEY signs it"
        )),
        _ => {}
    }
}
