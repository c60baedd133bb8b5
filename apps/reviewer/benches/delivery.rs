//! How long it takes from the delivery of an event to the first request of the model, and to the answer that the work is done: the reviewer as a
//! process, a GitHub and a model on loopback.
//!
//! Each delivery is about a pull request of its own. Not a test: it judges nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Parser;
use mira_testkit::github::{GitHub, PullSpec, Repo};
use mira_testkit::model_server::{ModelServer, Reply};
use serde_json::json;

const DELIVERY: &str = "delivery-token-of-this-bench";

/// Measure deliveries.
#[derive(Debug, Parser)]
struct Cli {
    /// How many
    #[arg(long, default_value_t = 50)]
    deliveries: usize,
    /// Given by cargo, means nothing
    #[arg(long, hide = true)]
    bench: bool,
}

/// The reviewer, ended with it.
struct Reviewer {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Reviewer {
    fn start(model: &ModelServer) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_reviewer"))
            .args(["serve", "--port", "0", "--db"])
            .arg(folder.path().join("reviewer.db"))
            .env_clear()
            .env("REVIEWER_MODEL_BASE_URL", model.base_url())
            .env("MIRA_DELIVERY_TOKEN", DELIVERY)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("it says where it is");
        let address = line.trim().strip_prefix("listening on ");
        Self {
            address: address.expect("it listens").to_owned(),
            child,
            _folder: folder,
        }
    }

    /// Delivers an event, and waits until the work is done.
    fn deliver(&self, github: &GitHub, token: &str, body: &str) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let head = format!(
            "POST /events HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\nAuthorization: Bearer {DELIVERY}\r\n\
             X-GitHub-Event: pull_request\r\nX-GitHub-Hook-Installation-Target-ID: {}\r\nX-Mira-GitHub-Api: {}\r\nX-Mira-GitHub-Token: {token}\r\n\r\n{body}",
            self.address,
            body.len(),
            github.app().id,
            github.url(),
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.ends_with("posted\n"), "{answer}");
    }
}

impl Drop for Reviewer {
    fn drop(&mut self) {
        // One that has ended needs no end.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Opens a pull request of its own.
fn pull(repo: &Repo, number: usize) -> u64 {
    let branch = format!("feature-{number}");
    let code = format!("fn main() {{\n    open({number}).unwrap();\n}}\n");
    let path = format!("src/a{number}.rs");
    repo.commit(&branch, "Open it", &[(&path, Some(&code))]);
    repo.open_pull(&PullSpec {
        head: &branch,
        ..PullSpec::default()
    })
}

#[expect(clippy::print_stdout, reason = "a table is what it is for")]
fn main() {
    let cli = Cli::parse();
    let github = GitHub::start();
    let installation = github.install("octo-org");
    let repo = github.repository("octo-org/app", true);
    let (asked, asking) = mpsc::channel();
    let model = ModelServer::start_with(None, move |_| {
        // Nobody listens at the end.
        asked.send(Instant::now()).ok();
        let report = json!({"summary": "Opens.", "confidence": 5, "findings": []});
        Reply::tool_call("report_review", &report)
    });
    let reviewer = Reviewer::start(&model);
    let (mut first, mut done) = (Vec::new(), Vec::new());
    let mut calls = 0;
    for number in 0..cli.deliveries {
        let number = pull(&repo, number);
        let token = github.token(installation, &["octo-org/app"]);
        let event = repo.pull_request_event(number, "opened").to_string();
        let before = github.asked().len();
        let begun = Instant::now();
        reviewer.deliver(&github, &token, &event);
        done.push(begun.elapsed());
        let asked = asking.recv().expect("the model was asked");
        first.push(asked.duration_since(begun));
        calls = github.asked().len() - before;
    }
    println!(
        "{} deliveries, one after the other; {calls} calls of GitHub each; milliseconds\n",
        cli.deliveries
    );
    println!("{:<40} {:>8} {:>8} {:>8}", "", "first", "p50", "p99");
    let row = |name: &str, mut times: Vec<Duration>| {
        let cold = times.first().copied().unwrap_or_default();
        times.sort();
        let of = |share: usize| times.get(times.len() * share / 100).copied();
        let ms = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64() * 1e3;
        println!(
            "{name:<40} {:>8.1} {:>8.1} {:>8.1}",
            ms(Some(cold)),
            ms(of(50)),
            ms(of(99))
        );
    };
    row("until the model is asked", first);
    row("until the review is posted", done);
}
