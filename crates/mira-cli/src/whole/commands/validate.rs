//! `mira validate`: all that is wrong with an app's folder, before anybody opens it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mira_package::archive::{MANIFEST_PATH, PackOptions, list};
use mira_package::manifest::{Fault, Manifest, ManifestError};
use serde_json::json;

use crate::error::{CommandError, Kind};
use crate::render::count;
use crate::ui::Ui;
use crate::whole::packaging::{folder_of, manifest_bytes, manifest_path};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app's folder, or its mira.yaml
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,

    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    ui.want_json(args.json);
    let is_manifest = args
        .folder
        .file_name()
        .is_some_and(|name| name == MANIFEST_PATH);
    let folder = match is_manifest && args.folder.is_file() {
        true => folder_of(&args.folder),
        false => &args.folder,
    };
    let file = manifest_path(folder).display().to_string();
    let manifest = Manifest::parse_bytes(&manifest_bytes(folder)?);
    let refused = list(folder, &PackOptions::default()).err();
    let refused = refused.map(|error| error.to_string());
    let faults = manifest
        .as_ref()
        .err()
        .map_or(&[][..], ManifestError::faults);
    let left_out = manifest.as_ref().err().map_or(0, ManifestError::left_out);
    let is_valid = manifest.is_ok() && refused.is_none();
    if args.json {
        ui.json(&json!({
            "manifest": file,
            "valid": is_valid,
            "faults": faults,
            "leftOut": left_out,
            "refused": refused,
        }))?;
    } else {
        tell_faults(ui, &file, faults, left_out)?;
        if let Some(refused) = &refused {
            ui.data(&format!("package: {refused}\n"))?;
        }
    }
    match &manifest {
        Ok(manifest) if is_valid => {
            if !args.json {
                tell_valid(ui, folder, manifest);
            }
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            let number = faults.len() + left_out + usize::from(refused.is_some());
            ui.say(&format!("{} to mend", count(number, "fault")));
            Ok(Kind::Failed.exit_code())
        }
    }
}

fn tell_faults(ui: &Ui, file: &str, faults: &[Fault], left_out: usize) -> Result<(), CommandError> {
    for fault in faults {
        ui.data(&format!("{}\n", fault.in_file(file)))?;
    }
    match left_out {
        0 => Ok(()),
        more => ui.data(&format!("{file}: and {more} more\n")),
    }
}

fn tell_valid(ui: &Ui, folder: &Path, manifest: &Manifest) {
    ui.say(&format!(
        "{} is valid: {} {} ({}), {}, {}",
        manifest_path(folder).display(),
        manifest.name,
        manifest.version,
        manifest.id,
        count(manifest.services.len(), "service"),
        count(manifest.secrets.len(), "secret"),
    ));
}
