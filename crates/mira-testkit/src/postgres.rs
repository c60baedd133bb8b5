//! A PostgreSQL server of one test's own: real, on loopback and a socket in its folder, gone with the fixture.
//!
//! Making a cluster takes seconds, so one is made once for all tests that were built together, and copied for each server. The server does
//! not run as root: there it runs as `nobody`, to whom its folder then belongs.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

/// The name of the user who may do everything on the server.
pub const USER: &str = "tester";

/// That user's password, which is asked for on loopback and not on the socket.
pub const PASSWORD: &str = "correct-horse-battery";

/// The user and group `nobody`: a server refuses to run as root.
const NOBODY: u32 = 65_534;

/// How often another port is tried where somebody else took the chosen one meanwhile.
// LIMIT: it happens hardly ever; that often, something else is wrong.
const STARTS_MAX: usize = 10;

/// A server that runs.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    process: Child,
    settings: Vec<&'static str>,
}

impl Postgres {
    /// Starts a server with an empty cluster.
    ///
    /// # Panics
    ///
    /// If there is no PostgreSQL on this machine, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::in_folder(folder_with_cluster(), &[])
    }

    /// Starts such a server that speaks TLS to who asks for it, with a certificate and its key, in PEM.
    ///
    /// # Panics
    ///
    /// As [`Postgres::start`].
    #[must_use]
    pub fn with_tls(certificate: &str, key: &str) -> Self {
        let folder = folder_with_cluster();
        let data = folder.path().join("data");
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = data.join(name);
            fs::write(&path, text).expect("it can be written");
            // The server refuses a key that others may read.
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
        }
        Self::in_folder(folder, &["ssl=on"])
    }

    fn in_folder(folder: TempDir, settings: &[&'static str]) -> Self {
        give_away(folder.path());
        let (process, port) = start(folder.path(), settings);
        Self {
            folder,
            port,
            process,
            settings: settings.to_vec(),
        }
    }

    /// Kills the server and all its processes where they are, and starts it again on what is on the disk, on another port.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn crash(&mut self) {
        self.end();
        (self.process, self.port) = start(self.folder.path(), &self.settings);
    }

    fn end(&mut self) {
        // QUIT has it end at once, with nothing written, and take its own processes along.
        let pid = Pid::from_child(&self.process);
        if kill_process(pid, Signal::QUIT).is_ok() {
            self.process.wait().ok();
        }
    }

    /// Returns the folder of its socket, which is its host's name for programs of PostgreSQL.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the number of its port on loopback; the socket bears it too.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the URL of a database on loopback, with the password.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}")
    }

    /// Returns the URL of a database through the socket, where no password is asked for.
    #[must_use]
    pub fn socket_url(&self, database: &str) -> String {
        let (folder, port) = (self.folder.path().display(), self.port);
        format!("postgres:///{database}?host={folder}&port={port}&user={USER}")
    }

    /// Asks the server by its own client, through the socket; returns the rows, columns parted by `|`.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(program("psql"))
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .args(["--set=ON_ERROR_STOP=1", "--username", USER])
            .args(["--dbname", database, "--command", sql])
            .env("PGHOST", self.folder.path())
            .env("PGPORT", self.port.to_string())
            .output()
            .expect("psql starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {error}");
        let rows = String::from_utf8(output.stdout).expect("its output is text");
        rows.trim_end().to_owned()
    }

    /// Returns the folder of all its files, which are on the disk after a `CHECKPOINT`.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a server on a port that is free; returns it and the port.
