//! Where the reviewer works: a GitHub and a model service by their names, over TLS, in a world of their own; and servers of Mira, each with a home of
//! its own, in which the reviewer is opened.

use std::fs;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::github::{GitHub, PullSpec, Repo};
use mira_testkit::model_server::{ModelServer, Reply};
use mira_testkit::postgres::{PASSWORD, Postgres, USER};
use mira_testkit::world::World;
use serde_json::{Value, json};

use crate::apps::house::{House, PATIENCE};
use crate::desk::Served;
use crate::support::MIRA;

const GITHUB: (&str, &str) = ("api.github.test", "93.184.216.34");
const MODEL: (&str, &str) = ("api.openai.com", "93.184.216.35");
const DATABASE: (&str, &str) = ("db.test", "93.184.216.36");

/// A service of the person's own, and where it listens.
pub(crate) const OWN: (&str, &str) = ("models.test", "93.184.216.37");

/// Bedrock.
pub(crate) const BEDROCK: (&str, &str) =
    ("bedrock-runtime.eu-west-1.amazonaws.com", "93.184.216.38");

/// The secret that webhooks are signed with.
pub(crate) const WEBHOOK: &str = "canary-webhook-0123456789abcdef-0123456789";

/// The key of the model service.
pub(crate) const KEY: &str = "sk-proj-canary-5Vq8nXc2LrT4bWc8ZnYd";

/// What the author calls the change. It is what the reviewer has in its memory.
pub(crate) const TITLE: &str = "A change that is called Quintessential";

/// The two services, and a pull request that waits for its review.
pub(crate) struct Town {
    pub(crate) github: GitHub,
    pub(crate) repo: Repo,
    pub(crate) installation: u64,
    pub(crate) pull: u64,
    pub(crate) model: ModelServer,
    // Last: what still runs in it ends with it.
    pub(crate) world: World,
}

/// What the model says of the change.
pub(crate) fn report() -> Reply {
    let finding = json!({
        "path": "a.rs", "line": 1, "quote": "fn a() { b().unwrap() }", "severity": "warning", "category": "bug",
        "title": "It panics", "body": "It panics where b fails.", "confidence": 0.9,
    });
    let report = json!({"summary": "It adds a.", "confidence": 4, "findings": [finding]});
    Reply::tool_call("report_review", &report)
}

impl Town {
    /// Makes them.
    pub(crate) fn new() -> Self {
        let world = World::new(&[GITHUB, MODEL, DATABASE, OWN, BEDROCK]);
        let listen = |(name, address): (&str, &str)| {
            let listener = world.listen(&format!("{address}:443"));
            (listener, Some(world.ca().server(&[name])))
        };
        let (listener, tls) = listen(GITHUB);
        let github = GitHub::start_on(listener, tls);
        github.set_url(&format!("https://{}", GITHUB.0));
        let (listener, tls) = listen(MODEL);
        let model = ModelServer::start_on(listener, tls, Some(KEY), |_| report());
        let installation = github.install("octo-org");
        let repo = github.repository("octo-org/app", true);
        let file = ("a.rs", Some("fn a() { b().unwrap() }\n"));
        repo.commit("feature", "Add a", &[file]);
        let pull = repo.open_pull(&PullSpec {
            title: TITLE,
            ..PullSpec::default()
        });
        Self {
            github,
            repo,
            installation,
            pull,
            model,
            world,
        }
    }

    /// Lets a database be reached in the town: by a name, and on the town's own loopback, at which servers need no TLS to trust it. Returns the URLs
    /// of its databases `reviewer` and `postgres`.
    pub(crate) fn connect(&self, postgres: &Postgres) -> (String, String) {
        postgres.sql("postgres", "CREATE DATABASE reviewer");
        let real = SocketAddr::from(([127, 0, 0, 1], postgres.port()));
        for address in [DATABASE.1, "127.0.0.1"] {
            let listener = self.world.listen(&format!("{address}:5432"));
            // They end with the connections, which end with the world and the database.
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let Ok(server) = TcpStream::connect(real) else {
                        return;
                    };
                    pass(stream.try_clone().unwrap(), server.try_clone().unwrap());
                    pass(server, stream);
                }
            });
        }
        let url = |host: &str, database: &str| {
            format!("postgres://{USER}:{PASSWORD}@{host}:5432/{database}")
        };
        (url(DATABASE.0, "reviewer"), url("127.0.0.1", "postgres"))
    }

    /// Returns what must not be found anywhere: secrets that only the server has.
    pub(crate) fn secrets(&self) -> Sweep {
        // A line out of the middle of the key is the key.
        let key = self.github.app().key.pem();
        let line = key.lines().nth(5).unwrap();
        let tokens = self.github.tokens();
        assert!(!tokens.is_empty());
        let tokens = tokens.into_iter().map(|token| Canary::new("TOKEN", token));
        let mut canaries: Vec<Canary> = tokens.collect();
        canaries.push(Canary::new("PRIVATE_KEY", line));
        canaries.push(Canary::new("WEBHOOK", WEBHOOK));
        canaries.push(Canary::new("MODEL_KEY", KEY));
        Sweep::new(&canaries)
    }

    /// Prepares `mira` in the world, in a home.
    pub(crate) fn command(&self, house: &House, args: &[&str]) -> Command {
        let mut command = self.world.command(MIRA);
        command
            .args(args)
            .env_clear()
            .envs(house.home.env().iter().cloned())
            .env("SSL_CERT_FILE", self.world.ca().bundle())
            .stdin(Stdio::null());
        command
    }
}

