//! A database's command line: a prompt with line editing, queries, a query that is cancelled.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mira_testkit::terminal::{Terminal, key};

use crate::launcher::{Launcher, MARKER, SECRET};

/// The user and group `nobody`: a server refuses to run as root.
const NOBODY: u32 = 65_534;

/// A PostgreSQL server of our own, which nobody can reach but by a socket in its folder.
struct Server {
    folder: tempfile::TempDir,
    process: Child,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = server_program("initdb", folder.path())
            .args(["--no-sync", "--no-locale", "--encoding=UTF8"])
            .args(["--auth=trust", "--username=tester", "--pgdata=data"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let socket = format!("unix_socket_directories={}", folder.path().display());
        let mut process = server_program("postgres", folder.path())
            .args(["-D", "data", "-F", "-c", "listen_addresses=", "-c", &socket])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let ready = lines.any(|line| line.unwrap().contains("ready to accept connections"));
        assert!(ready, "the server ended before it was ready");
        // What it says from now on is taken in and passed over, lest it wait for a reader.
        std::thread::spawn(move || lines.count());
        Self { folder, process }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // INT has it end at once and take its own processes along.
        crate::launcher::send(self.process.id(), "INT");
        self.process.wait().unwrap();
    }
}

/// A program of the server's, which Debian keeps out of `PATH`, on its way to run as an ordinary user in a folder.
fn server_program(name: &str, folder: &Path) -> Command {
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let program = debian
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|program| program.exists())
        .max()
        .unwrap_or_else(|| PathBuf::from(name));
    let mut command = Command::new(program);
    command.current_dir(folder).env("LC_ALL", "C");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

#[test]
fn a_database_is_asked_and_a_query_cancelled() {
    let server = Server::start();
    let launcher = Launcher::new();
    let mut command = launcher.command(&["psql", "--no-psqlrc", "--pset=pager=off"]);
    command
        .env("PGHOST", server.folder.path())
        .env("PGUSER", "tester")
        .env("PGDATABASE", "postgres")
        .env("PSQL_HISTORY", "/dev/null")
        .env("TERM", "xterm");
    let mut terminal = Terminal::start(command);
    terminal.expect("postgres=# ");
    terminal.send("select 6 * 7 as answer;\r");
    terminal.expect("     42");
    terminal.expect("postgres=# ");
    terminal.send("\\getenv word API_KEY\r");
    terminal.expect("postgres=# ");
    terminal.send("select :'word' as word;\r");
    terminal.expect(MARKER);
    terminal.expect("postgres=# ");
    // Says that it runs before it sleeps: until then the key would not cancel it.
    terminal.send("do $$ begin raise notice 'asleep'; perform pg_sleep(60); end $$;\r");
    terminal.expect("NOTICE:  asleep");
    terminal.send(key::CTRL_C);
    terminal.expect("canceling statement due to user request");
    terminal.expect("postgres=# ");
    terminal.send("\\q\r");
    assert!(terminal.wait().success());
    assert!(!terminal.transcript().contains(SECRET));
    assert_eq!(terminal.settings(), terminal.settings_at_start());
}
