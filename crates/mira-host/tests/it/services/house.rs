//! A supervisor with a home of its own, for one test.

use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mira_host::logs::{Filter, LogLine, read};
use mira_host::service::{
    Folders, InstanceSpec, Phase, Restart, ServiceSpec, ServiceState, StopSignal, Value,
    base_environment,
};
use mira_host::supervisor::{BackoffRules, Config, Event, Events, Supervisor};
use mira_run::lease::Leases;
use mira_sandbox::Helper;
use mira_secret::{SecretBytes, SecretName, SecretValue};
use tokio::runtime::Runtime;

/// How long a test waits for what is to happen at once, so that a broken one ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A place for instances, and a supervisor that runs them.
pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) memory: tempfile::TempDir,
    runtime: Runtime,
    pub(crate) supervisor: Supervisor,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        std::fs::create_dir(folder.path().join("package")).unwrap();
        let mut config = Config::new("keep", "room", Leases::at(folder.path().join("leases")));
        config.keeper = Helper {
            program: example(),
            arguments: vec!["keep".into()],
        };
        config.backoff = BackoffRules {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(10),
            ..BackoffRules::default()
        };
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let supervisor = runtime.block_on(async { Supervisor::new(config).unwrap() });
        Self {
            folder,
            memory,
            runtime,
            supervisor,
        }
    }

    /// Waits for something that has to come.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        let limited = async { tokio::time::timeout(PATIENCE, future).await };
        self.runtime.block_on(limited).expect("it never happened")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folders(&self) -> Folders {
        Folders {
            package: self.path("package"),
            home: self.path("home"),
            tmp: self.path("tmp"),
            logs: self.path("logs"),
            runtime_secrets: self.memory.path().join("app"),
        }
    }

    /// Describes an instance without secrets.
    pub(crate) fn spec(&self, services: Vec<ServiceSpec>) -> InstanceSpec {
        InstanceSpec {
            id: "app-1".to_owned(),
            name: "app".to_owned(),
            folders: self.folders(),
            services,
            values: Vec::new(),
            network: None,
            report: None,
        }
    }

    /// Describes a service that is a shell script.
    pub(crate) fn sh(&self, name: &str, script: &str) -> ServiceSpec {
        self.program(name, &["bash", "-c", script])
    }

    pub(crate) fn program(&self, name: &str, command: &[&str]) -> ServiceSpec {
        ServiceSpec {
            name: name.to_owned(),
            command: command.iter().map(Into::into).collect(),
            env: base_environment(std::env::vars_os(), &self.folders(), "app-1", name),
            env_secrets: Vec::new(),
            file_secrets: Vec::new(),
            health: None,
            restart: Restart::Never,
            stop_signal: StopSignal::Term,
            stop_grace: PATIENCE,
            depends_on: Vec::new(),
            ports: Vec::new(),
        }
    }

    /// Begins an instance, which has to be possible, and follows it.
    pub(crate) fn begin(&self, spec: InstanceSpec) -> Followed<'_> {
        let begun = self.wait(self.supervisor.begin(spec, false)).unwrap();
        Followed {
            house: self,
            events: begun.events,
            up: Some(begun.up),
            seen: Vec::new(),
        }
    }

    /// Follows the instance from now on, its present states first.
    pub(crate) fn follow(&self) -> Followed<'_> {
        Followed {
            house: self,
            events: self.supervisor.subscribe("app-1").unwrap(),
            up: None,
            seen: Vec::new(),
        }
    }

    /// Runs an instance of one service to its end and returns the lines that it wrote.
    pub(crate) fn output(&self, spec: InstanceSpec) -> Vec<String> {
        let service = spec.services[0].name.clone();
        let mut followed = self.begin(spec);
        followed.phase(&service, "ended");
        self.wait(self.supervisor.stop("app-1")).unwrap();
        followed.lines()
    }

    /// Reads what the logs hold.
    pub(crate) fn log(&self) -> Vec<LogLine> {
        read(&self.path("logs"), &Filter::default()).unwrap()
    }

    pub(crate) fn gate(&self, name: &str) -> Gate {
        Gate::new(self.path(name))
    }
}

