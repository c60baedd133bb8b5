//! `mira verify`: whether every file of a package is as it was packed, and whether somebody known signed it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mira_host::instances::{Candidate, InstanceError, KeyWanted};
use mira_package::signature::{
    PublisherKey, SIGNATURE_BYTES_MAX, Signature, check, signature_path,
};
use mira_package::trust::{Trust, judge};
use serde_json::json;

use crate::error::{CommandError, Kind};
use crate::render::facts;
use crate::ui::Ui;
use crate::whole::apps::{Apps, KeyArgs};
use crate::whole::packaging::{cannot, public_key};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It ends with 0 only if the package is whole and signed: by the key that you give, by one that the app was opened with \
                  before, or, for an app that is new here, by the one that the package names. Else it ends with 5."
)]
pub(crate) struct Args {
    /// The package; its signature is beside it, with .minisig after its name
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The publisher's key that you expect, or its file
    #[arg(long, value_name = "RW...|FILE")]
    key: Option<String>,

    /// Print what was found as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    opens: KeyArgs,
}

const DOES_NOT_HOLD: &str = "the signature does not hold: the package or its signature was changed";

/// What was found of a package's signature.
struct Verdict {
    trust: Trust,
    signed_by: Option<PublisherKey>,
    is_accepted: bool,
    says: String,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    ui.want_json(args.json);
    let expected = args.key.as_deref().map(public_key).transpose()?;
    if args.file.is_dir() {
        return Err(CommandError::usage(format!(
            "{} is a folder, and folders are not signed",
            args.file.display()
        ))
        .hint("`mira pack` makes a package of it; `mira validate` checks it."));
    }
    let apps = Apps::open()?;
    let mut ask = |wanted: KeyWanted| args.opens.ask(ui, wanted);
    let mut candidate = apps.wait(apps.instances.candidate(&args.file, None, &mut ask))?;
    candidate.package().verify().map_err(InstanceError::from)?;
    let verdict = match expected {
        Some(expected) => by_expected(&args.file, &mut candidate, expected)?,
        None => by_known(&args.file, &apps, &candidate)?,
    };
    tell(args, ui, &mut candidate, &verdict)?;
    Ok(match verdict.is_accepted {
        true => ExitCode::SUCCESS,
        false => Kind::Integrity.exit_code(),
    })
}

/// Judges by the key that the user gave, and by no other.
fn by_expected(
    file: &Path,
    candidate: &mut Candidate,
    expected: PublisherKey,
) -> Result<Verdict, CommandError> {
    let declared = candidate.manifest.publisher.as_ref();
    let declared: Option<PublisherKey> = declared.and_then(|named| named.key.parse().ok());
    let keys: Vec<&PublisherKey> = std::iter::once(&expected).chain(&declared).collect();
    let beside = read_signature(file)?;
    let found = check(candidate.package().file(), beside.as_deref(), &keys);
    let found = found.map_err(InstanceError::from)?;
    let trust = judge(&found, declared.as_ref(), Some(&expected)).trust;
    let another = |id: &str| {
        format!(
            "signed by another key ({id}) than the one that you gave ({})",
            expected.id()
        )
    };
    let (signed_by, says) = match found {
        Signature::Valid { key } if key == expected => {
            (Some(key), "signed by the key that you gave".to_owned())
        }
        Signature::Valid { key } => {
            let says = another(&key.id());
            (Some(key), says)
        }
        Signature::UnknownKey { id } => (None, another(&id)),
        Signature::Missing => (None, not_signed(file)),
        _ => (None, DOES_NOT_HOLD.to_owned()),
    };
    Ok(Verdict {
        trust,
        is_accepted: signed_by.as_ref() == Some(&expected),
        signed_by,
        says,
    })
}

/// Judges by the keys that the app was opened with before, or else by the one that the package names.
fn by_known(file: &Path, apps: &Apps, candidate: &Candidate) -> Result<Verdict, CommandError> {
    let store = apps.instances.store();
    let known = apps.wait(store.publishers(candidate.manifest.id.as_str()))?;
    let signer = candidate.signed_by();
    let is_known = signer
        .map(ToString::to_string)
        .is_some_and(|signer| known.iter().any(|publisher| publisher.key == signer));
    let trust = match candidate.judgement.trust {
        Trust::NewPublisher if is_known => Trust::Trusted,
        other => other,
    };
    let id = &candidate.manifest.id;
    let (is_accepted, says) = match (trust, &candidate.signature) {
        (Trust::Trusted, _) => (
            true,
            format!("signed by the publisher that {id} was opened with before"),
        ),
        (Trust::NewPublisher, _) if known.is_empty() => (
            true,
            format!(
                "signed by the key that the package names itself; {id} was not opened here before, so compare the key with what its publisher says"
            ),
        ),
        (Trust::NewPublisher, _) => (
            false,
            format!(
                "signed by another key than {id} was opened with before; --key says that you expect this one"
            ),
        ),
        (Trust::Unsigned, Signature::UnknownKey { id }) => (
            false,
            format!(
                "signed by a key that nobody here knows ({id}); --key says which one you expect"
            ),
        ),
        (Trust::Unsigned, _) => (false, not_signed(file)),
        (_, Signature::Invalid) => (false, DOES_NOT_HOLD.to_owned()),
        (_, _) => (
            false,
            "signed by another key than the one that the package names".to_owned(),
        ),
    };
    Ok(Verdict {
        trust,
        signed_by: signer.cloned(),
        is_accepted,
        says,
    })
}

fn not_signed(file: &Path) -> String {
    format!("not signed: there is no {}", signature_path(file).display())
}

fn read_signature(package: &Path) -> Result<Option<Vec<u8>>, CommandError> {
    use std::io::{ErrorKind, Read as _};
    let path = signature_path(package);
    let mut bytes = Vec::new();
    let read = std::fs::File::open(&path)
        // One that is too long is none, and is told to be that.
        .and_then(|file| file.take(SIGNATURE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot("read", &path, &error)),
    }
}

fn tell(
    args: &Args,
    ui: &Ui,
    candidate: &mut Candidate,
    verdict: &Verdict,
) -> Result<(), CommandError> {
    let files = candidate.package().digests().files().len();
    let signed_by = verdict.signed_by.as_ref().map(ToString::to_string);
    if args.json {
        ui.json(&json!({
            "file": args.file.display().to_string(),
            "app": candidate.manifest.id.as_str(),
            "version": candidate.manifest.version.to_string(),
            "digest": candidate.digest(),
            "files": files,
            "trust": verdict.trust.as_str(),
            "signedBy": signed_by,
            "accepted": verdict.is_accepted,
            "says": verdict.says,
        }))?;
    } else {
        ui.data(&facts(&[
            (
                "app",
                format!("{} {}", candidate.manifest.id, candidate.manifest.version),
            ),
            ("digest", candidate.digest()),
            ("files", format!("{files}, each as it was packed")),
            ("trust", verdict.trust.as_str().to_owned()),
            (
                "signed by",
                signed_by.unwrap_or_else(|| "nobody known".to_owned()),
            ),
        ]))?;
    }
    ui.say(&format!("{}: {}", args.file.display(), verdict.says));
    Ok(())
}
