//! `reviewer serve` as a process that may be killed at any instant, and beside another one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use mira_testkit::github::{GitHub, PullSpec, Repo};
use mira_testkit::model_server::{ChatRequest, ModelServer, Reply};
use mira_testkit::postgres::Postgres;
use serde_json::{Value, json};

const DELIVERY: &str = "delivery-token-of-this-test";
const CODE: &str = "fn main() {\n    open().unwrap();\n}\n";

/// A reviewer that runs; dropped, it is killed as by `kill -9`.
struct Reviewer {
    child: Child,
    address: String,
    stderr: BufReader<ChildStderr>,
}

impl Reviewer {
    fn start(model: &ModelServer, database: &str, more: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_reviewer"))
            .args(["serve", "--port", "0", "--db", database])
            .env_clear()
            .env("REVIEWER_MODEL_BASE_URL", model.base_url())
            .env("REVIEWER_MODEL_RETRIES", "0")
            .env("REVIEWER_BOT_NAME", "mira-test")
            .env("MIRA_DELIVERY_TOKEN", DELIVERY)
            .envs(more.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("it says where it is");
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self {
            child,
            address,
            stderr,
        }
    }

    fn kill(mut self) -> String {
        self.end();
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("it is text");
        rest
    }

    fn end(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    /// Delivers an event, and does not wait for the answer.
    fn send(&self, world: &World, kind: &str, body: &Value) -> TcpStream {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let head = format!(
            "POST /events HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\nAuthorization: Bearer {DELIVERY}\r\n\
             X-GitHub-Event: {kind}\r\nX-GitHub-Hook-Installation-Target-ID: {}\r\nX-Mira-GitHub-Api: {}\r\nX-Mira-GitHub-Token: {}\r\n\r\n",
            self.address,
            body.len(),
            world.github.app().id,
            world.github.url(),
            world.github.token(world.installation, &["octo-org/app"]),
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        stream.write_all(body.as_bytes()).expect("it reads");
        stream
    }

    /// Asks for the report.
    fn report(&self) -> Value {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let head = format!(
            "GET /report HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {DELIVERY}\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let (_, body) = text.split_once("\r\n\r\n").expect("it has a body");
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{text}"))
    }

    fn opened(&self, world: &World) -> TcpStream {
        let event = world.repo.pull_request_event(world.pull, "opened");
        self.send(world, "pull_request", &event)
    }
}

impl Drop for Reviewer {
    fn drop(&mut self) {
        self.end();
    }
}

fn status(mut stream: TcpStream) -> u16 {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.unwrap_or_else(|| panic!("{text}"))
}

struct World {
    github: GitHub,
    installation: u64,
    repo: Repo,
    pull: u64,
}

impl World {
    fn new() -> Self {
        let github = GitHub::start();
        let installation = github.install("octo-org");
        let repo = github.repository("octo-org/app", true);
        repo.commit("feature", "Open it", &[("src/a.rs", Some(CODE))]);
        let pull = repo.open_pull(&PullSpec::default());
        Self {
            github,
            installation,
            repo,
            pull,
        }
    }

    /// Asserts that everything is there once.
    #[track_caller]
    fn is_reviewed_once(&self, when: &str) {
        assert_eq!(self.repo.reviews(self.pull).len(), 1, "{when}");
        assert_eq!(self.repo.review_comments(self.pull).len(), 1, "{when}");
        let comments = self.repo.comments(self.pull);
        assert_eq!(comments.len(), 1, "{when}");
        let body = comments[0]["body"].as_str().expect("it is there");
        assert!(body.contains("## Walkthrough"), "{when}: {body}");
        let pull = self.repo.pull(self.pull);
        let runs = self
            .repo
            .check_runs(pull["head"]["sha"].as_str().expect("it is there"));
        assert_eq!(runs.len(), 1, "{when}");
        assert_eq!(runs[0]["status"], "completed", "{when}");
    }
}

fn report(_: &ChatRequest) -> Reply {
    let finding = json!({"path": "src/a.rs", "line": 2, "quote": "open().unwrap();", "severity": "warning",
        "category": "bug", "title": "It panics", "body": "Handle the error.", "confidence": 0.9});
    Reply::tool_call(
        "report_review",
        &json!({"summary": "Opens.", "confidence": 5, "findings": [finding]}),
    )
}

/// Changes rows of a SQLite file.
fn sqlite(path: &Path, sql: &'static str) {
    use sqlx::Connection as _;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("it is there");
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = sqlx::SqliteConnection::connect_with(&options)
            .await
            .expect("it is there");
        sqlx::query(sql)
            .execute(&mut connection)
            .await
            .expect("it is there");
        connection.close().await.expect("it is there");
    });
}

/// As if the time of all leases had gone by.
const EXPIRED: &str = "UPDATE rv_pull SET until = 0";

#[test]
fn of_two_servers_on_one_postgres_one_is_killed_in_the_middle_and_one_review_is_posted() {
    let world = World::new();
    let model = ModelServer::start_with(None, |request| report(request).held());
    let postgres = Postgres::start();
    let url = postgres.url("postgres");
    let first = Reviewer::start(&model, &url, &[]);
    let second = Reviewer::start(&model, &url, &[]);
    let lost = first.opened(&world);
    drop(model.wait_for_requests(1));
    assert_eq!(status(second.opened(&world)), 503, "somebody works on it");
    drop(first);
    drop(lost);
    assert_eq!(status(second.opened(&world)), 503, "its lease still runs");
    postgres.sql("postgres", EXPIRED);
    let taken_over = second.opened(&world);
    drop(model.wait_for_requests(2));
    model.release();
    model.release();
    assert_eq!(status(taken_over), 200);
    world.is_reviewed_once("after the take-over");
    assert_eq!(status(second.opened(&world)), 200);
    world.is_reviewed_once("after a repeat");
    let third = Reviewer::start(&model, &url, &[]);
    assert_eq!(status(third.opened(&world)), 200);
    world.is_reviewed_once("after a repeat elsewhere");
    assert_eq!(model.requests().len(), 2);
}

#[test]
fn two_servers_on_one_postgres_that_get_the_same_event_at_once_post_one_review() {
    let world = World::new();
    let model = ModelServer::start_with(None, report);
    let postgres = Postgres::start();
    let url = postgres.url("postgres");
    let servers = [
        Reviewer::start(&model, &url, &[]),
        Reviewer::start(&model, &url, &[]),
    ];
    let sent = servers.each_ref().map(|server| server.opened(&world));
    let answers = sent.map(status);
    assert!(answers.contains(&200), "{answers:?}");
    for server in &servers {
        assert_eq!(status(server.opened(&world)), 200);
    }
    world.is_reviewed_once("after both");
    assert_eq!(model.requests().len(), 1);
}

#[test]
fn pushes_commands_the_report_and_erasure_go_on_postgres_too() {
    let world = World::new();
    world.repo.set_permission("alice", "write");
    let model = ModelServer::start_with(None, report);
    let postgres = Postgres::start();
    let limit = [("REVIEWER_TOTAL_TOKENS", "100000")];
    let server = Reviewer::start(&model, &postgres.url("postgres"), &limit);
    let before = world.repo.commit("other", "Begin", &[]);
    let files = [("u.rs", Some("fn u() {}\nfn v() { u() }\n"))];
    let after = world.repo.commit("main", "Code", &files);
    let event = world.repo.push_event("main", &before, &after);
    assert_eq!(status(server.send(&world, "push", &event)), 200);
    assert_eq!(status(server.opened(&world)), 200);
    for text in ["help", "pause", "resume", "what is it?", "review"] {
        let text = format!("@mira-test {text}");
        let comment = world.repo.comment(world.pull, "alice", &text);
        let event = world.repo.issue_comment_event(world.pull, &comment);
        assert_eq!(status(server.send(&world, "issue_comment", &event)), 200);
    }
    let report = server.report();
    let rows = |at: usize| report["panels"][at]["rows"].as_array().unwrap();
    assert_eq!((rows(0).len(), rows(1).len()), (1, 2), "{report}");
    assert_eq!(rows(0)[0][4], 6, "three requests");
    assert!(rows(2).is_empty(), "nothing waits");
    assert_eq!((&rows(3)[0][2], &rows(3)[0][3]), (&json!(1), &json!(2)));
    assert_eq!(report["panels"][4]["points"][0]["value"], 1);

    let gone = json!({"action": "deleted", "installation": {"id": world.installation}});
    assert_eq!(status(server.send(&world, "installation", &gone)), 200);
    let tables = "SELECT string_agg(format('SELECT COUNT(*) FROM %I WHERE repo <> 0', tablename), ' UNION ALL ') \
                  FROM pg_tables WHERE tablename LIKE 'rv_%'";
    let counts = postgres.sql("postgres", tables);
    let counts = postgres.sql("postgres", &counts);
    assert!(
        counts.lines().count() > 8 && counts.lines().all(|line| line == "0"),
        "{counts}"
    );
    let total = postgres.sql("postgres", "SELECT tokens FROM rv_spend");
    assert_eq!(total, "6", "the month's total of all stays");
}

#[test]
fn a_server_on_sqlite_that_is_killed_at_any_request_and_started_again_posts_one_review() {
    let model = ModelServer::start_with(None, report);
    let whole = {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new();
        let server = Reviewer::start(&model, folder.path().join("r.db").to_str().unwrap(), &[]);
        assert_eq!(status(server.opened(&world)), 200);
        world.is_reviewed_once("without a crash");
        world.github.asked().len()
    };
    for asked in 1..=whole {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        let database = path.to_str().unwrap();
        let world = World::new();
        let server = Reviewer::start(&model, database, &[]);
        let lost = server.opened(&world);
        drop(world.github.wait_for_asked(asked));
        let said = server.kill();
        drop(lost);
        sqlite(&path, EXPIRED);
        let server = Reviewer::start(&model, database, &[]);
        assert_eq!(status(server.opened(&world)), 200);
        world.is_reviewed_once(&format!("killed at request {asked} of {whole}"));
        let said = said + &server.kill();
        let files = std::fs::read_dir(folder.path()).unwrap();
        let files = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        for bytes in files.chain([said.into_bytes()]) {
            let text = String::from_utf8_lossy(&bytes);
            for canary in world
                .github
                .tokens()
                .iter()
                .map(String::as_str)
                .chain([DELIVERY])
            {
                assert!(
                    !text.contains(canary),
                    "a token is on the disk or in the log"
                );
            }
        }
    }
}

#[test]
fn a_server_on_sqlite_that_is_killed_while_the_model_thinks_asks_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.db");
    let world = World::new();
    let model = ModelServer::start_with(None, report);
    model.script(report_held());
    let server = Reviewer::start(&model, path.to_str().unwrap(), &[]);
    let lost = server.opened(&world);
    drop(model.wait_for_requests(1));
    drop(server);
    drop(lost);
    let server = Reviewer::start(&model, path.to_str().unwrap(), &[]);
    sqlite(&path, EXPIRED);
    assert_eq!(status(server.opened(&world)), 200);
    world.is_reviewed_once("after the restart");
    assert_eq!(model.requests().len(), 2);
}

fn report_held() -> Reply {
    Reply::text("It never comes.").held()
}

#[test]
fn a_share_of_the_budget_is_a_line_of_the_log_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.db");
    let world = World::new();
    let model = ModelServer::start_with(None, report);
    let limit = [("REVIEWER_TOTAL_TOKENS", "30000")];
    let server = Reviewer::start(&model, path.to_str().unwrap(), &limit);
    sqlite(
        &path,
        "INSERT INTO rv_spend (repo, pull, what, month, tokens, cost, held_tokens, held_cost) \
         VALUES (5, 1, 'before', strftime('%Y-%m', 'now'), 15000, 0, 0, 0)",
    );
    assert_eq!(status(server.opened(&world)), 200);
    world
        .repo
        .commit("feature", "More", &[("b.rs", Some("fn b() {}\n"))]);
    assert_eq!(status(server.opened(&world)), 200);
    let said = server.kill();
    let line = "octo-org/app: 50 % of the budget of this reviewer's month is used.\n";
    assert_eq!(said.matches(line).count(), 1, "{said}");
}

