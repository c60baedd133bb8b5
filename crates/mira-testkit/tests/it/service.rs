//! A service of an app as a plain process, with an environment of its own.
//!
//! INVARIANT: it ends with the test, and its output is kept for a sweep. Waiting is on what it writes, never on time.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use mira_testkit::home::TestHome;
use rustix::process::{Pid, Signal, kill_process};

// LIMIT: a line comes within a second of its cause; a minute tells a loaded machine from a service that hangs.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Returns the folder of a sample app.
pub(crate) fn app(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../apps")
        .join(name)
}

/// What a service has written so far, and whether it has ended.
#[derive(Default)]
struct Output {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

/// A running service.
pub(crate) struct Service {
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

impl Service {
    /// Starts a program that sees the home's environment and these variables, in this folder.
    pub(crate) fn start(
        home: &TestHome,
        folder: &Path,
        words: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(folder)
            .env_clear()
            .envs(home.env().iter().map(|(name, value)| (name, value)))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Output::default());
        let stderr = read(child.stderr.take().unwrap(), Arc::clone(&output), false);
        let stdout = read(child.stdout.take().unwrap(), Arc::clone(&output), true);
        Self {
            child,
            output,
            readers: vec![stdout, stderr],
        }
    }

    /// Waits for the `count`th line that holds this text, and returns it; nothing where the service ends before.
    pub(crate) fn line(&self, text: &str, count: usize) -> Option<String> {
        let find = |lines: &[String]| {
            let mut found = lines.iter().filter(|line| line.contains(text));
            found.nth(count - 1).cloned()
        };
        let lines = self.output.lines.lock().unwrap();
        let waiting = |state: &mut (Vec<String>, bool)| find(&state.0).is_none() && !state.1;
        let (lines, waited) = self
            .output
            .more
            .wait_timeout_while(lines, WAIT_MAX, waiting)
            .unwrap();
        assert!(!waited.timed_out(), "no “{text}” in {:#?}", lines.0);
        find(&lines.0)
    }

    /// Waits until it says where it listens, and returns that address.
    #[track_caller]
    pub(crate) fn address(&self) -> String {
        let line = self.line("http://", 1).expect("it listens");
        let (_, rest) = line.split_once("http://").unwrap();
        let end = rest.find(['/', ' ', ')']).unwrap_or(rest.len());
        format!("http://{}", rest.get(..end).unwrap())
    }

    /// Tells it to end, and returns all that it wrote.
    #[track_caller]
    pub(crate) fn stop(self) -> String {
        self.end(Signal::TERM, true)
    }

    /// Ends it at once, as a crash does.
    #[track_caller]
    pub(crate) fn kill(self) -> String {
        self.end(Signal::KILL, false)
    }

    #[track_caller]
    fn end(mut self, signal: Signal, is_success: bool) -> String {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let status = self.child.wait().unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let text = self.output.lines.lock().unwrap().0.join("\n");
        assert_eq!(status.success(), is_success, "{status}: {text}");
        text
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read(stream: impl Read + Send + 'static, output: Arc<Output>, is_last: bool) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            output.lines.lock().unwrap().0.push(line);
            output.more.notify_all();
        }
        if is_last {
            output.lines.lock().unwrap().1 = true;
            output.more.notify_all();
        }
    })
}
