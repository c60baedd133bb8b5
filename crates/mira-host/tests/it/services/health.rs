//! When a service is found to be well, and what happens when it is not any more.

use std::net::TcpListener;
use std::time::Duration;

use mira_host::service::{Check, Health, Restart, ServiceSpec};

use super::house::{House, PATIENCE};
use super::starting::flag;

/// Answers every request with the status that a file says, or not at all where it says 0.
const SERVER: &str = r#"
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = int(open(os.environ["HOME"] + "/status").read())
        print("asked for", self.path, flush=True)
        if status == 0:
            time.sleep(1000)
        self.send_response(status)
        self.send_header("Location", "/other")
        self.end_headers()
        self.wfile.write(b"x" * 1000000)
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn health(check: Check) -> Health {
    Health {
        check,
        interval: Duration::from_millis(10),
        timeout: PATIENCE,
        retries: 2,
        start_period: PATIENCE,
    }
}

/// A server, its port, and what sets the status of its answers.
fn server(house: &House) -> (ServiceSpec, impl Fn(u16)) {
    let port = free_port();
    std::fs::create_dir_all(house.path("home")).unwrap();
    let mut service = house.program("web", &["python3", "-c", SERVER, &port.to_string()]);
    service.ports = vec![port];
    let path = "/healthz?full=1".to_owned();
    service.health = Some(health(Check::Http { port, path }));
    let (new, file) = (house.path("home/new"), house.path("home/status"));
    let set = move |status: u16| {
        std::fs::write(&new, status.to_string()).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    (service, set)
}

#[test]
fn an_http_check_wants_a_status_of_200_to_399() {
    for status in [200, 204, 302, 399] {
        let house = House::new();
        let (service, set) = server(&house);
        set(status);
        let mut followed = house.begin(house.spec(vec![service]));
        followed.up().unwrap();
        assert_eq!(followed.line("asked"), "asked for /healthz?full=1");
    }
    let house = House::new();
    let (service, set) = server(&house);
    set(404);
    let mut followed = house.begin(house.spec(vec![service]));
    for _ in 0..3 {
        followed.line("asked");
    }
    assert_eq!(
        house.supervisor.states()[0].services[0].1.phase.as_str(),
        "starting"
    );
    set(200);
    followed.up().unwrap();
}

#[test]
fn a_service_that_becomes_unhealthy_is_restarted() {
    let house = House::new();
    let (mut service, set) = server(&house);
    service.restart = Restart::OnFailure;
    set(200);
    let mut followed = house.begin(house.spec(vec![service]));
    let first = followed.phase("web", "up").pid;
    set(500);
    followed.phase("web", "stopping");
    followed.phase("web", "delayed");
    set(200);
    let second = followed.phase("web", "up");
    assert_ne!(second.pid, first);
    assert!(second.restarts >= 1);
}

#[test]
fn without_restarts_an_unhealthy_service_has_failed() {
    let house = House::new();
    let (service, set) = server(&house);
    set(200);
    let mut followed = house.begin(house.spec(vec![service]));
    followed.up().unwrap();
    set(503);
    assert_eq!(
        followed.failure("web"),
        "its health check failed; see its log"
    );
}

#[test]
fn an_answer_that_does_not_come_is_a_failed_check() {
    let house = House::new();
    let (mut service, set) = server(&house);
    if let Some(health) = &mut service.health {
        health.timeout = Duration::from_millis(50);
        health.start_period = Duration::ZERO;
    }
    set(0);
    let mut followed = house.begin(house.spec(vec![service]));
    assert_eq!(
        followed.failure("web"),
        "its health check failed; see its log"
    );
}

#[test]
fn a_tcp_check_wants_a_connection() {
    let house = House::new();
    let port = free_port();
    let script = "import os, socket, sys, time
while not os.path.exists(os.environ['HOME'] + '/listen'): time.sleep(0.001)
s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); time.sleep(1000)";
    let mut service = house.program("web", &["python3", "-c", script, &port.to_string()]);
    service.health = Some(health(Check::Tcp { port }));
    let mut followed = house.begin(house.spec(vec![service]));
    followed.phase("web", "starting");
    std::fs::write(house.path("home/listen"), "").unwrap();
    followed.up().unwrap();
}

#[test]
fn a_command_that_hangs_is_killed_with_all_it_started() {
    let house = House::new();
    let gate = house.gate("gate");
    let mut service = house.sh("web", "exec sleep 1000");
    let hangs = format!(
        "exec 9>{}; sleep 1000 & setsid sleep 1000 & wait",
        gate.path().display()
    );
    service.health = Some(Health {
        check: Check::Command(vec!["sh".into(), "-c".into(), hangs.into()]),
        timeout: Duration::from_millis(300),
        start_period: Duration::ZERO,
        retries: 1,
        ..flag(&house, "")
    });
    let mut followed = house.begin(house.spec(vec![service]));
    gate.open().closed();
    assert_eq!(
        followed.failure("web"),
        "its health check failed; see its log"
    );
}
