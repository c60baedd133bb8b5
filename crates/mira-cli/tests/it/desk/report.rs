//! What an app tells of how it fares, from its port to the desk's page and API.

use std::fs;

use super::served::{Served, curl};
use crate::apps::house::House;
use crate::support::VALUE;

/// The app: it tells what is in its folder, to whoever knows its token.
const TELLER: &str = r#"
kind: mira.app/v1
id: org.example.teller
name: Teller
version: 1.0.0
secrets: [{name: TELLER_KEY, required: true}]
services:
  - name: web
    command: [python3, tell.py]
    env: {PORT: "${port:http}", DATA: "${volume:data}"}
    ports: [{name: http}]
    health: {http: /, port: http, interval: 100ms, startPeriod: 60s}
report: web/report?from=desk
state: {volumes: [{name: data}]}
"#;

const TELL: &str = r#"
import http.server, os

class Tell(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = 200, b""
        if self.path == "/report?from=desk":
            if self.headers["Authorization"] != "Bearer " + os.environ["MIRA_DELIVERY_TOKEN"]:
                status = 401
            else:
                body = open(os.environ["DATA"] + "/report.json").read().replace("KEY", os.environ["TELLER_KEY"]).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Tell).serve_forever()
"#;

const REPORT: &str = r#"{"panels": [
    {"id": "reviews", "title": "Reviews", "kind": "table",
     "columns": [{"title": "Of", "kind": "text"}, {"title": "Cost", "kind": "money"}, {"title": "At", "kind": "time"}],
     "rows": [["<script>alert(1)</script> KEY", 0.25, "2026-11-28T10:00:00Z"], [null, null, null]]},
    {"id": "findings", "title": "Findings over time", "kind": "series",
     "points": [{"at": "2026-11-27", "label": "blocker", "value": 2}, {"at": "2026-11-28", "label": "nitpick", "value": 1}]}
]}"#;

#[test]
fn an_app_tells_how_it_fares_and_its_secrets_are_taken_out() {
    let house = House::new();
    let app = house.app("teller", TELLER);
    fs::write(app.folder.join("tell.py"), TELL).unwrap();
    let package = app.pack();
    house.run(&["open", &package, "-d"], 3);
    let args = [
        "secret",
        "set",
        "--instance",
        "teller",
        "TELLER_KEY",
        "--stdin",
    ];
    house.mira(&args).stdin_bytes(VALUE).run().assert_code(0);
    house.run(&["start", "-d", "teller"], 0);
    let desk = Served::start(&house, &["desk", "--no-browser"], &[]);
    curl(&house, &[&desk.url]);
    let base = desk.url.split("/enter/").next().unwrap();
    let page = format!("{base}/instances/teller");
    let report = format!("{page}/report");
    assert!(curl(&house, &[&page]).contains("/report\""));

    // It has nothing to read yet: its answer breaks off.
    let broken = curl(&house, &[&report]);
    assert!(
        broken.contains("did not tell how the instance fares"),
        "{broken}"
    );
    let file = house.file("teller", "state/data/report.json");
    fs::write(&file, "{\"panels\": [{\"id\": \"KEY\"}]}").unwrap();
    let unfit = curl(&house, &[&report]);
    assert!(
        unfit.contains("cannot be shown") && unfit.contains("report.md"),
        "{unfit}"
    );
    assert!(!unfit.contains(VALUE), "{unfit}");

    fs::write(&file, REPORT).unwrap();
    let shown = curl(&house, &[&report]);
    for part in [
        "&lt;script&gt;alert(1)&lt;/script&gt; [redacted:TELLER_KEY]",
        "$0.2500",
        "Findings over time: 3 in the days shown",
        "id=\"findings\"",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(
        !shown.contains("<script>alert") && !shown.contains(VALUE),
        "{shown}"
    );
    let json = curl(&house, &[&format!("{base}/api/v1/instances/teller/report")]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["panels"][1]["points"][0]["value"], 2.0);
    let first = json["panels"][0]["rows"][0][0].as_str().unwrap();
    assert!(first.ends_with("[redacted:TELLER_KEY]"), "{json}");

    // Nobody else on this machine is told.
    let ports = house.json(&["ps", "--json"], 0).to_string();
    let port = ports.split("\"number\":").nth(1).unwrap();
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    let url = format!("http://127.0.0.1:{port}/report?from=desk");
    let status = curl(&house, &["--write-out", "%{http_code}", &url]);
    assert_eq!(status, "401");
    house.run(&["stop", "teller"], 0);
    let stopped = curl(&house, &[&report]);
    assert!(
        stopped.contains("does not run") && stopped.contains("Start it first"),
        "{stopped}"
    );
    assert_eq!(desk.end(), Some(0));
}
