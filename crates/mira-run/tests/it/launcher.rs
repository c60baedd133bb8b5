//! The example `run` as the tests' `mira run`.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use mira_testkit::signal::send;

/// The value that must never be shown.
pub(crate) const SECRET: &str = "sk-proj-4f9Qm2ZrT7";

/// What is shown in its place.
pub(crate) const MARKER: &str = "[redacted:API_KEY]";

/// A folder with a file of keys, for one test.
pub(crate) struct Launcher {
    folder: tempfile::TempDir,
    keys: PathBuf,
}

impl Launcher {
    /// With one secret, `API_KEY`.
    pub(crate) fn new() -> Self {
        Self::with_keys(&format!("API_KEY={SECRET}\n"))
    }

    /// With nothing to redact.
    pub(crate) fn bare() -> Self {
        Self::with_keys("")
    }

    fn with_keys(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        std::fs::write(&keys, lines).unwrap();
        Self { folder, keys }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the command line that runs a program, to be spawned or typed into a shell.
    pub(crate) fn words(&self) -> [PathBuf; 2] {
        [example(), self.keys.clone()]
    }

    /// The same words as one line of shell.
    pub(crate) fn line(&self) -> String {
        self.words()
            .map(|word| word.display().to_string())
            .join(" ")
    }

    /// Writes a script and returns the shell's line that runs it through us; that line holds none of its words.
    pub(crate) fn script(&self, body: &str) -> String {
        let path = self.folder().join("script");
        std::fs::write(&path, body).unwrap();
        format!("{} bash {}", self.line(), path.display())
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let [example, keys] = self.words();
        let mut command = Command::new(example);
        command.arg(keys).args(args).stdin(Stdio::null());
        command
    }

    pub(crate) fn sh(&self, script: &str) -> Command {
        self.command(&["sh", "-c", script])
    }

    /// Runs a script to its end and returns what it wrote to pipes.
    pub(crate) fn output(&self, script: &str) -> Output {
        self.sh(script).output().unwrap()
    }
}

/// The example is built with the tests, next to the folder that they are in.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.ancestors().nth(2).unwrap();
    let example = built.join("examples/run");
    assert!(
        example.exists(),
        "{example:?} is not built: run all tests of the package, or build --examples"
    );
    example
}

/// A program that has been started with its output in pipes.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }

    pub(crate) fn signal(&self, signal: &str) {
        send(self.child.id(), signal);
    }
}

/// Ends a process that was left behind, after a look at whether it was still unharmed.
pub(crate) fn end_unharmed(process: u32) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let field = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap();
    let (state, pending) = (field("State:"), field("ShdPnd:"));
    send(process, "KILL");
    assert!(state.contains("sleeping"), "{state}");
    assert!(pending.ends_with("\t0000000000000000"), "{pending}");
}
