//! Where the ways out are tried: a world of its own, somebody on every address of it who writes down what they hear, a person's home with files and
//! sockets that nobody else is to touch, and an instance of an app that tries.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use mira_testkit::world::World;
use serde_json::{Value, json};

use crate::apps::house::House;
use crate::support::MIRA;

/// A public address of the world, where those outside can be called by names that may be.
pub(crate) const PUBLIC: &str = "93.184.216.34";

/// What the app may call: names of each try's own, with a secret, without one, and in plain.
const MANIFEST: &str = r#"
kind: mira.app/v1
id: org.example.corpus
name: Corpus
version: 1.0.0
services:
  - name: tries
    command: [python3, ., run, "${volume:data}/results"]
    env: {PYTHONDONTWRITEBYTECODE: "1", RESULTS: "${volume:data}/results"}
    health: {command: [sh, -c, 'test -e "$$RESULTS"'], interval: 500ms, startPeriod: 10m}
    restart: never
secrets:
  - {name: KEY, required: true, deliver: brokered, hosts: ["*.allowed.test"]}
network:
  allow: ["*.tunnel.test", "*.tunnel.test:2525", "*.plain.test:80", named-metadata.test]
state: {volumes: [{name: data}]}
"#;

/// An app that listens where another instance has no business.
const NEIGHBOUR: &str = r#"
kind: mira.app/v1
id: org.example.neighbour
name: Neighbour
version: 1.0.0
services:
  - name: web
    command: [python3, -m, http.server, --bind, 127.0.0.1, "${port:http}"]
    ports: [{name: http}]
    health: {tcp: http}
state: {volumes: [{name: data}]}
"#;

/// All of it. What runs is ended when this is dropped.
pub(crate) struct Stage {
    pub(crate) house: House,
    outside: Child,
    person: Child,
    app: PathBuf,
    sockets: Value,
    // Last: what still runs in it ends with it.
    world: World,
}

impl Stage {
    /// Makes the world and the person's home, and lets everybody outside listen.
    pub(crate) fn new(tries: &[Value]) -> Self {
        let house = House::new();
        let leads = leads(tries);
        let leads: Vec<(&str, &str)> = leads
            .iter()
            .map(|(name, address)| (&**name, &**address))
            .collect();
        let world = World::new(&leads);
        let sockets = sockets(&house);
        let outside = outside(&world, &house, &sockets);
        let person = world
            .command("sleep")
            .arg("infinity")
            .env("CANARY", "contraband")
            .spawn()
            .unwrap();
        Self {
            app: house.home.path().join("apps/corpus"),
            house,
            outside,
            person,
            sockets,
            world,
        }
    }

    /// Runs `mira` in the world, to this exit code, and returns its output.
    #[track_caller]
    pub(crate) fn mira(&self, args: &[&str], code: i32) -> String {
        let output = self.output(args);
        if output.status.code() != Some(code) {
            let logs = self.output(&["logs", "corpus"]).stdout;
            let logs = String::from_utf8_lossy(&logs);
            panic!("{args:?}: {output:?}\nThe app says:\n{logs}");
        }
        String::from_utf8(output.stdout).unwrap()
    }

    fn output(&self, args: &[&str]) -> Output {
        let mut command = self.world.command(MIRA);
        command
            .args(args)
            .env_clear()
            .envs(self.house.home.env().iter().cloned())
            .env("SSL_CERT_FILE", self.world.ca().bundle())
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Opens the app, which has a secret of this value then, and has not tried anything yet.
    pub(crate) fn open(&self, value: &str) {
        let neighbour = self.house.app("neighbour", NEIGHBOUR);
        self.mira(&["open", neighbour.path(), "-d"], 0);
        let app = self.house.app("corpus", MANIFEST);
        copy(&data("corpus"), &self.app);
        app.write("targets.json", &self.targets().to_string());
        self.mira(&["open", &app.pack(), "-d"], 3);
        self.house.save("corpus", "KEY", value);
    }

    /// Lets the app try; returns what it says of what it may do, and then of each try.
    pub(crate) fn run(&self) -> Vec<Value> {
        self.mira(&["start", "corpus", "-d"], 0);
        lines(&self.house.file("corpus", "state/data/results"))
    }

    /// Makes the tries where nobody refuses: in the world, and in no instance.
    pub(crate) fn control(&self) -> Vec<Value> {
        let results = self.house.home.path().join("control");
        let status = self
            .world
            .powerful("python3")
            .arg(&self.app)
            .arg("control")
            .arg(&results)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("KEY", "contraband-in-place-of-a-placeholder")
            .status();
        assert!(status.unwrap().success());
        lines(&results)
    }

    /// Returns what those outside have heard so far.
    pub(crate) fn heard(&self) -> Vec<Value> {
        lines(&self.outside().join("record"))
    }

    /// Returns the folder in which those outside write down what they hear.
    pub(crate) fn outside(&self) -> PathBuf {
        self.house.home.path().join("outside")
    }

    /// Returns what stands in the files that the app was told of, but for those that Mira writes meanwhile.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let targets = fs::read(self.app.join("targets.json")).unwrap();
        let targets: Value = serde_json::from_slice(&targets).unwrap();
        let files = targets["files"].as_object().unwrap().iter();
        files
            .filter(|(name, _)| *name != "database")
            .map(|(name, path)| (name.clone(), fs::read(path.as_str().unwrap()).unwrap()))
            .collect()
    }

