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
    RUN,
    ("mira-cli", "apps"),
    GATE,
    ("mira-cli", "mcp"),
    DESK,
    HOOKS,
    ("mira-reviewer", "delivery"),
    ("mira-reviewer", "index"),
];

/// The benches that know other tools.
const RUN: (&str, &str) = ("mira-cli", "run");
const GATE: (&str, &str) = ("mira-gate", "gate");
const DESK: (&str, &str) = ("mira-cli", "desk");
const HOOKS: (&str, &str) = ("mira-hooks", "accept");

/// Runs the benches.
pub(crate) fn run(repository: &Repository, args: &Args) -> anyhow::Result<()> {
    for (package, bench) in BENCHES {
        if !args.crates.is_empty() && !args.crates.iter().any(|chosen| chosen == package) {
            continue;
        }
        let peers = match (*package, *bench) {
            RUN if args.peers => Some(install_peers(repository)?),
            GATE if args.peers => Some(install_proxies(repository)?),
            DESK if args.peers => Some(install_web(repository)?),
            HOOKS if args.peers => Some(install_web(repository)?),
            _ => None,
        };
        say::line(&format!("\n{package}"));
        let mut command = repository.cargo(["bench", "--quiet", "--locked"]);
        command.args(["--package", package, "--bench", bench]);
        if (*package, *bench) == RUN {
            // `mira` alone is measured, as the commands for secrets are built without the others.
            command.arg("--no-default-features");
        }
        if let Some(folder) = peers {
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
    install_python(&home, "dotenv", PYTHON_PEERS);
    Ok(home)
}

/// Where the program is that hudsucker, a library, is compared as.
const HUDSUCKER: &str = "crates/mira-gate/benches/peers/hudsucker/Cargo.toml";
const PYTHON_PROXIES: &[&str] = &["mitmproxy==11.0.2"];

/// Builds and installs the proxies that the gate is compared to. tinyproxy and squid are the system's, and left out where they are not installed.
fn install_proxies(repository: &Repository) -> anyhow::Result<PathBuf> {
    let home = repository.target()?.join("peers");
    tried(
        "hudsucker",
        repository
            .cargo(["build", "--quiet", "--release", "--locked"])
            .args(["--manifest-path", HUDSUCKER, "--target-dir"])
            .arg(home.join("hudsucker")),
    );
    install_python(&home, "mitmdump", PYTHON_PROXIES);
    Ok(home)
}

const PYTHON_WEB: &[&str] = &["fastapi==0.115.6", "uvicorn==0.35.0"];

/// Installs what a desk, and a receiver of webhooks, could be made with instead.
fn install_web(repository: &Repository) -> anyhow::Result<PathBuf> {
    let home = repository.target()?.join("peers");
    install_python(&home, "uvicorn", PYTHON_WEB);
    Ok(home)
}

/// Installs Python packages that bring a program along.
fn install_python(home: &Path, program: &str, packages: &[&str]) {
    let python = home.join("python");
    if which("python3").is_none() || python.join("bin").join(program).exists() {
        return;
    }
    tried(
        "python3 -m venv",
        Command::new("python3").args(["-m", "venv"]).arg(&python),
    );
    tried(program, pip(&python).args(packages));
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
