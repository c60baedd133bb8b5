//! Tools of others that start a program with secrets, as far as they are installed.
//!
//! Each is set up as its manual says, with the same secrets. Those that keep them in plaintext are marked so: they do less.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mira_testkit::secret_service::SecretService;
use tempfile::TempDir;

use crate::cases::{Case, dotenv};

/// Returns a case for each tool that is there.
pub(crate) fn cases(installed: &Path, number: usize, keyring: &SecretService) -> Vec<Case> {
    let peer = |name, program: &str, set_up: fn(&Peer, usize) -> Vec<&'static str>| {
        let program = find(installed, program)?;
        let peer = Peer::new(program, keyring);
        std::fs::write(peer.folder.path().join(".env"), dotenv(number))
            .expect("a file in our folder");
        let args = set_up(&peer, number);
        let mut command = peer.command();
        command.args(args);
        Some(Case::in_folder(name, number, command, peer.folder))
    };
    [
        peer(
            "secretspec run, plaintext file",
            "secretspec",
            |peer, number| {
                secretspec(peer, number);
                vec![
                    "run",
                    "--provider",
                    "dotenv:.env",
                    "--reason",
                    "bench",
                    "--",
                    "true",
                ]
            },
        ),
        peer("secretspec run, keyring", "secretspec", |peer, number| {
            secretspec(peer, number);
            for (name, value) in pairs(number) {
                peer.set_up(&[
                    "set",
                    "--provider",
                    "keyring",
                    "--reason",
                    "bench",
                    &name,
                    &value,
                ]);
            }
            vec![
                "run",
                "--provider",
                "keyring",
                "--reason",
                "bench",
                "--",
                "true",
            ]
        }),
        peer("envchain-rs, keyring", "envchain", |peer, number| {
            for (name, value) in pairs(number) {
                envchain_item(peer, number, &name, &value);
            }
            vec![envchain_namespace(number), "true"]
        }),
        peer("fnox exec, age", "fnox", |peer, number| {
            fnox(peer, number);
            vec!["exec", "--", "true"]
        }),
        peer("dotenvx run, encrypted file", "dotenvx", |peer, _| {
            peer.set_up(&["encrypt"]);
            vec!["run", "--quiet", "--", "true"]
        }),
        peer("python-dotenv run, plaintext file", "dotenv", |_, _| {
            vec!["-f", ".env", "run", "--", "true"]
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A tool, and a folder that is its whole world.
struct Peer {
    program: PathBuf,
    folder: TempDir,
    bus: Vec<(&'static str, std::ffi::OsString)>,
}

impl Peer {
    fn new(program: PathBuf, keyring: &SecretService) -> Self {
        Self {
            program,
            folder: tempfile::tempdir().expect("a temporary folder"),
            bus: keyring.env(),
        }
    }

    fn command(&self) -> Command {
        self.command_of(&self.program)
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("LANG", "C.UTF-8")
            .envs(self.bus.iter().map(|(name, value)| (name, value)));
        command
    }

    fn set_up(&self, args: &[&str]) {
        succeed(self.command().args(args));
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).expect("a file in our folder");
    }
}

fn succeed(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the program was found");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn find(installed: &Path, program: &str) -> Option<PathBuf> {
    ["bin", "node/node_modules/.bin", "python/bin"]
        .iter()
        .map(|folder| installed.join(folder).join(program))
        .find(|file| file.is_file())
        .and_then(|file| file.canonicalize().ok())
}

fn pairs(number: usize) -> Vec<(String, String)> {
    dotenv(number)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn secretspec(peer: &Peer, number: usize) {
    let mut manifest =
        "[project]\nname = \"bench\"\nrevision = \"1.0\"\n\n[profiles.default]\n".to_owned();
    for (name, _) in pairs(number) {
        manifest.push_str(&format!("{name} = {{ description = \"a key\" }}\n"));
    }
    peer.write("secretspec.toml", &manifest);
}

/// envchain asks for values on a terminal, so they are put where it looks for them.
fn envchain_item(peer: &Peer, number: usize, name: &str, value: &str) {
    let mut store = peer.command_of(Path::new("secret-tool"));
    store
        .args([
            "store",
            "--label",
            name,
            "name",
            envchain_namespace(number),
            "key",
            name,
        ])
        .args(["xdg:schema", "envchain.EnvironmentVariable"])
        .stdin(Stdio::piped())
        .stderr(Stdio::inherit());
    let mut child = store
        .spawn()
        .expect("secret-tool is installed for the tests");
    let mut stdin = child.stdin.take().expect("it was piped just above");
    std::io::Write::write_all(&mut stdin, value.as_bytes()).expect("secret-tool reads it");
    drop(stdin);
    assert!(child.wait().expect("it is ours").success(), "{store:?}");
}

/// All cases share one keyring, so each number of secrets has its own namespace.
fn envchain_namespace(number: usize) -> &'static str {
    match number {
        1 => "one",
        10 => "ten",
        _ => "fifty",
    }
}

/// Secrets encrypted to an age identity that lies beside them, as with Mira's key file.
fn fnox(peer: &Peer, number: usize) {
    let identity = succeed(&mut peer.command_of(Path::new("age-keygen")));
    let recipient = identity
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "))
        .expect("age-keygen prints it")
        .to_owned();
    peer.write("identity.txt", &identity);
    peer.write(
        "fnox.toml",
        &format!(
            "default_provider = \"age\"\n\n[providers.age]\ntype = \"age\"\nrecipients = [\"{recipient}\"]\nkey_file = \"identity.txt\"\n\n[secrets]\n"
        ),
    );
    for (name, value) in pairs(number) {
        peer.set_up(&["set", &name, &value]);
    }
}
