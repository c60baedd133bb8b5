//! Manifests, good and bad: each file of `tests/data/manifest`, and any bytes.
//!
//! A good file is accepted. A bad file has all its faults beside
//! it, in a `.txt`; `MIRA_BLESS=1` writes those.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mira_package::manifest::{
    Access, Delivery, Manifest, ManifestError, Probe, Reference, Restart, Service, Signal, State,
};
use proptest::prelude::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/manifest");

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(Path::new(DATA).join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(files.len() > 2, "{folder}");
    files
}

fn good(name: &str) -> Manifest {
    let path = Path::new(DATA).join("good").join(name);
    Manifest::parse_bytes(&std::fs::read(path).unwrap()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn good_files_are_accepted() {
    for path in files("good") {
        let read = Manifest::parse_bytes(&std::fs::read(&path).unwrap());
        assert!(read.is_ok(), "{}:\n{}", path.display(), read.unwrap_err());
    }
}

#[test]
fn bad_files_have_their_faults_beside_them() {
    let bless = std::env::var_os("MIRA_BLESS").is_some();
    let mut wrong = String::new();
    for path in files("bad") {
        let error = Manifest::parse_bytes(&std::fs::read(&path).unwrap())
            .err()
            .unwrap_or_else(|| panic!("{} was accepted", path.display()));
        let found = format!("{error}\n");
        let beside = path.with_extension("txt");
        if bless {
            std::fs::write(&beside, &found).unwrap();
        }
        if std::fs::read_to_string(&beside).unwrap_or_default() != found {
            wrong += &format!("== {}\n{found}", path.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_good_file_becomes_types() {
    let app = good("full.yaml");
    assert_eq!(app.id.as_str(), "org.example.readlater");
    assert_eq!(app.id.last_part(), "readlater");
    assert_eq!(
        app.version,
        semver::Version::parse("1.2.0-beta.1+7").unwrap()
    );
    let names = |services: Vec<&Service>| -> Vec<String> {
        services
            .iter()
            .map(|service| service.name.to_string())
            .collect()
    };
    assert_eq!(
        names(app.services.iter().collect()),
        ["web", "worker", "redis"]
    );
    assert_eq!(names(app.start_order()), ["redis", "worker", "web"]);

    let web = app.service("web").unwrap();
    assert_eq!(
        (web.restart, web.stop_signal),
        (Restart::Always, Signal::Int)
    );
    assert_eq!(web.stop_grace, Duration::from_secs(30));
    assert_eq!(web.ports[0].prefer, Some(8080));
    assert!(web.ports[0].open && !web.ports[1].open);
    let health = web.health.as_ref().unwrap();
    assert_eq!(health.interval, Duration::from_millis(500));
    assert_eq!(
        health.probe,
        Probe::Http {
            path: "/healthz".to_owned(),
            port: "http".parse().unwrap()
        }
    );
    let worker = app.service("worker").unwrap();
    assert_eq!(
        (worker.restart, worker.stop_signal),
        (Restart::Never, Signal::Term)
    );
    let health = worker.health.as_ref().unwrap();
    assert_eq!(
        (health.retries, health.start_period),
        (3, Duration::from_secs(30))
    );
    let redis = app.service("redis").unwrap();
    assert_eq!(
        redis.health.as_ref().unwrap().probe,
        Probe::Tcp {
            port: "redis".parse().unwrap()
        }
    );

    let secrets = |service: &str| -> Vec<&str> {
        let name = service.parse().unwrap();
        app.secrets_of(&name)
            .map(|secret| secret.name.as_str())
            .collect()
    };
    assert_eq!(secrets("web"), ["TLS_KEY", "GITHUB_TOKEN"]);
    assert_eq!(secrets("worker"), ["OPENAI_API_KEY", "GITHUB_TOKEN"]);
    assert_eq!(secrets("redis"), ["GITHUB_TOKEN"]);
    let required: Vec<&str> = app
        .required_secrets()
        .map(|secret| secret.name.as_str())
        .collect();
    assert_eq!(required, ["OPENAI_API_KEY"]);
    assert_eq!(app.secrets[1].deliver, Delivery::File);
    assert!(app.secrets[2].hosts[1].matches("raw.githubusercontent.com", 443));
    assert_eq!(
        app.secrets[2].query,
        ["access_token".into(), "x-key.~1".into()]
    );

    assert_eq!(app.settings[1].default, "");
    assert_eq!(app.state.volumes.len(), 2);
    assert_eq!(app.state.autosave, Some(Duration::from_secs(3600)));
    assert_eq!(app.state.retention.unwrap().daily, 7);
    assert_eq!(app.network.len(), 5);
    assert!(app.network[4].matches("anybody.example.org", 80));
    assert_eq!(
        (
            app.webhooks[0].to.service.as_str(),
            app.webhooks[0].to.path.as_str()
        ),
        ("web", "/hooks/github")
    );
    assert_eq!(app.github["pull_requests"], Access::Write);

    let smallest = good("smallest.yaml");
    assert_eq!(smallest.services[0].restart, Restart::OnFailure);
    assert_eq!(smallest.services[0].stop_grace, Duration::from_secs(10));
    assert_eq!(smallest.state, State::default());
    assert_eq!(good("windows.yaml").name, "Größe é");
}

#[test]
fn references_are_rendered() {
    let app = good("full.yaml");
    let resolve = |reference: &Reference| match reference {
        Reference::Port { service, port } => format!("<{service}/{port}>"),
        Reference::Volume(name) => format!("<{name}>"),
        Reference::Package => "<package>".to_owned(),
        Reference::Setting(name) => format!("<{name}>"),
        _ => unreachable!(),
    };
    let web = app.service("web").unwrap();
    let command: Vec<String> = web
        .command
        .iter()
        .map(|word| word.render(&resolve))
        .collect();
    assert_eq!(
        command,
        [
            "python3",
            "web.py",
            "--queue=redis://127.0.0.1:<redis/redis>"
        ]
    );
    let env: Vec<(&str, String)> = web
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.render(&resolve)))
        .collect();
    let expect = [
        ("BASE", "<OPENAI_BASE_URL>"),
        ("DATA", "<data>"),
        ("PORT", "<web/http>"),
        ("PRICE", "5 $"),
        ("STATIC", "<package>/static"),
    ];
    assert_eq!(env, expect.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn the_start_order_is_the_files_where_dependencies_leave_a_choice() {
    let check = |services: &[(&str, &[&str])], expect: &[&str]| {
        let mut text =
            "kind: mira.app/v1\nid: org.example.app\nname: App\nversion: 1.0.0\nservices:\n"
                .to_owned();
        for (name, needs) in services {
            text += &format!(
                "  - {{name: {name}, command: [x], dependsOn: [{}]}}\n",
                needs.join(", ")
            );
        }
        let app = Manifest::parse(&text).unwrap();
        let order: Vec<&str> = app
            .start_order()
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        assert_eq!(order, expect);
    };
    check(&[("c", &[]), ("a", &[]), ("b", &[])], &["c", "a", "b"]);
    check(&[("c", &["b"]), ("a", &[]), ("b", &[])], &["a", "b", "c"]);
    check(
        &[("d", &["b", "c"]), ("b", &["a"]), ("c", &["a"]), ("a", &[])],
        &["a", "b", "c", "d"],
    );
}

#[test]
fn faults_are_shown_as_lines_and_as_json() {
    let error = Manifest::parse("kind: mira.app/v1\nidd: x\n").unwrap_err();
    let fault = &error.faults()[4];
    assert_eq!(
        fault.to_string(),
        "mira.yaml:2:1: the key `idd` is not known; did you mean `id`?"
    );
    assert_eq!(
        fault.in_file("app/mira.yaml").to_string(),
        "app/mira.yaml:2:1: the key `idd` is not known; did you mean `id`?"
    );
    assert_eq!(
        serde_json::to_string(fault).unwrap(),
        r#"{"line":2,"column":1,"path":"","message":"the key `idd` is not known","suggestion":"did you mean `id`?"}"#
    );
}

/// Every line of a manifest, and words that are likely to be wrong somewhere.
fn pieces() -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(DATA).join("good/full.yaml")).unwrap();
    let lines = text.lines().map(|line| format!("{line}\n"));
    let words = [
        "\t",
        "\r",
        "- ",
        "? ",
        ": ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a ",
        "!!str ",
        "|\n",
        ">-\n",
        "---\n",
        "...\n",
        "\"",
        "'",
        "#",
        "%TAG ! x\n",
        "\u{feff}",
        "\u{2028}",
        "\u{85}",
        "é",
        "\0",
        "null",
        "no",
        "1e999",
        "${",
        "$",
        "${port:",
        "a/b",
        "..",
        "  ",
    ];
    lines.chain(words.map(str::to_owned)).collect()
}

/// The faults lie in the text: a line that is there, a column that is in it or just behind it.
fn spans_lie_in(text: &str, error: &ManifestError) {
    let text = text.replace("\r\n", "\n");
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    assert!(!error.faults().is_empty());
    for fault in error.faults() {
        let line = lines
            .get(fault.line - 1)
            .unwrap_or_else(|| panic!("{fault}\n{text:?}"));
        let width = line.chars().count();
        assert!(
            fault.column >= 1 && fault.column <= width + 1,
            "{fault}\n{text:?}"
        );
        let shown = fault.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = Manifest::parse_bytes(&bytes) {
            spans_lie_in(&String::from_utf8_lossy(&bytes), &error);
        }
    }

    #[test]
    fn any_lines_are_refused_or_read(
        chosen in proptest::collection::vec(proptest::sample::select(pieces()), 0..60),
    ) {
        let text = chosen.concat();
        if let Err(error) = Manifest::parse(&text) {
            spans_lie_in(&text, &error);
        }
    }

    #[test]
    fn a_file_with_one_change_is_refused_or_read(
        at in 0usize..4000,
        len in 0usize..40,
        piece in proptest::sample::select(pieces()),
    ) {
        let text = std::fs::read_to_string(Path::new(DATA).join("good/full.yaml")).unwrap();
        let mut characters: Vec<char> = text.chars().collect();
        let from = at.min(characters.len());
        let to = (from + len).min(characters.len());
        characters.splice(from..to, piece.chars());
        let text: String = characters.into_iter().collect();
        match Manifest::parse(&text) {
            Err(error) => spans_lie_in(&text, &error),
            Ok(app) => prop_assert_eq!(app.start_order().len(), app.services.len()),
        }
    }
}
