//! Writes the pages of `docs/reference` from the definitions in the code, or checks that they are current.
//!
//! It is an example of xtask, not a part of it: so the tasks need not build all of Mira, and the tests build this along with
//! everything else. Run it as `cargo xtask gen`.

mod cli;
mod manifest;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Parser;

/// What to do.
#[derive(Debug, Parser)]
struct Cli {
    /// The folder of the pages
    folder: PathBuf,
    /// Fail if a page is not current, and leave all as they are
    #[arg(long)]
    check: bool,
}

#[expect(clippy::print_stderr, reason = "a surface: this is its message")]
fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let pages = [
        ("cli.md", cli::page()?),
        ("manifest.md", manifest::page()?),
        ("mira.schema.json", manifest::schema()?),
        ("api.json", format!("{:#}\n", mira_desk::describe())),
        (
            "supervisor.json",
            format!("{:#}\n", mira_desk::describe_supervisor()),
        ),
    ];
    let mut stale = Vec::new();
    for (name, text) in pages {
        let path = cli.folder.join(name);
        let shown = path.display();
        if !cli.check {
            std::fs::write(&path, text).with_context(|| format!("cannot write {shown}"))?;
        } else if std::fs::read_to_string(&path).ok() != Some(text) {
            stale.push(shown.to_string());
        }
    }
    ensure!(
        stale.is_empty(),
        "not what the code says: {}; run `cargo xtask gen` and commit what it writes",
        stale.join(", ")
    );
    Ok(())
}

/// Returns text that fits a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('<', "\\<")
        .replace('>', "\\>")
        .replace('\n', " ")
}
