//! The schema and the parser, held against each other through an independent reader of schemas.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::shape::Shape;
use super::{Manifest, schema, tree};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/manifest");

/// Returns a file as JSON, if all of it fits the schema as this crate reads it.
fn fitted(text: &str) -> Option<Value> {
    let mut faults = Vec::new();
    let tree = tree::read(text, &mut faults).ok()?;
    let mut shape = Shape::default();
    let value = shape.fit(&tree, schema());
    (faults.is_empty() && shape.faults.is_empty()).then_some(value)
}

/// Asks python3-jsonschema whether documents fit the schema.
fn accepted(documents: &[Value]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, value: &Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, value.to_string()).unwrap();
        path
    };
    let schema = write("schema.json", schema());
    let documents = write("documents.json", &Value::from(documents.to_vec()));
    let program = "import json, sys, jsonschema\n\
        schema, documents = (json.load(open(path)) for path in sys.argv[1:])\n\
        jsonschema.Draft202012Validator.check_schema(schema)\n\
        checker = jsonschema.Draft202012Validator(schema)\n\
        print(json.dumps([checker.is_valid(document) for document in documents]))\n";
    let output = Command::new("python3")
        .args(["-c", program])
        .args([schema, documents])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn texts(folder: &str) -> Vec<(String, String)> {
    std::fs::read_dir(Path::new(DATA).join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .filter_map(|path| {
            Some((
                path.display().to_string(),
                std::fs::read_to_string(path).ok()?,
            ))
        })
        .collect()
}

#[test]
fn an_independent_reader_of_the_schema_accepts_what_the_parser_accepts() {
    let mut files = texts("good");
    for name in ["myapp", "Grüße an \"alle\"", "3D", ""] {
        for (path, text) in super::template(name) {
            if path == super::FILE_NAME {
                files.push((format!("the template for {name:?}"), text));
            }
        }
    }
    let documents: Vec<Value> = files
        .iter()
        .map(|(name, text)| fitted(text).unwrap_or_else(|| panic!("{name} does not fit")))
        .collect();
    for ((name, _), accepted) in files.iter().zip(accepted(&documents)) {
        assert!(accepted, "{name}");
    }
}

/// Each line makes one change to a document that is right; the schema alone is enough to see that it is wrong.
#[test]
fn an_independent_reader_of_the_schema_refuses_what_the_parser_refuses() {
    let good = std::fs::read_to_string(Path::new(DATA).join("good/full.yaml")).unwrap();
    let good = fitted(&good).unwrap();
    let changes: &[(&str, &str)] = &[
        ("/kind", r#""mira.app/v2""#),
        ("/id", r#""app""#),
        ("/id", r#""org.Example.app""#),
        ("/name", r#""""#),
        ("/name", "7"),
        ("/version", r#""1.2""#),
        ("/publisher/key", r#""RW""#),
        ("/services", "[]"),
        ("/services/0", r#"{"name": "web"}"#),
        (
            "/services/0",
            r#"{"name": "web", "command": ["x"], "image": "debian"}"#,
        ),
        ("/services/0/name", r#""Web""#),
        ("/services/0/command", "[]"),
        ("/services/0/command", r#""python3 web.py""#),
        ("/services/0/env/PORT", "8080"),
        ("/services/0/ports/0/prefer", "0"),
        ("/services/0/ports/0/prefer", "65536"),
        ("/services/0/ports/0/open", r#""yes""#),
        ("/services/0/health", "{}"),
        ("/services/0/health", r#"{"http": "/", "tcp": "http"}"#),
        ("/services/0/health/interval", r#""1w""#),
        ("/services/0/health/retries", "0"),
        ("/services/0/restart", r#""sometimes""#),
        ("/services/0/restart", "null"),
        ("/services/0/stop/signal", r#""SIGTERM""#),
        ("/secrets/0/name", r#""a-b""#),
        ("/secrets/1/deliver", r#""files""#),
        ("/secrets/0/services", "[]"),
        ("/state/autosave", r#""01h""#),
        ("/state/retention/last", "-1"),
        ("/webhooks/0/source", r#""gitlab""#),
        ("/webhooks/0/events", "[]"),
        ("/github/permissions/contents", r#""reed""#),
        ("/github/permissions", "{}"),
        ("/report", r#"["web/report"]"#),
    ];
    let documents: Vec<Value> = changes
        .iter()
        .map(|(path, value)| {
            let mut document = good.clone();
            *document
                .pointer_mut(path)
                .unwrap_or_else(|| panic!("{path}")) = serde_json::from_str(value).unwrap();
            document
        })
        .collect();
    for (change, (document, accepted)) in changes
        .iter()
        .zip(documents.iter().zip(accepted(&documents)))
    {
        assert!(!accepted, "the schema accepts {change:?}");
        // JSON is YAML.
        assert!(
            Manifest::parse(&document.to_string()).is_err(),
            "the parser accepts {change:?}"
        );
    }
    assert_eq!(accepted(&[good]), [true]);
}

#[test]
fn the_schema_knows_no_null() {
    let text = schema().to_string();
    assert!(!text.contains("null"), "{text}");
}
