//! Takes, lists and restores snapshots of one folder, by hand.
//!
//! ```sh
//! cargo run -p mira-snapshot --example snapshots -- take REPOSITORY PASSWORD-FILE FOLDER SECRETS-FILE
//! ```
//!
//! The file of secrets has `NAME=value` lines. The crate's integration tests drive this example where they need a
//! process that can be killed.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use mira_secret::SecretBytes;
use mira_snapshot::{Options, Repository, Retention, Secrets, Volume};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be gone; there is nowhere else to say it.
            writeln!(std::io::stderr(), "snapshots: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [action, repository, password, rest @ ..] = words.as_slice() else {
        return Err("usage: snapshots take|restore|keep REPOSITORY PASSWORD-FILE ...".into());
    };
    let password = SecretBytes::from_vec(std::fs::read(password)?);
    let repository = Repository::open_or_create(Path::new(repository), &password)?;
    // A line that says "now": whoever waits to kill this process waits for it.
    writeln!(std::io::stdout(), "ready")?;
    match (action.as_str(), rest) {
        ("take", [folder, secrets]) => {
            let mut builder = Secrets::builder();
            for line in std::fs::read_to_string(secrets)?.lines() {
                let (name, value) = line.split_once('=').ok_or("a line without '='")?;
                builder.add(name, value.as_bytes());
            }
            let options = Options {
                instance: "example".into(),
                ..Options::default()
            };
            let volumes = [Volume::new("data", folder)];
            let report = repository.snapshot(&volumes, &builder.build(), &options, &mut |_| {})?;
            writeln!(std::io::stdout(), "{}", report.snapshot.id.as_str())?;
        }
        ("restore", [id, targets @ ..]) => {
            let id = repository.find(id)?;
            let volumes: Vec<Volume> = targets
                .iter()
                .filter_map(|target| target.split_once('='))
                .map(|(name, path)| Volume::new(name, path))
                .collect();
            repository.restore(&id, &volumes, &mut |_| {})?;
        }
        ("keep", [last]) => {
            let retention = Retention {
                last: last.parse()?,
                ..Retention::default()
            };
            repository.apply_retention(&retention)?;
        }
        _ => return Err("there is no such action, or it takes other words".into()),
    }
    Ok(())
}
