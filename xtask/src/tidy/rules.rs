//! Rules that look at one file: its header, its words, its exposed secrets, traces of somebody's machine.

use super::{Finding, Source};

/// Words that code must not hold in some places.
struct Ban {
    words: &'static [&'static str],
    /// Path prefixes where they are allowed.
    allowed: &'static [&'static str],
    /// Whether test code may hold them.
    allowed_in_tests: bool,
    mend: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        words: &["todo!", "unimplemented!"],
        allowed: &[],
        allowed_in_tests: false,
        mend: "finish it, or take it out until it is",
    },
    Ban {
        words: &["#[ignore"],
        allowed: &[],
        allowed_in_tests: false,
        mend: "a test that does not run proves nothing: make it hermetic, or delete it",
    },
    Ban {
        words: &["thread::sleep", "time::sleep", "sleep_ms("],
        allowed: &[],
        allowed_in_tests: false,
        mend: "wait for the event itself (poll, a channel, a byte on a pipe), not for time to pass",
    },
    Ban {
        words: &["Command::new"],
        // A room's helper is started by the room, with no environment at all.
        allowed: &[
            "crates/mira-host/",
            "crates/mira-run/",
            "crates/mira-sandbox/",
            "xtask/",
        ],
        allowed_in_tests: true,
        mend: "only mira-run and mira-host start processes, so that each child's environment is decided in one place",
    },
    Ban {
        words: &["env::var", "env::set_var", "env::remove_var"],
        // Keyrings are found by variables that the session sets, as their own libraries do it.
        allowed: &[
            "apps/",
            "crates/mira-cli/",
            "crates/mira-vault/src/os/",
            "xtask/",
        ],
        allowed_in_tests: true,
        mend: "only surfaces read the environment: take the value as a parameter",
    },
    Ban {
        words: &["fs::write(", "File::create("],
        allowed: &["xtask/"],
        allowed_in_tests: true,
        mend: "state is written to a new file, synced and renamed: use the vault's writer",
    },
];

/// Each file says at its top what it is.
pub(super) fn header(source: &Source) -> Option<Finding> {
    let first = source.lines().next().unwrap_or_default();
    (!first.starts_with("//! ")).then(|| {
        Finding::at_line(
            source.path(),
            0,
            "begin the file with `//! `: what it is, what it is not, which invariant it keeps",
        )
    })
}

/// Words that are banned where they stand.
pub(super) fn words(source: &Source) -> Vec<Finding> {
    let bans: Vec<&Ban> = BANS
        .iter()
        .filter(|ban| {
            !ban.allowed
                .iter()
                .any(|prefix| source.path().starts_with(prefix))
        })
        .collect();
    let mut findings = Vec::new();
    for (index, code, test) in source.code() {
        for ban in bans.iter().filter(|ban| !(test && ban.allowed_in_tests)) {
            if let Some(word) = ban.words.iter().find(|word| code.contains(**word)) {
                let text = format!("`{word}`: {}", ban.mend);
                findings.push(Finding::at_line(source.path(), index, text));
            }
        }
    }
    findings
}

/// The most lines between an `// EXPOSE:` comment and the call that it explains.
const EXPOSE_LINES_MAX: usize = 8;

/// Returns how many calls expose a secret outside of tests, and those that no `// EXPOSE:` comment explains.
pub(super) fn exposures(source: &Source) -> (usize, Vec<Finding>) {
    let lines: Vec<&str> = source.lines().collect();
    let mut calls = 0;
    let mut findings = Vec::new();
    for (index, code, test) in source.code() {
        if test || !code.contains(".expose()") {
            continue;
        }
        calls += 1;
        let explained = lines
            .iter()
            .take(index)
            .rev()
            .take(EXPOSE_LINES_MAX)
            .take_while(|line| !line.trim().is_empty())
            .any(|line| line.trim_start().starts_with("// EXPOSE: "));
        if !explained {
            findings.push(Finding::at_line(
                source.path(),
                index,
                "`.expose()`: say just above, in a line `// EXPOSE: ...`, to whom the secret goes and why",
            ));
        }
    }
    (calls, findings)
}

/// Paths and hosts of somebody's machine. Written in two pieces, so that this file is not a finding.
const TRACES: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/tmp/", "bash"),
    concat!("arti", "factory"),
    concat!("index.", "crates.io"),
    concat!("registry.", "npmjs"),
    concat!("files.", "pythonhosted"),
];

/// Words of one machine, which mean nothing on another.
pub(super) fn machine_traces(file: &str, text: &str) -> Vec<Finding> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let trace = TRACES.iter().find(|trace| line.contains(**trace))?;
            let text = format!("`{trace}` belongs to one machine: take it out");
            Some(Finding::at_line(file, index, text))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(path.to_owned(), text.to_owned())
    }

    #[test]
    fn a_file_begins_with_its_doc() {
        assert!(header(&source("a.rs", "//! It is.\n")).is_none());
        assert!(header(&source("a.rs", "\n//! It is.\n")).is_some());
        assert!(header(&source("a.rs", "//!\n")).is_some());
        assert!(header(&source("a.rs", "")).is_some());
    }

    #[test]
    fn banned_words_are_found_where_they_are_banned() {
        let check = |path: &str, text: &str, lines: &[&str]| {
            let places: Vec<String> = words(&source(path, text))
                .into_iter()
                .map(|finding| finding.place)
                .collect();
            assert_eq!(places, lines, "{path}: {text}");
        };
        let library = "crates/mira-vault/src/lib.rs";
        check(
            library,
            "f();\ntodo!()",
            &["crates/mira-vault/src/lib.rs:2"],
        );
        check(library, "// todo!()\nf(\"todo!()\")", &[]);
        check(
            library,
            "Command::new(x)",
            &["crates/mira-vault/src/lib.rs:1"],
        );
        check("crates/mira-host/src/run.rs", "Command::new(x)", &[]);
        check("crates/mira-vault/tests/it/main.rs", "Command::new(x)", &[]);
        check(
            "crates/mira-vault/tests/it/main.rs",
            "thread::sleep(x)",
            &["crates/mira-vault/tests/it/main.rs:1"],
        );
        check(
            library,
            "env::var_os(x)",
            &["crates/mira-vault/src/lib.rs:1"],
        );
        check("crates/mira-cli/src/main.rs", "env::var_os(x)", &[]);
        check(library, "#[cfg(test)]\nmod t {\n    fs::write(x)\n}", &[]);
    }

    #[test]
    fn exposures_are_counted_and_explained() {
        let check = |text: &str, calls: usize, unexplained: usize| {
            let (counted, findings) = exposures(&source("crates/a/src/lib.rs", text));
            assert_eq!((counted, findings.len()), (calls, unexplained), "{text}");
        };
        check("// EXPOSE: to the cipher.\nseal(key.expose())", 1, 0);
        check("seal(key.expose())", 1, 1);
        check("// EXPOSE: to the cipher.\n\nseal(key.expose())", 1, 1);
        check("// EXPOSE: x\na\na\na\na\na\na\na\na\nkey.expose()", 1, 1);
        check("#[cfg(test)]\nmod t {\n    key.expose();\n}", 0, 0);
    }

    #[test]
    fn traces_of_a_machine_are_found() {
        let line = format!("see {}x", concat!("/ro", "ot/"));
        assert_eq!(machine_traces("a.md", &line).len(), 1);
        assert_eq!(machine_traces("a.md", "see ~/x").len(), 0);
    }
}
