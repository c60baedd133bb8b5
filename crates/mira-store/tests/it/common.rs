//! A home for one test, the database in it, and processes that work on it.

use std::fs;
use std::future::Future;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use mira_store::{Instance, NewInstance, PackageFacts, Store};
use mira_testkit::home::TestHome;

/// Runs a test's work on a runtime of its own.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

/// A home without a database.
pub(crate) struct Place {
    home: TestHome,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            home: TestHome::new(),
        }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.home.mira_home()
    }

    /// Returns the path of the database, or of a file beside it.
    pub(crate) fn file(&self, suffix: &str) -> PathBuf {
        self.home().join(format!("mira.db{suffix}"))
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.home()).await.expect("it opens")
    }

    /// Makes a database with one instance in it; all of it is in the database's own file then.
    pub(crate) fn with_instance(&self) -> Instance {
        run(async {
            let store = self.store().await;
            let instance = store.insert_instance(&new()).await.expect("it is made");
            store.close().await;
            instance
        })
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.file("")).expect("there is a database")
    }

    /// Asks Debian's `sqlite3`, which is another build of SQLite than ours. It waits for its turn: a store that was dropped closes
    /// its file a moment later.
    pub(crate) fn sqlite(&self, sql: &str) -> String {
        let output = Command::new("sqlite3")
            .args(["-batch", "-cmd", ".timeout 60000"])
            .arg(self.file(""))
            .arg(sql)
            .output()
            .expect("sqlite3 is installed");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {error}");
        String::from_utf8(output.stdout)
            .expect("its output is text")
            .trim_end()
            .to_owned()
    }

    /// Starts the example with a task on this home; it waits for the end of its input.
    pub(crate) fn start(&self, task: &str, args: &[&str]) -> Child {
        self.prepare(Command::new(example()), task, args)
            .spawn()
            .expect("the example starts")
    }

    /// Gives a command the task and three pipes.
    pub(crate) fn prepare(&self, mut command: Command, task: &str, args: &[&str]) -> Command {
        command
            .arg(task)
            .arg(self.home())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Returns the path of `examples/store.rs` as it was built for these tests.
pub(crate) fn example() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let built = test
        .ancestors()
        .nth(2)
        .expect("tests are in a folder of what was built");
    let example = built.join("examples/store");
    assert!(
        example
            .with_extension(std::env::consts::EXE_EXTENSION)
            .exists(),
        "{example:?} is not built: run all tests of the package, or build --examples"
    );
    example
}

/// Lets processes begin at the same time, and returns the lines that each said.
pub(crate) fn lines_of_all(mut children: Vec<Child>) -> Vec<Vec<String>> {
    for child in &mut children {
        drop(child.stdin.take());
    }
    children.into_iter().map(lines_of).collect()
}

fn lines_of(mut child: Child) -> Vec<String> {
    let mut text = String::new();
    let mut out = child.stdout.take().expect("its output is a pipe");
    out.read_to_string(&mut text).expect("its output is text");
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    text.lines().map(str::to_owned).collect()
}

/// An instance without a name.
pub(crate) fn new() -> NewInstance {
    NewInstance {
        name: None,
        app_id: "org.example.readlater".to_owned(),
        package: package(),
    }
}

pub(crate) fn named(name: &str) -> NewInstance {
    NewInstance {
        name: Some(name.parse().expect("it is a name")),
        ..new()
    }
}

pub(crate) fn package() -> PackageFacts {
    PackageFacts {
        app_name: "Read later".to_owned(),
        app_version: "1.2.0".to_owned(),
        digest: "ab".repeat(32),
        source: "folder/readlater.mira".to_owned(),
        publisher_key: None,
        unsigned_agreed: false,
    }
}
