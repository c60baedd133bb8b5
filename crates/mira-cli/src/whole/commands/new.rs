//! `mira new`: begins an app, in a folder of its own.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use mira_package::archive::MANIFEST_PATH;
use mira_package::manifest::{AppId, Manifest, template};

use crate::error::CommandError;
use crate::render::quoted;
use crate::ui::Ui;
use crate::whole::packaging::cannot;

#[derive(Debug, clap::Args)]
#[command(after_help = "  mira new myapp --id org.example.myapp\n  cd myapp\n  mira open .")]
pub(crate) struct Args {
    /// The new folder; its name becomes the app's
    #[arg(value_name = "NAME")]
    folder: PathBuf,

    /// What identifies the app over all its versions: a domain name of yours, backwards, and a name
    #[arg(long, value_name = "REVERSE.DOMAIN")]
    id: Option<String>,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let folder = &args.folder;
    let id = args.id.as_deref().map(parse_id).transpose()?;
    let path = std::path::absolute(folder).map_err(|error| cannot("find", folder, &error))?;
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(CommandError::usage(
            "the folder's name becomes the app's, so it has to be a name in UTF-8 text",
        ));
    };
    let mut files = template(name);
    if let Some(id) = &id {
        set_id(&mut files, id);
    }
    make_folder(folder)?;
    for (file, text) in &files {
        let path = folder.join(file);
        File::create_new(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| cannot("write", &path, &error))?;
    }
    let names: Vec<&str> = files.iter().map(|(file, _)| *file).collect();
    ui.say(&format!("made {}: {}", folder.display(), names.join(", ")));
    let mut next = vec!["mira validate .", "mira open ."];
    let into = format!("cd {}", quoted(folder));
    if folder != Path::new(".") {
        next.insert(0, &into);
    }
    ui.detail("It runs as it is, with Python 3. Next:");
    for line in next {
        ui.detail(&format!("  {line}"));
    }
    if id.is_none() {
        ui.detail(&format!(
            "Before others get it, write an id of your own into {MANIFEST_PATH}: it never changes later."
        ));
    }
    Ok(())
}

fn parse_id(text: &str) -> Result<AppId, CommandError> {
    text.parse().map_err(|error| {
        CommandError::usage(format!("--id: {error}")).hint("For example: org.example.myapp")
    })
}

/// Puts another id in the place of the template's own.
fn set_id(files: &mut [(&'static str, String)], id: &AppId) {
    for (_, text) in files.iter_mut().filter(|(path, _)| *path == MANIFEST_PATH) {
        if let Ok(manifest) = Manifest::parse(text) {
            let line = |id: &AppId| format!("\nid: {id} ");
            *text = text.replacen(&line(&manifest.id), &line(id), 1);
        }
    }
}

/// Makes the folder; one that is there has to be empty.
fn make_folder(folder: &Path) -> Result<(), CommandError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(CommandError::failed(format!(
                "{} is there already, and not empty; nothing was written",
                folder.display()
            ))
            .hint("Choose another name.")),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(|error| cannot("make", folder, &error))
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(CommandError::failed(
            format!("{} is there already, and is no folder", folder.display()),
        )),
        Err(error) => Err(cannot("read", folder, &error)),
    }
}