/// An instance that is followed.
pub(crate) struct Followed<'a> {
    house: &'a House,
    events: Events,
    up: Option<mira_host::supervisor::Up>,
    /// All events so far, as text.
    pub(crate) seen: Vec<String>,
}

impl Followed<'_> {
    /// Waits until it is up, or is known not to be.
    pub(crate) fn up(&mut self) -> Result<(), mira_host::supervisor::StartError> {
        self.house.wait(self.up.take().unwrap().wait())
    }

    fn next(&mut self) -> Option<Event> {
        let event = self.house.wait(self.events.next())?;
        self.seen.push(match &event {
            Event::State { service, state } => format!("{service} {}", state.phase),
            Event::Line(line) => format!("{}: {}", line.service, line.line),
            Event::Refused(refused) => format!("refused {}", refused.host),
            Event::Asked { host, .. } => format!("asks for {host}"),
            Event::Lost(count) => format!("lost {count}"),
        });
        Some(event)
    }

    /// Waits until a service is in a phase.
    pub(crate) fn phase(&mut self, name: &str, phase: &str) -> ServiceState {
        loop {
            match self.next() {
                Some(Event::State { service, state })
                    if *service == *name && state.phase.as_str() == phase =>
                {
                    return state;
                }
                Some(_) => {}
                None => panic!("{name} never was {phase}: {:?}", self.seen),
            }
        }
    }

    /// Waits until a service failed for good, and says why.
    pub(crate) fn failure(&mut self, name: &str) -> String {
        match self.phase(name, "failed").phase {
            Phase::Failed { error } => error.to_string(),
            other => panic!("{other}"),
        }
    }

    /// Waits for a line with this text in it.
    pub(crate) fn line(&mut self, text: &str) -> String {
        loop {
            match self.next() {
                Some(Event::Line(line)) if line.line.contains(text) => return line.line.clone(),
                Some(_) => {}
                None => panic!("no line with {text:?}: {:?}", self.seen),
            }
        }
    }

    /// Waits until each of these lines was seen, in whatever order they come.
    pub(crate) fn each_line(&mut self, texts: &[&str]) {
        let seen = |seen: &[String], text: &str| seen.iter().any(|line| line.contains(text));
        while !texts.iter().all(|text| seen(&self.seen, text)) {
            assert!(self.next().is_some(), "{texts:?}: {:?}", self.seen);
        }
    }

    /// Reads to the end and returns all lines since the beginning.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        while self.next().is_some() {}
        let lines = self.seen.iter().filter_map(|event| event.split_once(": "));
        lines.map(|(_, line)| line.to_owned()).collect()
    }
}

/// A named pipe that processes hold open: its end is the end of all of them.
pub(crate) struct Gate {
    path: PathBuf,
}

impl Gate {
    pub(crate) fn new(path: PathBuf) -> Self {
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the end that is read; waits until somebody holds the other one.
    pub(crate) fn open(&self) -> Held {
        let path = self.path.clone();
        Held(limited(move || File::open(path).unwrap()))
    }
}

/// A gate that somebody holds.
pub(crate) struct Held(File);

impl Held {
    /// Waits until nobody holds it any more.
    pub(crate) fn closed(mut self) {
        limited(move || self.0.read_to_end(&mut Vec::new()).unwrap());
    }
}

/// Does something that may wait for ever, and gives up on it after a while.
pub(crate) fn limited<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(act()));
    is_done.recv_timeout(PATIENCE).expect("it never happened")
}

/// The example that is the supervisor in a process of its own, and the keeper.
pub(crate) fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.ancestors().nth(2).unwrap();
    let example = built.join("examples/services");
    assert!(
        example.exists(),
        "{example:?} is not built: run all tests of the package, or build --examples"
    );
    example
}

/// A secret of an instance that rests nowhere.
pub(crate) fn value(name: &str, value: &[u8]) -> Value {
    let name: SecretName = name.parse().unwrap();
    Value {
        value: SecretValue::new(&name, SecretBytes::copy_from(value)).unwrap(),
        name,
        origin: None,
    }
}

pub(crate) fn names(names: &[&str]) -> Vec<SecretName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}
