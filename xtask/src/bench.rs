//! `cargo xtask bench`: the benches of all crates, one after the other, each a table.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{run as run_command, which};
use crate::repository::Repository;
use crate::say;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Measure other tools beside Mira, installed from their registries into target/peers (takes minutes, once)
    #[arg(long)]
    peers: bool,
    /// Only the benches of these crates
    crates: Vec<String>,
}

/// The crates with benches, and the bench's name.
const BENCHES: &[(&str, &str)] = &[
    ("mira-redact", "scan"),
    ("mira-vault", "vault"),
    ("mira-host", "logs"),
    ("mira-snapshot", "snapshot"),
    (RUN.0, RUN.1),
    ("mira-cli", "apps"),
    ("mira-cli", "mcp"),
];

/// The bench that knows other tools.
const RUN: (&str, &str) = ("mira-cli", "run");

/// Runs the benches.
pub(crate) fn run(repository: &Repository, args: &Args) -> anyhow::Result<()> {
    let peers = if args.peers {
        Some(install_peers(repository)?)
    } else {
        None
    };
    for (package, bench) in BENCHES {
        if !args.crates.is_empty() && !args.crates.iter().any(|chosen| chosen == package) {
            continue;
        }
        say::line(&format!("\n{package}"));
        let mut command = repository.cargo(["bench", "--quiet", "--locked"]);
        command.args(["--package", package, "--bench", bench]);
        if let Some(folder) = peers.as_deref().filter(|_| (*package, *bench) == RUN) {
            command.arg("--").arg("--peers").arg(folder);
        }
        run_command(&mut command)?;
    }
    Ok(())
}

/// Tools with the same job, each in the version that was compared last.
const CARGO_PEERS: &[(&str, &str)] = &[
    ("envchain-rs", "0.1.13"),
    ("fnox", "1.46.0"),
    ("secretspec", "0.21.1"),
];
const NPM_PEERS: &[&str] = &["@dotenvx/dotenvx@2.38.2"];
const PYTHON_PEERS: &[&str] = &["python-dotenv[cli]==1.2.4"];

/// Installs what is missing; a tool that does not install is left out, and said so.
fn install_peers(repository: &Repository) -> anyhow::Result<PathBuf> {
    let home = repository.target()?.join("peers");
    for (package, version) in CARGO_PEERS {
        let program = package.trim_end_matches("-rs");
        if !home.join("bin").join(program).is_file() {
            tried(
                package,
                repository
                    .cargo(["install", "--quiet", "--version", version, package])
                    .arg("--root")
                    .arg(&home),
            );
        }
    }
    let node = home.join("node");
    if which("npm").is_some() && !node.join("node_modules/.bin/dotenvx").exists() {
        std::fs::create_dir_all(&node)?;
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--silent",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--prefix",
        ]);
        tried("dotenvx", npm.arg(&node).args(NPM_PEERS));
    }
    let python = home.join("python");
    if which("python3").is_some() && !python.join("bin/dotenv").exists() {
        tried(
            "python3 -m venv",
            Command::new("python3").args(["-m", "venv"]).arg(&python),
        );
        tried("python-dotenv", pip(&python).args(PYTHON_PEERS));
    }
    Ok(home)
}

fn pip(home: &Path) -> Command {
    let mut pip = Command::new(home.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    pip
}

fn tried(name: &str, command: &mut Command) {
    say::note(&format!("installing {name}"));
    if let Err(error) = run_command(command) {
        say::note(&format!("{name} is left out: {error:#}"));
    }
}