fn start(folder: &Path, settings: &[&'static str]) -> (Child, u16) {
    for _ in 0..STARTS_MAX {
        let port = free_port();
        if let Some(process) = serve(folder, port, settings) {
            return (process, port);
        }
    }
    panic!("PostgreSQL did not start on any of {STARTS_MAX} ports");
}

/// Starts a server and waits until it takes connections; returns nothing if it does not get that far.
fn serve(folder: &Path, port: u16, settings: &[&str]) -> Option<Child> {
    let mut command = server_program("postgres", folder);
    command.args(["-D", "data", "-F"]);
    let socket = format!("unix_socket_directories={}", folder.display());
    let port = format!("port={port}");
    let own = [
        "listen_addresses=127.0.0.1",
        "shared_buffers=8MB",
        "autovacuum=off",
        &port,
        &socket,
    ];
    for setting in own.iter().chain(settings) {
        command.args(["-c", setting]);
    }
    let mut process = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("PostgreSQL is installed");
    let mut lines = BufReader::new(process.stderr.take().expect("it is a pipe")).lines();
    let mut said = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        if line.contains("ready to accept connections") {
            // What it says from now on is taken in and passed over, lest it wait for a reader.
            std::thread::spawn(move || lines.count());
            return Some(process);
        }
        said.push(line);
    }
    process.wait().expect("it is our child");
    let said = said.join("\n");
    assert!(said.contains("Address already in use"), "{said}");
    None
}

/// Returns a port that nobody has now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is there");
    listener.local_addr().expect("it is bound").port()
}

/// Returns the cluster that all servers of these tests begin with, and makes it where there is none.
fn template() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let built = test.ancestors().nth(2).expect("tests are in a folder");
    // Another version of the server cannot use it.
    let version = program("initdb");
    let version = version.ancestors().nth(2).and_then(Path::file_name);
    let version = version.unwrap_or_default().to_string_lossy();
    let path = built.join(format!("postgres-template-{version}"));
    let lock = File::create(path.with_extension("lock")).expect("it can be written");
    lock.lock().expect("it can be locked");
    if !path.exists() {
        let folder = folder();
        fs::write(folder.path().join("password"), PASSWORD).expect("it can be written");
        give_away(folder.path());
        let made = server_program("initdb", folder.path())
            .args([
                "--no-sync",
                "--no-locale",
                "--encoding=UTF8",
                "--wal-segsize=1",
            ])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
            .args(["--username", USER, "--pwfile=password", "--pgdata=data"])
            .output()
            .expect("PostgreSQL is installed");
        assert!(made.status.success(), "{made:?}");
        // A copy that was interrupted does not get this name.
        let new = path.with_extension("new");
        fs::remove_dir_all(&new).ok();
        copy(&folder.path().join("data"), &new);
        fs::rename(&new, &path).expect("it can be renamed");
    }
    path
}

fn folder_with_cluster() -> TempDir {
    let folder = folder();
    copy(&template(), &folder.path().join("data"));
    folder
}

fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("mira-postgres-")
        .tempdir()
        .expect("a folder")
}

/// Copies a folder; what is copied is ours, and closed to others as it was.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    let mode = fs::metadata(from).expect("it is there").permissions();
    fs::set_permissions(to, mode).expect("it is ours");
    for entry in fs::read_dir(from).expect("it can be read") {
        let entry = entry.expect("it can be read");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("it has one").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).expect("it can be copied");
        }
    }
}

/// Gives a folder and all in it to who runs the server.
fn give_away(path: &Path) {
    if !geteuid().is_root() {
        return;
    }
    chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("it can be read") {
            give_away(&entry.expect("it can be read").path());
        }
    }
}

/// A program of the server's, on its way to run as an ordinary user in a folder.
fn server_program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(program(name));
    command.current_dir(folder).env("LC_ALL", "C");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Returns where a program of PostgreSQL is: Debian keeps most of them out of `PATH`.
fn program(name: &str) -> PathBuf {
    fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|program| program.exists())
        .max()
        .unwrap_or_else(|| PathBuf::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_servers_run_apart_and_leave_nothing() {
        let one = Postgres::start();
        let folder = one.socket_folder().to_owned();
        {
            let two = Postgres::start();
            assert_ne!(one.port(), two.port());
            two.sql("postgres", "CREATE DATABASE mira");
        }
        let names = "SELECT datname FROM pg_database WHERE NOT datistemplate";
        assert_eq!(one.sql("postgres", names), "postgres");
        let pid = one.process.id();
        drop(one);
        assert!(!folder.exists());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
