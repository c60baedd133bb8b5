//! Packages that are sealed or encrypted, through the desk: with a wrong password and the right one, and what a crash leaves of an upload.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use mira_testkit::canary::{Canary, Sweep};
use serde_json::Value;

use super::served::{ADMIN, Served, action, curl, log_in, post};
use crate::apps::app::{MANIFEST, password};
use crate::apps::house::{House, PATIENCE};
use crate::support::VALUE;

const PASSWORD: &str = "correct horse battery staple";
const WRONG: &str = "incorrect zebra battery staple";

fn serve(house: &House) -> Served {
    let args = ["serve", "--listen", "127.0.0.1:0", "--log", "json"];
    let desk = Served::start(house, &args, &[("ADMIN_PASSWORD", ADMIN)]);
    log_in(house, &desk);
    desk
}

/// Ends a desk; fails if a password or a sealed value is in its log, in what it said, or in a file.
fn end(house: &House, desk: Served, said: &str) {
    let (code, log) = desk.end_and_tell();
    assert_eq!(code, Some(0), "{log}");
    let sweep = Sweep::new(&[
        Canary::new("API_KEY", VALUE),
        Canary::new("PASSWORD", PASSWORD),
        Canary::new("WRONG", WRONG),
    ]);
    sweep
        .bytes("said", said.as_bytes())
        .and(sweep.bytes("log", log.as_bytes()))
        .and(sweep.folder(house.home.path()))
        .and(sweep.folder(house.memory.path()))
        .assert_clean();
}

/// Waits until a password may be tried again.
fn until_tried(mut send: impl FnMut() -> String) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = send();
        let waits = page.contains("wait") || page.contains("try again");
        if !waits || Instant::now() > deadline {
            return page;
        }
    }
}

#[test]
fn an_encrypted_package_opens_in_the_desk_with_its_password_and_guesses_are_limited() {
    let house = House::new();
    let package = house
        .app("parrot", MANIFEST)
        .pack_encrypted(password(PASSWORD));
    let desk = serve(&house);
    let base = desk.url.clone();
    let file = format!("package=@{package}");
    let mut said = curl(&house, &["--form", &file, &format!("{base}/open")]);
    assert!(said.contains("The package is encrypted"), "{said}");
    let mut send = |page: &str, password: &str| {
        let url = format!("{base}{}", action(page, "/open/"));
        let page = post(&house, &url, &[("password", password)]);
        said.push_str(&page);
        page
    };
    let first = curl(&house, &["--form", &file, &format!("{base}/open")]);
    let wrong = send(&first, WRONG);
    assert!(
        wrong.contains("role=\"alert\"") && wrong.contains("wrong"),
        "{wrong}"
    );
    // The right one has to wait then, as any would.
    let waits = send(&wrong, PASSWORD);
    assert!(waits.contains("role=\"alert\""), "{waits}");
    assert!(!waits.contains("org.example"), "{waits}");
    let mut last = waits;
    let seen = until_tried(|| {
        last = send(&last, PASSWORD);
        last.clone()
    });
    assert!(seen.contains("API_KEY"), "{seen}");
    let opened = post(
        &house,
        &format!("{base}{}", action(&seen, "/open/")),
        &[("name", "parrot")],
    );
    assert!(opened.contains("Password of the package"), "{opened}");
    said.push_str(&opened);
    house.save("parrot", "API_KEY", VALUE);
    let start = format!("{base}/instances/parrot/start");
    let refused = post(&house, &start, &[("password", WRONG)]);
    assert!(refused.contains("wrong"), "{refused}");
    let started = until_tried(|| post(&house, &start, &[("password", PASSWORD)]));
    assert_eq!(house.ps("parrot")["state"], "up", "{started}");
    said.push_str(&refused);
    said.push_str(&started);
    post(&house, &format!("{base}/instances/parrot/stop"), &[]);
    // Its own, which it was asked to write.
    std::fs::remove_dir_all(house.file("parrot", "state")).unwrap();
    end(&house, desk, &said);
}

