//! The app that `mira new` writes: it validates, and it runs with python3 alone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mira_package::manifest::{Delivery, FILE_NAME, Manifest, Reference, template};

fn manifest(name: &str) -> Manifest {
    let files = template(name);
    let (_, text) = files.iter().find(|(path, _)| *path == FILE_NAME).unwrap();
    Manifest::parse(text).unwrap_or_else(|e| panic!("{name:?}:\n{e}\n{text}"))
}

#[test]
fn the_template_validates_whatever_its_name() {
    let check = |name: &str, id: &str, shown: &str| {
        let app = manifest(name);
        assert_eq!(
            (app.id.as_str(), app.name.as_str()),
            (id, shown),
            "{name:?}"
        );
    };
    check("myapp", "org.example.myapp", "myapp");
    check("My App!", "org.example.my-app", "My App!");
    check("no", "org.example.no", "no");
    check("3D", "org.example.d", "3D");
    check("日本", "org.example.app", "日本");
    check("", "org.example.my-app", "My app");
    check(" \n\t", "org.example.my-app", "My app");
    check(
        "a\"b\\c: {{id}} # d",
        "org.example.a-b-c-id-d",
        "a\"b\\c: {{id}} # d",
    );
    check("\"{{name}}", "org.example.name", "\"{{name}}");
    check("\u{1b}[31mred\u{202e}", "org.example.mred", "[31mred");
    let long = "x".repeat(500);
    check(
        &long,
        &format!("org.example.{}", "x".repeat(31)),
        &"x".repeat(60),
    );
}

#[test]
fn the_template_asks_for_one_optional_secret() {
    let app = manifest("myapp");
    let secrets: Vec<_> = app
        .secrets
        .iter()
        .map(|secret| (secret.required, secret.deliver))
        .collect();
    assert_eq!(secrets, [(false, Delivery::Env)]);
    assert_eq!(app.services.len(), 1);
}

/// The app's process; ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts the app as its manifest says, on any free port; returns it and its address.
fn start(folder: &Path, data: &Path, secret: Option<&str>) -> (Running, String) {
    let app = manifest("myapp");
    let service = &app.services[0];
    let resolve = |reference: &Reference| match reference {
        Reference::Port { .. } => "0".to_owned(),
        Reference::Volume(_) => data.to_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    let words: Vec<String> = service
        .command
        .iter()
        .map(|word| word.render(&resolve))
        .collect();
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(
            service
                .env
                .iter()
                .map(|(name, value)| (name, value.render(&resolve))),
        )
        .envs(
            app.settings
                .iter()
                .map(|setting| (&setting.name, &setting.default)),
        )
        .envs(secret.map(|value| (app.secrets[0].name.as_str(), value)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line
        .trim()
        .strip_prefix("listening on http://")
        .unwrap_or_else(|| panic!("{line:?}"));
    (running, address.to_owned())
}

fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_template_runs_with_python_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    for (path, text) in template("myapp") {
        std::fs::write(folder.path().join(path), text).unwrap();
    }
    let (_app, address) = start(folder.path(), data.path(), None);
    let health = ask(&address, "/healthz");
    assert!(health.starts_with("HTTP/1.0 200 "), "{health}");
    assert!(
        health.ends_with(r#"{"ok": true, "secret": false}"#),
        "{health}"
    );
    assert!(ask(&address, "/").contains("<h1>Hello</h1><p>Visit 1. DEMO_API_KEY is not here."));
    assert!(ask(&address, "/no").starts_with("HTTP/1.0 404 "));

    let (_app, address) = start(folder.path(), data.path(), Some("made-up-value"));
    assert!(ask(&address, "/healthz").ends_with(r#"{"ok": true, "secret": true}"#));
    let page = ask(&address, "/");
    assert!(page.contains("Visit 2. DEMO_API_KEY is here."), "{page}");
    assert!(!page.contains("made-up-value"), "{page}");
}
