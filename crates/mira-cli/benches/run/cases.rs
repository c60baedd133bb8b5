//! The cases of Mira's own: one home for each key provider and number of secrets.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use mira_testkit::home::TestHome;
use mira_testkit::secret_service::SecretService;

/// The name of the case that others are compared to.
pub(crate) const KEYFILE: &str = "mira run, keyfile";

const MIRA: &str = env!("CARGO_BIN_EXE_mira");
const COUNTS: [usize; 3] = [1, 10, 50];
const PROVIDERS: [&str; 3] = ["keyfile", "passphrase", "keyring"];

/// Something to measure: a command that starts `true`.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How many secrets it delivers.
    pub(crate) secrets: usize,
    pub(crate) command: Command,
    /// Removed when the case is done with.
    _folder: Option<tempfile::TempDir>,
}

impl Case {
    /// Returns the program itself, started barely.
    pub(crate) fn bare() -> Self {
        Self {
            name: "true",
            secrets: 0,
            command: Command::new("true"),
            _folder: None,
        }
    }

    /// Returns a case that needs a folder of its own.
    pub(crate) fn in_folder(
        name: &'static str,
        secrets: usize,
        command: Command,
        folder: tempfile::TempDir,
    ) -> Self {
        Self {
            name,
            secrets,
            command,
            _folder: Some(folder),
        }
    }
}

/// Returns made-up secrets as a dotenv file.
pub(crate) fn dotenv(number: usize) -> String {
    (0..number)
        .map(|index| {
            format!(
                "BENCH_KEY_{index:02}=sk-proj-{:064x}\n",
                index * 7_919 + 0x5eed
            )
        })
        .collect()
}

/// A home for each provider and number of secrets.
pub(crate) struct Homes {
    homes: Vec<(&'static str, usize, TestHome)>,
    keyring: SecretService,
}

impl Homes {
    /// Makes the vaults and fills them.
    pub(crate) fn new() -> Self {
        let keyring = SecretService::start();
        let mut homes = Vec::new();
        for provider in PROVIDERS {
            for number in COUNTS {
                let mut home = TestHome::new();
                for (name, value) in keyring.env() {
                    home.set(name, value);
                }
                fill(&home, provider, number);
                homes.push((provider, number, home));
            }
        }
        Self { homes, keyring }
    }

    /// Returns the keyring that the homes use.
    pub(crate) fn keyring(&self) -> &SecretService {
        &self.keyring
    }

    /// Returns the cases with this many secrets.
    pub(crate) fn cases(&self, number: usize) -> Vec<Case> {
        self.homes
            .iter()
            .filter(|(_, secrets, _)| *secrets == number)
            .map(|(provider, secrets, home)| {
                let mut command = mira(home);
                command.args(["run", "--", "true"]);
                let name = match *provider {
                    "keyfile" => KEYFILE,
                    "passphrase" => "mira run, passphrase remembered",
                    _ => "mira run, keyring",
                };
                Case {
                    name,
                    secrets: *secrets,
                    command,
                    _folder: None,
                }
            })
            .collect()
    }

    /// Returns the peak and the present memory of `mira run` while its program waits, in KiB.
    pub(crate) fn idle_memory_kib(&self, number: usize) -> Option<(u64, u64)> {
        let (_, _, home) = self
            .homes
            .iter()
            .find(|(provider, secrets, _)| *provider == "keyfile" && *secrets == number)?;
        let mut child = mira(home)
            .args(["run", "--", "sh", "-c", "echo ready; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("mira starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was piped just above");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the program is ready");
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        drop(child.stdin.take());
        child.wait().expect("it is ours");
        let status = status.ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some((field("VmHWM:")?, field("VmRSS:")?))
    }
}

fn mira(home: &TestHome) -> Command {
    let mut command = Command::new(MIRA);
    command
        .env_clear()
        .envs(home.env().iter().map(|(name, value)| (name, value)));
    command
}

fn fill(home: &TestHome, provider: &str, number: usize) {
    let passphrase = home.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse battery staple").expect("a file in our folder");
    let dotenv_file = home.path().join("dotenv");
    std::fs::write(&dotenv_file, dotenv(number)).expect("a file in our folder");
    let run = |args: &[&str]| {
        let mut command = mira(home);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if provider == "passphrase" && args.first() != Some(&"init") {
            command.arg("--passphrase-file").arg(&passphrase);
        }
        if provider == "passphrase" && args.first() == Some(&"init") {
            command.arg("--new-passphrase-file").arg(&passphrase);
        }
        if args.first() == Some(&"import") {
            command.arg(&dotenv_file);
        }
        let output = command.output().expect("mira starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "mira {args:?} ({provider}): {told}"
        );
    };
    run(&["init", "--provider", provider]);
    run(&["import", "--yes", "--keep-plaintext"]);
    if provider == "passphrase" {
        run(&["unlock"]);
    }
}