    /// Returns the rows of the app's record of the network.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let log = self.mira(&["net", "log", "corpus", "--json"], 0);
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Writes down for the tries what there is to be had, and makes the files of it.
    fn targets(&self) -> Value {
        let home = self.house.home.path().join("home");
        let mut files = json!({
            "vault": self.house.home.mira_home().join("credentials.json"),
            "key": key_file(&self.house),
            "database": self.house.home.mira_home().join("mira.db"),
        });
        for (name, path) in [
            ("neighbour", self.house.file("neighbour", "state/data/note")),
            ("ssh", home.join(".ssh/id_ed25519")),
            ("credentials", home.join(".claude/.credentials.json")),
            ("temporary", self.house.home.path().join("tmp/note")),
            ("runtime", self.house.memory.path().join("note")),
            ("profile", home.join(".bashrc")),
            (
                "record",
                self.house.home.mira_home().join("net/run/net.jsonl"),
            ),
        ] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "contraband\n").unwrap();
            files[name] = json!(path);
        }
        let mut sockets = self.sockets.clone();
        sockets["supervisor"] = json!(self.house.runtime().join("supervisor.sock"));
        json!({
            "sockets": sockets,
            "files": files,
            "processes": {"person": self.person.id(), "supervisor": self.house.supervisor()},
            "ports": {"neighbour": self.house.ps("neighbour")["ports"][0]["port"]},
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for process in [&mut self.outside, &mut self.person] {
            // It may have ended already.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// Returns what the corpus says of its tries.
pub(crate) fn tries() -> Vec<Value> {
    serde_json::from_str(&corpus("list")).unwrap()
}

/// Runs the corpus with a word that tries nothing.
pub(crate) fn corpus(word: &str) -> String {
    let output = Command::new("python3")
        .arg(data("corpus"))
        .arg(word)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns which names lead where.
fn leads(tries: &[Value]) -> Vec<(String, String)> {
    let fixed = [
        ("api.allowed.test", PUBLIC),
        ("allowed.test", PUBLIC),
        ("xallowed.test", PUBLIC),
        ("upper.refused.test", PUBLIC),
        ("api.allowed.test.refused.test", PUBLIC),
        ("xn--80ak6aa92e.test", PUBLIC),
        ("named-metadata.test", "169.254.169.254"),
    ];
    let mut leads: Vec<(String, String)> = fixed
        .map(|(name, address)| (name.to_owned(), address.to_owned()))
        .into();
    for known in tries {
        for (name, addresses) in known["leads"].as_object().unwrap() {
            for address in addresses.as_array().unwrap() {
                leads.push((name.clone(), address.as_str().unwrap().to_owned()));
            }
        }
    }
    leads
}

/// Returns the sockets that the person's programs and the machine's listen at, but for the supervisor, which listens by itself.
fn sockets(house: &House) -> Value {
    let home = house.home.path().join("home");
    let memory = house.memory.path();
    json!({
        "tmp": house.home.path().join("tmp/socket"),
        "run": "/run/corpus/socket",
        "home": home.join("socket"),
        "shm": memory.join("socket"),
        "docker": "/run/docker.sock",
        "bus": "/run/dbus/system_bus_socket",
        "session_bus": memory.join("bus"),
        "keyring": memory.join("keyring/control"),
        "agent": home.join(".ssh/agent"),
        "resolver": "/run/systemd/resolve/io.systemd.Resolve",
        "journal": "/run/systemd/journal/socket",
        "abstract": format!("corpus-{}", std::process::id()),
    })
}

/// Lets everybody outside listen.
fn outside(world: &World, house: &House, sockets: &Value) -> Child {
    let folder = house.home.path().join("outside");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("sockets"), sockets.to_string()).unwrap();
    let names = [
        "outside.test",
        "*.allowed.test",
        "*.tunnel.test",
        "named-metadata.test",
    ];
    let (certificate, key) = world.ca().pem(&names);
    fs::write(folder.join("certificate"), certificate).unwrap();
    fs::write(folder.join("key"), key).unwrap();
    let mut outside = world
        .powerful("python3")
        .arg(data("outside.py"))
        .args(["record", "certificate", "key", "sockets"].map(|name| folder.join(name)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(outside.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    outside
}

/// Returns the file with the vault's key.
fn key_file(house: &House) -> PathBuf {
    let mut entries = fs::read_dir(house.home.mira_home()).unwrap().flatten();
    let found = entries.find(|entry| entry.file_name().to_string_lossy().contains("key"));
    found.unwrap().path()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/gate")
        .join(name)
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-r", "-T"])
        .args([from, to])
        .status();
    assert!(copied.unwrap().success());
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
