//! `cargo xtask demo`: Mira's main job, shown with the real program in a throw-away home.
//!
//! It asks nothing, needs no network, no keyring and no server, and leaves nothing behind. It is a check as well: it fails if
//! the key shows in anything that it prints or in the vault's file.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::process::{run as run_command, which};
use crate::repository::Repository;
use crate::say;

/// What a careless program does with its key: uses it, and prints it plain, encoded and quoted.
const PYTHON: &str = r#"import base64, json, os
key = os.environ["OPENAI_API_KEY"]
print("asking the model with", key)
print("Authorization: Basic", base64.b64encode(f"me:{key}".encode()).decode())
print(json.dumps({"api_key": key, "model": "gpt"}))"#;

const SHELL: &str = r#"echo "asking the model with $OPENAI_API_KEY"
printf 'hex: '; printf %s "$OPENAI_API_KEY" | od -An -v -tx1 | tr -d ' \n'; echo
echo "{\"api_key\": \"$OPENAI_API_KEY\"}""#;

/// Builds what it takes and no more, and shows it.
pub(crate) fn run(repository: &Repository) -> anyhow::Result<()> {
    say::note("building mira ...");
    let alone = ["--package", "mira-cli", "--no-default-features"];
    show(repository, &alone)
}

/// Shows it with the program that the tests have built, for building it alone takes minutes more.
pub(crate) fn run_after_tests(repository: &Repository) -> anyhow::Result<()> {
    show(repository, &["--workspace"])
}

fn show(repository: &Repository, of: &[&str]) -> anyhow::Result<()> {
    let mut build = repository.cargo(["build", "--locked", "--bin", "mira"]);
    run_command(build.args(of))?;
    let folder = tempfile::Builder::new()
        .prefix("mira-demo-")
        .tempdir()
        .context("cannot make a throw-away folder")?;
    let demo = Demo {
        mira: repository
            .target()?
            .join("debug")
            .join(format!("mira{}", std::env::consts::EXE_SUFFIX)),
        home: folder.path().join("mira"),
        key: made_up_key(),
    };
    demo.show()
}

struct Demo {
    mira: PathBuf,
    home: PathBuf,
    key: String,
}

impl Demo {
    fn show(&self) -> anyhow::Result<()> {
        say::line("\nA vault in a throw-away folder, its root key in a file beside it:");
        self.mira(&["init", "--provider", "keyfile"], None)?;

        say::line(
            "\nA key goes in. It comes from stdin, so no other program sees it in an argument:",
        );
        self.mira(
            &[
                "set",
                "OPENAI_API_KEY",
                "--stdin",
                "--label",
                "OpenAI API Key",
            ],
            Some(&self.key),
        )?;

        say::line("\nA program uses the key, and prints it in several spellings:");
        let printed = match which("python3") {
            Some(_) => self.mira(&["run", "--", "python3", "-c", PYTHON], None)?,
            None => self.mira(&["run", "--", "sh", "-c", SHELL], None)?,
        };
        ensure!(
            printed.contains("[redacted:OPENAI_API_KEY]"),
            "nothing was redacted"
        );

        say::line("\nWhat Mira tells about the key; the value is not among it:");
        self.mira(&["list"], None)?;

        let vault = self.home.join("credentials.json");
        say::line("\nWhat is on the disk:");
        self.file(&vault)?;
        say::line(
            "\nThe throw-away folder is gone now. Next, on your own:\n\n  \
             cargo install --locked --path crates/mira-cli\n  \
             mira init\n  \
             mira set OPENAI_API_KEY\n  \
             mira run -- python3 agent.py",
        );
        Ok(())
    }

    /// Shows a command, runs it, shows and returns what it wrote.
    fn mira(&self, args: &[&str], input: Option<&str>) -> anyhow::Result<String> {
        let feed = if input.is_some() {
            "printf %s \"$KEY\" | "
        } else {
            ""
        };
        say::line(&format!(
            "$ {feed}mira {}",
            args.iter()
                .map(|arg| quoted(arg))
                .collect::<Vec<_>>()
                .join(" ")
        ));
        let mut child = Command::new(&self.mira)
            .args(args)
            .env("MIRA_HOME", &self.home)
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.mira.display()))?;
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin
                .write_all(input.as_bytes())
                .context("cannot write the key to stdin")?;
        }
        let output = child
            .wait_with_output()
            .context("cannot read what mira writes")?;
        let both = [output.stdout, output.stderr].concat();
        let both = String::from_utf8_lossy(&both).into_owned();
        self.print(&both)?;
        if !output.status.success() {
            bail!(
                "mira {} ended with {}",
                args.first().unwrap_or(&""),
                output.status
            );
        }
        Ok(both)
    }

    fn file(&self, file: &Path) -> anyhow::Result<()> {
        say::line(&format!("$ cat {}", file.display()));
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        self.print(&text)
    }

    /// Prints text, unless the key is in it.
    fn print(&self, text: &str) -> anyhow::Result<()> {
        ensure!(
            !text.contains(&self.key),
            "the key shows: that is a bug in Mira"
        );
        say::line(text.trim_end());
        Ok(())
    }
}

/// Returns something that looks like a key, made up anew each time.
fn made_up_key() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!(
        "sk-proj-{:016x}{:016x}{:016x}",
        random(),
        random(),
        random()
    )
}

fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{arg}'")
    }
}