/// Passes bytes on until their end.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        // However it ends, the other side hears of it.
        drop(std::io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Write));
    });
}

/// A server of Mira in the town.
pub(crate) struct Server<'a> {
    pub(crate) town: &'a Town,
    pub(crate) served: Option<Served>,
    pub(crate) house: House,
    variables: Vec<(&'static str, String)>,
}

impl<'a> Server<'a> {
    /// Sets the App up in a home of its own, and begins to take webhooks; the variables are the server's and those of commands.
    pub(crate) fn start(town: &'a Town, variables: &[(&'static str, String)]) -> Self {
        let mut server = Self {
            town,
            served: None,
            house: House::new(),
            variables: variables.to_vec(),
        };
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let key = file("key.pem", town.github.app().key.pem());
        let webhook = file("webhook", WEBHOOK);
        let url = format!("https://{}", GITHUB.0);
        let setup = ["github", "setup", "--app-id", "4711", "--api-url", &url];
        let files = [
            "--private-key-file",
            &key,
            "--webhook-secret-file",
            &webhook,
        ];
        server.mira(&[&setup[..], &files].concat(), 0);
        server.serve();
        server
    }

    /// Begins to take webhooks.
    pub(crate) fn serve(&mut self) {
        let serve = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--hooks",
            "--log",
            "json",
        ];
        self.served = Some(Served::by(self.command(&serve)));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.town.command(&self.house, args);
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Runs `mira`, to this exit code.
    #[track_caller]
    pub(crate) fn mira(&self, args: &[&str], code: i32) -> Output {
        let output = self.command(args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        output
    }

    /// Runs `mira`, and returns what it printed as JSON.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.mira(args, 0).stdout).unwrap()
    }

    /// Opens the reviewer, with its key of the model service, and with a database that it shares with others.
    pub(crate) fn open_reviewer(&self, database: Option<&str>) {
        let folder = reviewer(&self.house);
        // A model on one's own machine wants no key, so it comes up without; nobody is there to be asked for one.
        let local = "REVIEWER_MODEL_BASE_URL=http://127.0.0.1:11434/v1";
        let open = ["open", folder.to_str().unwrap(), "-d", "--with", local];
        let told = String::from_utf8(self.mira(&open, 0).stderr).unwrap();
        assert!(told.contains(GITHUB.0), "{told}");
        self.mira(&["stop", "reviewer"], 0);
        self.house.save("reviewer", "OPENAI_API_KEY", KEY);
        if let Some(url) = database {
            self.house.save("reviewer", "DATABASE_URL", url);
            let host = format!("{}:5432", DATABASE.0);
            self.mira(&["net", "allow", "reviewer", &host], 0);
        }
        let model = format!("REVIEWER_MODEL_BASE_URL=https://{}/v1", MODEL.0);
        self.mira(&["start", "reviewer", "-d", "--with", &model], 0);
    }

    /// Sends the event of the pull request, under an id of its own.
    #[track_caller]
    pub(crate) fn send(&self, action: &str, id: &str) {
        let event = self.town.repo.pull_request_event(self.town.pull, action);
        self.send_event("pull_request", id, &event);
    }

    /// Sends an event.
    #[track_caller]
    pub(crate) fn send_event(&self, kind: &str, id: &str, event: &Value) {
        let file = self.house.home.path().join("event.json");
        fs::write(&file, event.to_string()).unwrap();
        let file = file.to_str().unwrap();
        let url = format!("{}/webhooks/github", self.url());
        let about = ["--event", kind, "--url", &url, "--id", id, "--app", "4711"];
        self.mira(&[&["hooks", "send", file][..], &about].concat(), 0);
    }

    pub(crate) fn url(&self) -> &str {
        &self.served.as_ref().unwrap().url
    }

    /// Waits until a delivery of an event is in a state.
    #[track_caller]
    pub(crate) fn until_delivered(&self, id: &str, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = self.json(&["hooks", "list", "--json"]);
            let mut events = all.as_array().unwrap().iter();
            let event = events.find(|event| event["sentId"] == id);
            if event.is_some_and(|event| event["state"] == state) {
                return;
            }
            assert!(Instant::now() < deadline, "{all}");
        }
    }

    /// Returns the processes of the reviewer's room.
    pub(crate) fn room(&self) -> Vec<u32> {
        let network = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let service = self.house.pid("reviewer", "web");
        let theirs = network(service).unwrap();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let room: Vec<u32> = pids
            .filter(|pid| network(*pid).as_ref() == Some(&theirs))
            .collect();
        assert!(room.contains(&service) && !room.contains(&std::process::id()));
        room
    }
}

/// Makes the folder of the reviewer as `cargo xtask reviewer` does, with the program that was built beside `mira`.
fn reviewer(house: &House) -> PathBuf {
    let folder = house.home.path().join("apps/reviewer");
    fs::create_dir_all(folder.join("bin")).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps/reviewer/mira.yaml");
    fs::copy(source, folder.join("mira.yaml")).unwrap();
    let built = Path::new(MIRA).with_file_name("reviewer");
    assert!(
        built.exists(),
        "`cargo build --package mira-reviewer` makes {}",
        built.display()
    );
    // Without what debuggers want, it is packed and unpacked in a moment.
    let strip = Command::new("strip")
        .arg("-o")
        .arg(folder.join("bin/reviewer"))
        .arg(built)
        .status();
    assert!(strip.unwrap().success());
    folder
}
