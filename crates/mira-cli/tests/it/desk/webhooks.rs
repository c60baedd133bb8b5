//! Webhooks of a real server: from `mira hooks send` to an app in its room, and over the server's death.

use std::fs;
use std::time::Instant;

use mira_testkit::canary::{Canary, Sweep};
use rustix::process::{Pid, Signal, kill_process};

use super::served::Served;
use crate::apps::house::{House, PATIENCE};
use crate::support::set;

/// The app: it writes down what arrives and what it has done, and does nothing while there is a file `hold`.
const TAKER: &str = r#"
kind: mira.app/v1
id: org.example.taker
name: Taker
version: 1.0.0
services:
  - name: web
    command: [python3, take.py]
    env: {PORT: "${port:http}", DATA: "${volume:data}"}
    ports: [{name: http}]
    health: {http: /, port: http, interval: 100ms, startPeriod: 60s}
  - {name: other, command: [sh, -c, 'env > "$$DATA/other.env"; exec sleep infinity'], env: {DATA: "${volume:data}"}}
webhooks: [{source: github, events: [pull_request], deliverTo: web/events}]
state: {volumes: [{name: data}]}
"#;

const TAKE: &str = r#"
import http.server, os, time

data = os.environ["DATA"]

class Take(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        known = "Bearer " + os.environ["MIRA_DELIVERY_TOKEN"] == self.headers["Authorization"]
        name = self.headers["X-GitHub-Delivery"] + " " + self.headers["X-Mira-Attempt"]
        self.note("arrived", name)
        while os.path.exists(data + "/hold"):
            time.sleep(0.01)
        self.note("done", name + " " + str(known) + " " + self.path + " " + body.decode())
        self.send_response(200 if known else 401)
        self.end_headers()

    def note(self, what, line):
        with open(data + "/" + what, "a") as file:
            file.write(line + "\n")

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Take).serve_forever()
"#;

const SECRET: &str = "canary-webhook-0123456789abcdef-0123456789";

/// Waits until a file of the app holds something, and returns it.
#[track_caller]
fn until_noted(house: &House, what: &str, line: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let noted = fs::read_to_string(house.file("taker", &format!("state/data/{what}")));
        let noted = noted.unwrap_or_default();
        if noted.lines().any(|noted| noted.starts_with(line)) {
            return noted;
        }
        assert!(Instant::now() < deadline, "{line}: {noted}");
    }
}

#[track_caller]
fn send(house: &House, url: &str, id: &str, number: u32, code: i32) -> String {
    let file = house.home.path().join("event.json");
    let body = format!(
        r#"{{"action":"opened","repository":{{"id":5,"full_name":"octo/repo"}},"pull_request":{{"number":{number}}}}}"#
    );
    fs::write(&file, body).unwrap();
    let url = format!("{url}/webhooks/github");
    let file = file.to_str().unwrap();
    let args = [
        "hooks",
        "send",
        file,
        "--event",
        "pull_request",
        "--url",
        &url,
        "--id",
        id,
    ];
    house.run(&args, code).stderr_text()
}

#[test]
fn an_event_gets_to_its_app_also_when_the_server_is_killed_before_and_meanwhile() {
    let house = House::new();
    set(&house.home, "MIRA_WEBHOOK_SECRET", SECRET);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--hooks"];
    let server = Served::start(&house, &serve, &[]);
    let app = house.app("taker", TAKER);
    fs::write(app.folder.join("take.py"), TAKE).unwrap();
    let package = app.pack();
    house.run(&["open", &package, "-d"], 0);
    let said = send(&house, &server.url, "e-1", 3, 0);
    assert!(said.contains("202: accepted"), "{said}");
    let done = until_noted(&house, "done", "e-1");
    assert!(
        done.starts_with("e-1 1 True /events {\"action\":\"opened\""),
        "{done}"
    );
    assert!(send(&house, &server.url, "e-1", 3, 0).contains("accepted before"));
    // The service that takes no events knows nothing of it.
    let other = fs::read_to_string(house.file("taker", "state/data/other.env")).unwrap();
    assert!(!other.contains("MIRA_DELIVERY_TOKEN"), "{other}");
    // The app is at one event, and another waits behind it.
    let hold = house.file("taker", "state/data/hold");
    fs::write(&hold, "").unwrap();
    for id in ["e-2", "e-3"] {
        send(&house, &server.url, id, 3, 0);
    }
    until_noted(&house, "arrived", "e-2 1");
    let waiting = house.json(&["hooks", "list", "--json"], 0);
    let states: Vec<&str> = waiting
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["queued", "running", "done"], "{waiting}");
    kill_process(Pid::from_child(&server.child), Signal::KILL).unwrap();
    drop(server);
    fs::remove_file(&hold).unwrap();
    // What was up is started again by the server.
    let server = Served::start(&house, &serve, &[]);
    let done = until_noted(&house, "done", "e-3");
    let order: Vec<&str> = done.lines().filter_map(|line| line.get(..5)).collect();
    assert_eq!(order, ["e-1 1", "e-2 2", "e-3 1"], "{done}");
    // What the app has taken is not kept.
    let stats = house.json(&["hooks", "stats", "--json"], 0);
    assert_eq!(stats["waiting"]["bytes"], 0, "{stats}");
    let canaries = [Canary::new("SECRET", SECRET)];
    Sweep::new(&canaries)
        .folder(house.home.path())
        .assert_clean();
    house.run(&["stop", "taker"], 0);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn without_a_fit_secret_no_webhooks_are_taken() {
    let house = House::new();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--hooks"];
    let told = house.run(&serve, 3).stderr_text();
    assert!(told.contains("MIRA_WEBHOOK_SECRET"), "{told}");
    set(
        &house.home,
        "MIRA_WEBHOOK_SECRET",
        "canary-31-bytes-long-0123456789",
    );
    let told = house.run(&serve, 1).stderr_text();
    assert!(
        told.contains("31 bytes") && !told.contains("canary"),
        "{told}"
    );
    house.run(&["serve", "--hooks"], 2);
    let list = house.home.path().join("networks");
    fs::write(&list, "nowhere").unwrap();
    house
        .mira(&["set", "MIRA_WEBHOOK_SECRET", "--stdin", "--replace"])
        .stdin_bytes(SECRET)
        .run()
        .assert_code(0);
    let from = [&serve[..], &["--hooks-from", list.to_str().unwrap()]].concat();
    let told = house.run(&from, 1).stderr_text();
    assert!(told.contains("line 1"), "{told}");
    fs::write(&list, "192.0.2.0/24").unwrap();
    let server = Served::start(&house, &from, &[]);
    let told = send(&house, &server.url, "e-1", 3, 1);
    assert!(told.contains("403"), "{told}");
    let without = Served::start(&House::new(), &["desk", "--no-browser"], &[]);
    let base = without.url.split("/enter/").next().unwrap();
    let told = send(&house, base, "e-1", 3, 1);
    assert!(told.contains("--hooks"), "{told}");
    let stats = house.run(&["hooks", "stats"], 0);
    drop(stats);
    house.run(&["hooks", "replay", "abcdefghijklmnop"], 3);
    house.run(&["hooks", "show", "nothing"], 2);
}