#[test]
fn sealed_secrets_are_opened_by_the_password_that_a_start_in_the_desk_or_the_api_gives() {
    let house = House::new();
    let package = house
        .app("parrot", MANIFEST)
        .pack_sealed(&[("API_KEY", VALUE)], &password(PASSWORD));
    let desk = serve(&house);
    let base = desk.url.clone();
    let sent = format!("@{package}");
    let octets = [
        "--header",
        "Content-Type: application/octet-stream",
        "--data-binary",
        &sent,
    ];
    let url = format!("{base}/api/v1/packages");
    let told = curl(&house, &[&octets[..], &[&url]].concat());
    let looked: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(looked["package"]["sealed"], true, "{told}");
    let key = looked["key"].as_str().unwrap();
    let mut said = told.clone();
    let mut ask = |path: &str, body: &str| {
        let answer = curl(&house, &["--data", body, &format!("{base}/api/v1{path}")]);
        said.push_str(&answer);
        answer
    };
    let opened = ask(&format!("/packages/{key}/open"), "{\"name\": \"parrot\"}");
    assert!(opened.contains("\"parrot\""), "{opened}");
    let start = "/instances/parrot/start";
    // Without it, with a wrong one, and with the right one.
    let told = ask(start, "");
    assert!(
        told.contains("password") && told.contains("missing"),
        "{told}"
    );
    let told = ask(start, &format!("{{\"password\": \"{WRONG}\"}}"));
    assert!(told.contains("wrong"), "{told}");
    let right = format!("{{\"password\": \"{PASSWORD}\"}}");
    let told = until_tried(|| ask(start, &right));
    assert_eq!(told, "");
    assert_eq!(
        house.variable("parrot", "web", "API_KEY").as_deref(),
        Some(VALUE)
    );
    // What it says is redacted on its way to the page, and to who follows it.
    let page = curl(&house, &[&format!("{base}/instances/parrot")]);
    let live = format!("{base}/instances/parrot/live?after=1970-01-01T00:00:00Z");
    let stream = curl_for_a_while(&house, &live);
    ask("/instances/parrot/stop", "");
    said.push_str(&page);
    said.push_str(&stream);
    std::fs::remove_dir_all(house.file("parrot", "state")).unwrap();
    end(&house, desk, &said);
}

/// Reads a stream that has no end, for a second.
fn curl_for_a_while(house: &House, url: &str) -> String {
    let jar = house.home.path().join("cookies");
    let output = std::process::Command::new("curl")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .args(["--silent", "--no-buffer", "--max-time", "1", "--cookie"])
        .arg(jar)
        .arg(url)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn uploads(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let uploads = names.filter(|name| name.as_encoded_bytes().starts_with(b".upload-"));
    uploads.count()
}

#[test]
fn what_a_killed_server_left_of_an_upload_is_gone_when_it_serves_again() {
    let house = House::new();
    let desk = serve(&house);
    let cookies = std::fs::read_to_string(house.home.path().join("cookies")).unwrap();
    let session = cookies.split_whitespace().next_back().unwrap();
    let host = desk.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    // Half a package; the other half never comes.
    let head = format!(
        "POST /api/v1/packages HTTP/1.1\r\nHost: {host}\r\nCookie: __Host-mira={session}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 1000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[b'x'; 100_000]).unwrap();
    let packages = house.home.mira_home().join("packages");
    let deadline = Instant::now() + PATIENCE;
    let until = |count| {
        while uploads(&packages) != count {
            assert!(Instant::now() < deadline, "{count} uploads");
            std::thread::yield_now();
        }
    };
    until(1);
    // Killed, as by the machine's end.
    drop(desk);
    assert_eq!(uploads(&packages), 1);
    let again = serve(&house);
    until(0);
    assert_eq!(again.end(), Some(0));
}
