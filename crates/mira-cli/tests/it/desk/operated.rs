//! A server as those who run it see it: its log, its secrets as files, its taking over, its unit and its container.

use std::fs;

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::github::{AppKey, GitHub};
use mira_testkit::postgres::{PASSWORD, Postgres};
use serde_json::Value;

use super::TALKER;
use super::served::{ADMIN, Served, action, curl, log_in, post};
use crate::apps::house::House;
use crate::support::{MIRA, VALUE, mira, set};

/// Writes a file of a home, and returns its path.
fn file(house: &House, name: &str, text: &str) -> String {
    let path = house.home.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_log_tells_of_every_request_and_holds_no_value() {
    let house = House::new();
    let package = house.app("talker", TALKER).pack();
    house.run(&["open", &package, "-d"], 3);
    let password = file(&house, "admin", &format!("{ADMIN}\n"));
    let desk = Served::start(
        &house,
        &["serve", "--listen", "127.0.0.1:0", "--log", "json"],
        &[("ADMIN_PASSWORD_FILE", &password)],
    );
    log_in(&house, &desk);
    let base = &desk.url;
    // The value where it belongs, and everywhere where it does not.
    let saved = format!("{base}/instances/talker/secrets");
    post(&house, &saved, &[("name", "TALKER_KEY"), ("value", VALUE)]);
    curl(&house, &[&format!("{base}/secrets/{VALUE}?value={VALUE}")]);
    curl(
        &house,
        &[
            "--header",
            &format!("X-Key: {VALUE}"),
            &format!("{base}/{VALUE}"),
        ],
    );
    let login = format!("{base}/login");
    post(&house, &login, &[("name", VALUE), ("password", VALUE)]);
    let link = format!("mira_link_{}", "a2".repeat(28));
    curl(&house, &[&format!("{base}/enter/{link}")]);
    let token = format!("mira_{}", "b3".repeat(28));
    curl(
        &house,
        &[
            "--header",
            &format!("Authorization: Bearer {token}"),
            &format!("{base}/api/v1/secrets"),
        ],
    );
    log_in(&house, &desk);
    let started = format!("{base}/instances/talker/start");
    post(&house, &started, &[]);
    let id = curl(&house, &["--head", &format!("{base}/healthz")]);
    let id = id
        .lines()
        .find_map(|line| line.strip_prefix("x-request-id: "))
        .unwrap()
        .to_owned();
    let cookies = fs::read_to_string(house.home.path().join("cookies")).unwrap();
    let session = cookies.split_whitespace().next_back().unwrap().to_owned();
    assert!(session.starts_with("mira_session_"), "{cookies}");
    let (code, log) = desk.end_and_tell();
    assert_eq!(code, Some(0));
    let lines: Vec<Value> = log
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let has = |name: &str, value: &str| lines.iter().any(|line| line[name] == value);
    for route in [
        "/login",
        "/secrets/{name}",
        "none",
        "/enter/{token}",
        "/api/v1/secrets",
    ] {
        assert!(has("route", route), "{route}: {log}");
    }
    // Also of a page that says that there is none, it is told who asked for it.
    let of_none = lines.iter().find(|line| line["route"] == "/secrets/{name}");
    assert_eq!(of_none.unwrap()["who"], "admin", "{log}");
    assert!(has("id", id.trim()), "{id}: {log}");
    assert!(has("who", "admin") && has("who", "nobody"), "{log}");
    for action in [
        "session.login",
        "session.login_failed",
        "secret.set",
        "instance.start",
    ] {
        assert!(has("action", action), "{action}: {log}");
    }
    assert!(has("message", "the desk is ready"), "{log}");
    let canaries = [
        Canary::new("VALUE", VALUE),
        Canary::new("PASSWORD", ADMIN),
        Canary::new("LINK", link),
        Canary::new("TOKEN", token),
        Canary::new("SESSION", session),
    ];
    Sweep::new(&canaries)
        .bytes("the log", log.as_bytes())
        .assert_clean();
}

#[test]
fn what_a_server_checks_signs_and_calls_with_is_not_in_its_log() {
    let house = House::new();
    let github = GitHub::start();
    // A file's name is as good as any way into the log, and has no other letters.
    let fits = |line: &&str| line.len() == 64 && !line.contains(['+', '/']);
    let key =
        std::iter::repeat_with(AppKey::make).find(|key| key.pem().lines().any(|line| fits(&line)));
    let key = key.unwrap();
    let line = key.pem().lines().find(fits).unwrap().to_owned();
    let pem = file(&house, "app.pem", key.pem());
    let api = github.url();
    let setup = [
        "github",
        "setup",
        "--app-id",
        "4711",
        "--api-url",
        &api,
        "--private-key-file",
        &pem,
    ];
    house.run(&setup, 0);
    let webhook = "canary-webhook-0123456789abcdef-0123456789";
    set(&house.home, "MIRA_WEBHOOK_SECRET", webhook);
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--hooks",
        "--log",
        "json",
    ];
    let desk = Served::start(&house, &args, &[("ADMIN_PASSWORD", ADMIN)]);
    log_in(&house, &desk);
    let base = &desk.url;
    for (number, name) in [webhook, &line].into_iter().enumerate() {
        let text = format!(
            "{{\"mcpServers\": {{\"s{number}\": {{\"command\": \"a\", \"env\": {{\"API_KEY\": \"{VALUE}\"}}}}}}}}"
        );
        let config = file(&house, "config.json", &text);
        let form = format!("config=@{config};filename={name}");
        let shown = curl(
            &house,
            &["--form", &form, &format!("{base}/mcp-import/upload")],
        );
        post(
            &house,
            &format!("{base}{}", action(&shown, "/mcp-import/")),
            &[],
        );
    }
    let (code, log) = desk.end_and_tell();
    assert_eq!(code, Some(0), "{log}");
    for name in ["MIRA_WEBHOOK_SECRET", "MIRA_GITHUB_PRIVATE_KEY"] {
        assert!(log.contains(&format!("[redacted:{name}]")), "{name}: {log}");
    }
    let canaries = [
        Canary::new("WEBHOOK", webhook),
        Canary::new("KEY", line),
        Canary::new("VALUE", VALUE),
    ];
    Sweep::new(&canaries)
        .bytes("the log", log.as_bytes())
        .assert_clean();
}