#[test]
fn a_setting_that_cannot_be_taken_or_a_limit_without_a_price_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value, code, expect) in [
        (
            "REVIEWER_MONTH_TOKENS",
            "many",
            2,
            "REVIEWER_MONTH_TOKENS is no number",
        ),
        ("REVIEWER_PULL_COST", "2", 3, "set REVIEWER_PRICE_INPUT"),
        (
            "REVIEWER_MODEL_API",
            "antropic",
            2,
            "openai, anthropic and bedrock",
        ),
        (
            "REVIEWER_MODEL_RETRIES",
            "-1",
            2,
            "REVIEWER_MODEL_RETRIES is no number",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_reviewer"))
            .args(["serve", "--port", "0"])
            .current_dir(folder.path())
            .env_clear()
            .env("OPENROUTER_API_KEY", "sk-canary-0123456789")
            .env(name, value)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expect) && !said.contains("canary"), "{said}");
    }
}

#[test]
fn without_a_key_the_log_says_how_mira_takes_one() {
    let start = |more: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_reviewer"))
            .args(["serve", "--port", "0"])
            .env_clear()
            .envs(more.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let plain = start(&[]);
    assert!(plain.ends_with("set OPENROUTER_API_KEY\n"), "{plain}");
    let said = start(&[("MIRA_INSTANCE", "a1"), ("REVIEWER_MODEL_API", "anthropic")]);
    let command = "`mira secret set --instance a1 ANTHROPIC_API_KEY`";
    assert!(said.contains(command), "{said}");
}

#[test]
fn a_model_that_cannot_be_reached_is_for_the_log_and_how_to_allow_it_is_in_no_comment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.db");
    let world = World::new();
    let model = ModelServer::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let base = format!("http://{address}/v1");
    let more = [
        ("REVIEWER_MODEL_BASE_URL", base.as_str()),
        ("MIRA_INSTANCE", "a1"),
    ];
    let server = Reviewer::start(&model, path.to_str().unwrap(), &more);
    assert_eq!(status(server.opened(&world)), 503);
    let comments = world.repo.comments(world.pull);
    let body = comments[0]["body"].as_str().unwrap();
    let waits = "The review is waiting: the model service cannot be reached (no connection); it is tried again later";
    assert!(body.contains(waits), "{body}");
    assert!(
        !body.contains("mira net") && !body.contains(&address.to_string()),
        "{body}"
    );
    let said = server.kill();
    let line = format!(
        "pull_request of octo-org/app waits: the model service cannot be reached (no connection); `mira net allow a1 {address}`"
    );
    assert!(said.contains(&line), "{said}");
}
