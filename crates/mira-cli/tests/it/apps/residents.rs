//! Which service of an instance the record names.

use std::collections::BTreeMap;

use super::house::House;

/// Three services that each call an address that is refused, and wait for the end of the connection; one in a child of its own,
/// one from a socket of IPv6.
const CALLERS: &str = r#"
kind: mira.app/v1
id: org.example.callers
name: Callers
version: 1.0.0
services:
  - name: web
    command: [python3, -c, 'import call; call.direct("192.0.2.1"); call.rest()']
    health: &HEALTH
  - name: worker
    command: [sh, -c, 'python3 -c "import call; call.direct(\"192.0.2.2\")"; exec python3 -c "import call; call.rest()"']
    health: &HEALTH
  - name: other
    command: [python3, -c, 'import call; call.direct("::ffff:192.0.2.3"); call.rest()']
    health: &HEALTH
"#;

const CALL: &str = r#"
import os, socket, time

def direct(address):
    service = os.environ["MIRA_SERVICE"]
    try:
        socket.getaddrinfo(f"{service}.names.test", 443, type=socket.SOCK_STREAM)
    except OSError:
        pass
    # Open until the end: what is closed at once is nobody's.
    packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packets.sendto(b"x", ("198.51.100.%d" % ("web", "worker", "other").index(service), 9))
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as it:
        it.connect((address, 443))
        while it.recv(1000):
            pass

def rest():
    open(os.environ["TMPDIR"] + "/" + os.environ["MIRA_SERVICE"], "w").close()
    time.sleep(1e6)
"#;

#[test]
fn a_row_names_the_service_that_has_connected_looked_up_or_sent_a_packet() {
    let house = House::new();
    let health = r#"{command: [sh, -c, 'test -e "$$TMPDIR/$$MIRA_SERVICE"'], interval: 100ms, startPeriod: 60s}"#;
    let app = house.app("callers", &CALLERS.replace("&HEALTH", health));
    std::fs::write(app.folder.join("call.py"), CALL).unwrap();
    house.run(&["open", app.path(), "-d"], 0);
    let log = house.run(&["net", "log", "callers", "--json"], 0);
    let found: BTreeMap<String, String> = log
        .stdout_text()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
            (text("host"), text("service"))
        })
        .collect();
    let expect = [
        ("192.0.2.1", "web"),
        ("192.0.2.2", "worker"),
        ("192.0.2.3", "other"),
        ("web.names.test", "web"),
        ("worker.names.test", "worker"),
        ("other.names.test", "other"),
        ("198.51.100.0", "web"),
        ("198.51.100.1", "worker"),
        ("198.51.100.2", "other"),
    ];
    let expect = expect.map(|(host, service)| (host.to_owned(), service.to_owned()));
    assert_eq!(found, BTreeMap::from(expect), "{log:?}");
    house.run(&["stop", "callers"], 0);
}
