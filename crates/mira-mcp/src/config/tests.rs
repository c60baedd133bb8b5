//! Each client's file, in its own format: handed over, and taken back.

use super::*;
use crate::definition::{Kind, Origin, Program, Remote, ServerName, Source, header_secret};
use crate::suspect::is_secret;

const VALUES: [(&str, &str); 3] = [
    ("@SECRET1@", "sk-proj-7Fq2mXv9LrT4bWc8ZnYd"),
    ("@SECRET2@", "hunter2-7Fq2mXv9"),
    ("@SECRET3@", "figd_7Fq2mXv9LrT4bWc8ZnYd"),
];

/// Names with their values.
type Pairs = Vec<(String, String)>;

/// A folder with a client's file in it, the secrets filled in.
fn file(name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    let mut text = std::fs::read_to_string(data).unwrap();
    for (mark, value) in VALUES {
        text = text.replace(mark, value);
    }
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Returns what a definition of an entry is, all that looks like a secret being one, and what leaves the file.
fn taken(entry: &Entry) -> Option<(Kind, Vec<String>, Pairs)> {
    let mut names = Vec::new();
    let mut secrets = Vec::new();
    let mut take = |name: &str, value: &str| {
        names.push(name.to_owned());
        secrets.push((name.to_owned(), value.to_owned()));
    };
    let kind = match &entry.what {
        What::Program { command, args, env } => {
            let mut program = Program {
                command: command.clone(),
                args: args.clone(),
                ..Program::default()
            };
            for (name, value) in env {
                let value = value.as_deref().unwrap();
                if is_secret(name, value) {
                    take(name, value);
                    program.secrets.insert(name.parse().unwrap(), Origin::Own);
                }
            }
            Kind::Program(program)
        }
        What::Remote { url, headers } => {
            let mut remote = Remote {
                url: url.clone(),
                transport: crate::definition::Transport::Auto,
                headers: Default::default(),
                secret_headers: Default::default(),
            };
            for (name, value) in headers {
                let value = value.as_deref().unwrap();
                match is_secret(name, value) {
                    true => {
                        take(name, value);
                        let secret = header_secret(name).unwrap();
                        remote.secret_headers.insert(name.clone(), secret);
                    }
                    false => drop(remote.headers.insert(name.clone(), value.to_owned())),
                }
            }
            Kind::Remote(remote)
        }
        _ => return None,
    };
    (!secrets.is_empty()).then_some((kind, names, secrets))
}

/// Hands over every server with a secret; returns the new text and whether taking all back gives the old values again.
#[track_caller]
fn check(name: &str, expect: &str) {
    let (_folder, path) = file(name);
    let mut config = Config::read(&path).unwrap();
    let mut moved = Vec::new();
    let before: Vec<_> = config.entries();
    for entry in &before {
        let Some((kind, names, secrets)) = taken(entry) else {
            continue;
        };
        let server = ServerName::from_key(entry.key());
        let with = Handover {
            mira: "/usr/bin/mira",
            name: &server,
            home: None,
            taken: &names,
        };
        config.hand_over(entry, &with);
        moved.push((entry, kind, secrets));
    }
    let text = config.texts().0;
    for (_, value) in VALUES {
        assert!(!text.contains(value), "{text}");
    }
    assert_eq!(text, expect, "{text}");

    let written = config.texts().0;
    replace(&path, config.texts().1, &written).unwrap();
    let mut config = Config::read(&path).unwrap();
    for (entry, kind, secrets) in &moved {
        let now = config.entry(&entry.at).unwrap();
        assert!(matches!(now.what, What::Mira(_)), "{:?}", entry.at);
        let source = Source {
            file: path.clone(),
            at: entry.at.clone(),
            kind: entry.kind.clone(),
            names: entry.names.clone(),
        };
        let value = |wanted: &str| {
            let found = secrets.iter().find(|(name, _)| name == wanted);
            found.unwrap().1.as_str()
        };
        config.take_back(&source, kind, &value);
    }
    let sorted = |mut entries: Vec<Entry>| {
        for entry in &mut entries {
            match &mut entry.what {
                What::Program { env: pairs, .. } | What::Remote { headers: pairs, .. } => {
                    pairs.sort()
                }
                _ => {}
            }
        }
        entries
    };
    assert!(
        sorted(config.entries()) == sorted(before),
        "{}",
        config.texts().0
    );
}

#[test]
fn claude_desktop() {
    check(
        "claude_desktop_config.json",
        include_str!("../../tests/data/after/claude_desktop_config.json"),
    );
}

#[test]
fn claude_code_with_servers_of_the_person_and_of_projects() {
    check(
        ".claude.json",
        include_str!("../../tests/data/after/.claude.json"),
    );
}

#[test]
fn cursor() {
    check(
        ".cursor/mcp.json",
        include_str!("../../tests/data/after/cursor.json"),
    );
}

#[test]
fn vs_code_with_comments_inputs_and_trailing_commas() {
    check(
        "vscode.json",
        include_str!("../../tests/data/after/vscode.json"),
    );
}

#[test]
fn windsurf_with_its_own_name_for_a_url() {
    check(
        "windsurf/mcp_config.json",
        include_str!("../../tests/data/after/windsurf.json"),
    );
}

#[test]
fn zed_in_both_of_its_forms() {
    check("zed.json", include_str!("../../tests/data/after/zed.json"));
}

#[test]
fn codex() {
    check(
        "codex.toml",
        include_str!("../../tests/data/after/codex.toml"),
    );
}

#[test]
fn a_file_keeps_its_mode_and_is_not_replaced_where_it_should_not_be() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = file("codex.toml");
    let set_mode =
        |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let old = std::fs::read_to_string(&path).unwrap();
    set_mode(0o640);
    replace(&path, &old, "model = 1\n").unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );

    let error = replace(&path, &old, "model = 2\n").unwrap_err();
    assert!(matches!(error, ConfigError::Changed { .. }), "{error}");
    set_mode(0o440);
    let error = replace(&path, "model = 1\n", "model = 2\n").unwrap_err();
    assert!(matches!(error, ConfigError::ReadOnly { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "model = 1\n");

    let link = folder.path().join("link.toml");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = Config::read(&link).unwrap_err();
    assert!(
        error.to_string().contains("codex.toml; name that file"),
        "{error}"
    );
    // Nothing is left beside it.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn an_error_names_the_place_and_nothing_of_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, text: &str, line: usize| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let error = Config::read(&path).unwrap_err();
        let told = error.to_string();
        assert!(
            matches!(error, ConfigError::Syntax { line: at, .. } if at == line),
            "{told}"
        );
        assert!(!told.contains("sk-1"), "{told}");
    };
    check("a.json", "{\n  \"a\": \"sk-1\n}", 2);
    check("a.json", "{\n  \"a\": sk-1!\n}", 2);
    check("a.toml", "a = 1\nb = \"sk-1\n", 2);
}
