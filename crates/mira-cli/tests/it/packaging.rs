//! Apps on their way to a file and out of it: begun, checked, packed, signed, sealed, looked at.

mod apps;
mod guesses;
mod keys;
mod leaks;
mod packing;
mod sealing;
mod trust;

use std::fs;
use std::path::{Path, PathBuf};

use mira_testkit::home::{Run, TestHome};
use serde_json::Value;

use crate::support::mira;

const PASSWORD: &str = "correct horse battery";

/// The folder that commands run in.
fn folder(home: &TestHome) -> PathBuf {
    home.path().join("home")
}

/// Writes a file into the folder that commands run in.
fn write(home: &TestHome, path: &str, text: &str) {
    let path = folder(home).join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(home: &TestHome, path: &str) -> Vec<u8> {
    fs::read(folder(home).join(path)).unwrap()
}

/// Makes a home with the app `app`, which declares two secrets, and a file `pw` with a password.
fn home_with_app() -> TestHome {
    let home = TestHome::new();
    write(&home, "pw", PASSWORD);
    write(&home, "app/main.py", "print('hello')\n");
    write(
        &home,
        "app/mira.yaml",
        "kind: mira.app/v1\n\
         id: org.example.app\n\
         name: App\n\
         version: 1.2.3\n\
         services:\n\
         \x20 - {name: web, command: [python3, main.py], ports: [{name: http, prefer: 8080, open: true}]}\n\
         secrets:\n\
         \x20 - {name: API_KEY, required: true, howToObtain: Ask.}\n\
         \x20 - {name: TOKEN, deliver: file}\n\
         network: {allow: [api.example.org]}\n\
         state: {volumes: [{name: data}]}\n",
    );
    home
}

fn ok(home: &TestHome, args: &[&str]) -> Run {
    mira(home, args).run().assert_code(0)
}

fn json(run: &Run) -> Value {
    serde_json::from_slice(&run.stdout).unwrap()
}

#[track_caller]
fn says(run: &Run, text: &str) {
    let told = format!("{}{}", run.stdout_text(), run.stderr_text());
    assert!(told.contains(text), "{text:?} is not said: {run:?}");
}

/// Makes an unprotected key pair `NAME.key` and `NAME.pub`; returns the public key.
fn key(home: &TestHome, name: &str) -> String {
    let made = ok(
        home,
        &["keygen", "--no-password", "-o", &format!("{name}.key")],
    );
    made.stdout_text().trim().to_owned()
}

/// Puts a publisher's key into the app's manifest.
fn name_publisher(home: &TestHome, key: &str) {
    let path = folder(home).join("app/mira.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.lines().filter(|line| !line.starts_with("publisher:"));
    let text: Vec<&str> = text.collect();
    let publisher = format!("publisher: {{name: Somebody, key: \"{key}\"}}");
    fs::write(&path, format!("{}\n{publisher}\n", text.join("\n"))).unwrap();
}

/// Returns the names of what is in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
