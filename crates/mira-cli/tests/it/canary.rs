//! The canary sweep: after a whole session no value stands anywhere, in any spelling.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::process::Command;

use mira_testkit::canary::{Canary, Findings, Sweep};
use mira_testkit::home::{Run, TestHome};

use crate::support::{MIRA, keyfile_home, mira};

/// Prints every variable of the environment in many spellings, on both streams.
const CHATTY: &str = r#"
for name in $(env -0 | tr '\0\n' '\n ' | sed -n 's/^\([A-Z_]*\)=.*/\1/p'); do
    case $name in PATH|HOME|XDG_*|TMPDIR|LANG|TERM|MIRA_HOME|PWD|SHLVL|OLDPWD|_) continue;; esac
    value=$(eval "printf '%s_' \"\$$name\""); value=${value%_}
    printf 'raw %s\n' "$value"
    printf 'error %s\n' "$value" >&2
    printf '%s' "$value" | base64
    printf '%s' "$value" | base64 -w0
    printf 'Basic %s' "$(printf 'user:%s' "$value" | base64 -w0)"
    printf 'x%s' "$value" | base64 -w0 | tr '+/' '-_'; echo
    printf '%s' "$value" | od -An -v -tx1 | tr -d ' \n'; echo
    printf '%s' "$value" | od -An -v -tx1 | tr -d ' \n' | tr a-f A-F; echo
    printf '%s' "$value" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%'; echo
    printf 'half'; printf '%s' "$value" >&2
done
"#;

fn save(home: &TestHome, canary: &Canary, with: &[u8]) -> Run {
    let args = [
        "set",
        canary.name(),
        "--stdin",
        "--replace",
        "--label",
        "A canary",
    ];
    mira(home, &args).stdin_bytes(with).run().assert_code(0)
}

fn captured(sweep: &Sweep, what: &str, run: &Run) -> Findings {
    sweep
        .bytes(&format!("stdout of {what}"), &run.stdout)
        .and(sweep.bytes(&format!("stderr of {what}"), &run.stderr))
}

/// Those canaries that an environment variable can carry.
fn saved_canaries() -> Vec<Canary> {
    let mut canaries = Canary::generate();
    canaries.retain(|canary| !canary.value().contains(&0));
    canaries
}

#[test]
fn a_whole_session_leaves_no_value_anywhere() {
    let home = keyfile_home();
    let canaries = saved_canaries();
    let sweep = Sweep::new(&canaries);
    for canary in &canaries {
        let saved = save(&home, canary, b"a-first-value-to-rotate-away");
        captured(&sweep, "set", &saved).assert_clean();
        let with_newline = [canary.value(), b"\n"].concat();
        captured(&sweep, "rotation", &save(&home, canary, &with_newline)).assert_clean();
    }
    for args in [
        &["list"] as &[&str],
        &["list", "--json"],
        &["doctor"],
        &["explain", "DATABASE_URL"],
        &["run", "--", "sh", "-c", "env"],
        &["run", "--", "sh", "-c", CHATTY],
        &["run", "--", "sh", "-c", "env >&2; exit 3"],
    ] {
        let run = mira(&home, args).run();
        captured(&sweep, &format!("{args:?}"), &run).assert_clean();
        if args.contains(&CHATTY) {
            let said = run.stdout_text();
            for canary in &canaries {
                let marker = format!("[redacted:{}]", canary.name());
                assert!(
                    said.matches(&marker).count() >= 6,
                    "{}: {said}",
                    canary.name()
                );
            }
        }
    }
    sweep.folder(home.path()).assert_clean();

    let names: Vec<_> = canaries.iter().map(Canary::name).collect();
    let removed = mira(&home, &[&["rm", "--yes"], &names[..]].concat())
        .run()
        .assert_code(0);
    captured(&sweep, "rm", &removed).assert_clean();
    sweep.folder(home.path()).assert_clean();
}

#[test]
fn a_crash_leaves_no_core_file_with_a_value() {
    let home = keyfile_home();
    let canaries = saved_canaries();
    let sweep = Sweep::new(&canaries);
    for canary in &canaries {
        save(&home, canary, canary.value());
    }
    // The program crashes; then `mira` itself, while it holds every value.
    for victim in ["$$", "$PPID"] {
        let script = format!(
            "ulimit -c $(ulimit -H -c); exec {MIRA} run -- sh -c 'kill -ABRT {victim}; read never'"
        );
        let crashed = home.mira("sh").args(["-c", &script]).run();
        let signal = std::os::unix::process::ExitStatusExt::signal(&crashed.status);
        assert_eq!(signal, Some(6), "{victim}: {crashed:?}");
        captured(&sweep, victim, &crashed).assert_clean();
        sweep.folder(home.path()).assert_clean();
    }
}

#[test]
fn only_the_program_itself_has_the_value_while_it_runs() {
    let home = keyfile_home();
    let canaries = saved_canaries();
    let sweep = Sweep::new(&canaries);
    for canary in &canaries {
        save(&home, canary, canary.value());
    }
    let (ready, go) = (fifo(&home, "ready"), fifo(&home, "go"));
    let script = format!("echo $$ > {ready}; read line < {go}");
    std::thread::scope(|scope| {
        let home = &home;
        let running = scope.spawn(move || mira(home, &["run", "--", "sh", "-c", &script]).run());
        // Opening a pipe for reading waits until the program writes to it.
        let pid: u32 = fs::read_to_string(&ready).unwrap().trim().parse().unwrap();
        let others = sweep.processes(&[pid]);
        let all = sweep.processes(&[]);
        fs::write(&go, "go\n").unwrap();
        running.join().unwrap().assert_code(0);
        others.assert_clean();
        // The sweep sees what it looks for: without the exemption the program's environment is found.
        assert!(!all.is_clean());
    });
}

fn fifo(home: &TestHome, name: &str) -> String {
    let path = home.path().join(name);
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
    path.to_str().unwrap().to_owned()
}