#[test]
fn secrets_of_a_server_are_read_from_files_and_given_once() {
    let mut house = House::new();
    let server = Postgres::start();
    let url = file(&house, "url", &format!("{}\n", server.url("postgres")));
    house.home.set("DATABASE_URL_FILE", &url);
    house.run(&["user", "add", "ada", "--no-password"], 0);
    assert_eq!(server.sql("postgres", "SELECT user_name FROM users"), "ada");
    let both = house.mira(&["user", "list"]);
    let both = both.env("DATABASE_URL", server.url("postgres")).run();
    let told = both.assert_code(2).stderr_text();
    assert!(told.contains("DATABASE_URL_FILE"), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");
    let gone = house.mira(&["user", "list"]);
    let gone = gone.env("DATABASE_URL_FILE", "/nothing/here").run();
    assert!(gone.assert_code(1).stderr_text().contains("/nothing/here"));
}

#[test]
fn a_server_takes_the_place_of_a_supervisor_and_starts_again_what_ran() {
    let house = House::new();
    let package = house.app("talker", TALKER).pack();
    house.run(&["open", &package, "-d"], 3);
    house.save("talker", "TALKER_KEY", VALUE);
    house.run(&["start", "-d", "talker"], 0);
    let before = house.supervisor();
    let args = ["serve", "--listen", "127.0.0.1:0"];
    let refused = house.run(&args, 1);
    assert!(refused.stderr_text().contains("--take-over"), "{refused:?}");
    assert_eq!(house.supervisor(), before);
    // One that cannot listen stops nothing.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = taken.local_addr().unwrap().to_string();
    house.run(&["serve", "--listen", &there, "--take-over"], 1);
    assert_eq!(house.ps("talker")["state"], "up");
    assert_eq!(house.supervisor(), before);
    let desk = Served::start(
        &house,
        &[&args[..], &["--take-over"]].concat(),
        &[("ADMIN_PASSWORD", ADMIN)],
    );
    house.until("talker", |ps| ps["state"] == "up");
    assert_eq!(house.supervisor(), desk.child.id());
    assert_eq!(desk.end(), Some(0));
}

#[test]
fn a_server_that_was_killed_or_ended_starts_again_what_nobody_has_stopped() {
    let house = House::new();
    let package = house.app("talker", TALKER).pack();
    let serve = || {
        let args = ["serve", "--listen", "127.0.0.1:0"];
        Served::start(&house, &args, &[("ADMIN_PASSWORD", ADMIN)])
    };
    let mut desk = serve();
    for name in ["talker", "younger"] {
        house.run(&["open", &package, "-d", "--name", name], 3);
        house.save(name, "TALKER_KEY", VALUE);
        house.run(&["start", "-d", name], 0);
    }
    desk.child.kill().unwrap();
    desk.child.wait().unwrap();
    let desk = serve();
    for name in ["talker", "younger"] {
        house.until(name, |ps| ps["state"] == "up");
    }
    house.run(&["stop", "talker"], 0);
    assert_eq!(desk.end(), Some(0));
    // They are started one after the other, so the first one's turn has come when the second one is up.
    let desk = serve();
    house.until("younger", |ps| ps["state"] == "up");
    assert_eq!(house.ps("talker")["state"], "stopped");
    assert_eq!(desk.end(), Some(0));
}

/// The text of a file of the repository.
fn shipped(path: &str) -> String {
    fs::read_to_string(format!(
        "{}/../../packaging/{path}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

#[test]
fn systemd_takes_the_unit_and_rates_it() {
    let house = House::new();
    // The program is where this test has it.
    let unit = shipped("systemd/mira.service").replace("/usr/bin/mira", MIRA);
    let path = file(&house, "mira.service", &unit);
    let analyze = |args: &[&str]| {
        let run = house.home.mira("systemd-analyze").args(args).arg(&path);
        run.run()
    };
    let verified = analyze(&["verify"]).assert_code(0);
    assert_eq!(verified.stderr_text(), "");
    // Ten times the exposure that it may have at most.
    analyze(&["security", "--offline=true", "--no-pager", "--threshold=45"]).assert_code(0);
    for line in [
        "User=mira",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=\n",
        "ProtectSystem=strict",
    ] {
        assert!(unit.contains(line), "{line}");
    }
    // With these no app would get a room.
    for option in [
        "RestrictNamespaces=",
        "ProtectKernelTunables=",
        "ProtectProc=",
        "ProcSubset=",
    ] {
        assert!(
            !unit.lines().any(|line| line.starts_with(option)),
            "{option}"
        );
    }
}

/// What the container's engine does, as far as the kernel alone does it: no rights, a user that is not root, a root that is read-only.
const CONTAINED: &str = r#"
set -eu
mount --rbind / /mnt
cd /mnt
mount -o remount,bind,ro /mnt
mount -t tmpfs -o mode=0777 tmpfs /mnt/mnt
mkdir /mnt/mnt/old
pivot_root . mnt/old
cd /
umount -l /mnt/old
exec unshare --user --map-user=10001 --map-group=10001 sh -eu -c '
    mkdir -m 0700 /mnt/lib /mnt/run
    if touch /usr/written 2>/dev/null; then echo "the root is not read-only"; exit 1; fi
    export MIRA_HOME=/mnt/lib/home XDG_RUNTIME_DIR=/mnt/run HOME=/mnt/lib TMPDIR=/mnt
    printf "%s\n" "four words that hold" > /mnt/admin
    chmod 0400 /mnt/admin
    export ADMIN_PASSWORD_FILE=/mnt/admin
    "$0" init --provider keyfile
    "$0" serve --listen 127.0.0.1:0 --log json 2> /mnt/log &
    until grep -q "the desk is at" /mnt/log; do kill -0 $! || { cat /mnt/log; exit 1; }; done
    url=$(sed -n "s/.*the desk is at \(http[^,]*\),.*/\1/p" /mnt/log)
    curl --silent --fail "$url/readyz"
    curl --silent --fail --output /dev/null --data "name=admin" --data-urlencode "password=four words that hold" "$url/login"
    kill $!
    wait $!
    id -u
' "$1"
"#;

#[test]
fn a_server_runs_on_a_read_only_root_without_rights_and_with_its_secrets_as_files() {
    let house = House::new();
    let run = house
        .home
        .mira("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            CONTAINED,
            "sh",
            MIRA,
        ])
        .run()
        .assert_code(0);
    let said = run.stdout_text();
    assert!(said.ends_with("10001\n"), "{run:?}");
    let file = shipped("container/Containerfile");
    for line in [
        "USER 10001:10001",
        "ENV MIRA_HOME=/var/lib/mira/home",
        "VOLUME /var/lib/mira",
    ] {
        assert!(file.contains(line), "{line}");
    }
    // What it names of this repository is there.
    assert!(file.contains("--package mira-cli") && !file.contains("ADD "));
}

#[test]
fn a_user_is_kept_out_and_let_in_again() {
    let house = House::new();
    set(&house.home, "KEY", VALUE);
    let add = house.mira(&["user", "add", "ada", "--role", "admin", "--stdin"]);
    add.stdin_bytes(ADMIN).run().assert_code(0);
    house.run(&["user", "disable", "ada"], 1);
    let add = house.mira(&["user", "add", "bo", "--stdin"]);
    add.stdin_bytes(ADMIN).run().assert_code(0);
    house.run(&["user", "disable", "BO"], 0);
    let listed = mira(&house.home, &["user", "list", "--json"]).run();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(
        (&listed[1]["name"], &listed[1]["disabled"]),
        (&"bo".into(), &true.into())
    );
    house.run(&["user", "enable", "bo"], 0);
    let listed = house.json(&["user", "list", "--json"], 0);
    assert_eq!(listed[1]["disabled"], false);
    house.run(&["user", "disable", "nobody"], 3);
}
