//! moto: AWS's STS and IAM as somebody else wrote them, behind a loopback port.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running moto, ended on drop.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    /// Starts the one that `cargo xtask test programs` has installed; `target` is cargo's folder.
    ///
    /// # Panics
    ///
    /// Panics where it is not installed, or ends before it listens.
    #[must_use]
    pub fn start(target: &Path) -> Self {
        let python = target.join("tools/clients/moto/bin/python");
        let hint = "`cargo xtask test programs` installs it";
        assert!(python.exists(), "{}: {hint}", python.display());
        let mut child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it is a program");
        let stderr = child.stderr.take().expect("it is piped");
        let mut lines = BufReader::new(stderr).lines();
        let url = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            let (_, url) = line.split_once("Running on ")?;
            Some(url.trim().to_owned())
        });
        // It writes a line for each request, and somebody has to read them.
        std::thread::spawn(move || lines.for_each(drop));
        let url = url.expect("it says where it listens");
        Self { child, url }
    }

    /// Returns its address, for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // One that has ended by itself has failed a test already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
