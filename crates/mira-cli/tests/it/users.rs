//! `mira user`: who may sign in, in the home's database or in the one that `DATABASE_URL` names, and never in another.

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::{Run, TestHome};
use mira_testkit::postgres::{PASSWORD, Postgres};
use serde_json::Value;

use crate::support::mira;

const GOOD: &str = "four-words-nobody-guesses";
const OTHER: &str = "another-four-words-of-mine";

fn add(home: &TestHome, args: &[&str]) -> Run {
    let words = [&["user", "add", "--stdin"], args].concat();
    mira(home, &words).stdin_bytes(GOOD).run()
}

#[track_caller]
fn users(home: &TestHome) -> Vec<Value> {
    let run = mira(home, &["user", "list", "--json"]).run();
    serde_json::from_slice(&run.assert_code(0).stdout).unwrap()
}

#[test]
fn a_user_is_added_listed_changed_and_removed() {
    let home = TestHome::new();
    assert!(users(&home).is_empty());
    add(&home, &["Ada", "--role", "admin"]).assert_code(0);
    let added = add(&home, &["bo"]).assert_code(0);
    assert_eq!(added.stderr_text(), "mira: added bo as viewer\n");
    mira(&home, &["user", "add", "cy@example.org", "--no-password"])
        .run()
        .assert_code(0);
    mira(&home, &["user", "role", "BO", "operator"])
        .run()
        .assert_code(0);
    mira(&home, &["user", "passwd", "bo", "--stdin"])
        .stdin_bytes(format!("{OTHER}\n"))
        .run()
        .assert_code(0);
    let listed = users(&home);
    let facts: Vec<_> = listed
        .iter()
        .map(|user| (&user["name"], &user["role"], &user["password"]))
        .map(|(name, role, password)| format!("{name} {role} {password}"))
        .collect();
    assert_eq!(
        facts,
        [
            r#""ada" "admin" true"#,
            r#""bo" "operator" true"#,
            r#""cy@example.org" "viewer" false"#
        ]
    );
    let shown = mira(&home, &["user", "list"])
        .run()
        .assert_code(0)
        .stdout_text();
    assert!(
        shown.contains("with a password") && shown.contains("elsewhere"),
        "{shown}"
    );
    mira(&home, &["user", "rm", "bo", "cy@example.org", "--yes"])
        .run()
        .assert_code(0);
    assert_eq!(users(&home).len(), 1);

    let canaries = [Canary::new("GOOD", GOOD), Canary::new("OTHER", OTHER)];
    Sweep::new(&canaries)
        .folder(&home.mira_home())
        .assert_clean();
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let home = TestHome::new();
    add(&home, &["ada", "--role", "admin"]).assert_code(0);
    let before = users(&home);
    let refused = |args: &[&str], stdin: &str, code: i32, expect: &str| {
        let words = [&["user"], args].concat();
        let run = mira(&home, &words)
            .stdin_bytes(stdin)
            .run()
            .assert_code(code);
        let told = run.stderr_text();
        assert!(told.contains(expect), "{args:?}: {told}");
        assert!(!told.contains("hunter2") && !told.contains(GOOD), "{told}");
    };
    refused(&["add", "ADA", "--stdin"], GOOD, 2, "already");
    refused(&["add", "bo", "--stdin"], "hunter2", 1, "at least 12");
    refused(
        &["add", "bobby", "--stdin"],
        "Bobby-hunter2-bobby",
        1,
        "name in it",
    );
    refused(
        &["add", "hunter2 with blanks", "--stdin"],
        GOOD,
        2,
        "letters",
    );
    refused(&["add", "bo"], "", 3, "--stdin");
    refused(
        &["add", "bo", "--role", "hunter2", "--stdin"],
        GOOD,
        2,
        "viewer, operator, admin",
    );
    refused(&["role", "bo", "admin"], "", 3, "no such user");
    refused(&["role", "ada", "viewer"], "", 1, "last admin");
    refused(&["passwd", "bo", "--stdin"], GOOD, 3, "no such user");
    refused(&["passwd", "ada", "--stdin"], "", 1, "at least 12");
    refused(&["rm", "ada", "--yes"], "", 1, "last admin");
    refused(&["rm", "ada"], "", 3, "--yes");
    assert_eq!(users(&home), before);
}

#[test]
fn users_of_a_team_are_in_its_postgres_and_nowhere_else() {
    let server = Postgres::start();
    server.sql("postgres", "CREATE DATABASE mira");
    let (mut one, mut two) = (TestHome::new(), TestHome::new());
    one.set("DATABASE_URL", server.url("mira"));
    two.set("DATABASE_URL", server.url("mira"));
    add(&one, &["ada", "--role", "admin"]).assert_code(0);
    assert_eq!(users(&two), users(&one));
    assert!(!one.mira_home().join("mira.db").exists());
    let hash = server.sql("mira", "SELECT password_hash FROM users");
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    let done = server.sql("mira", "SELECT actor, action, subject, outcome FROM audit");
    assert_eq!(done, "local|user.create|ada|ok");
}

#[test]
fn a_database_that_is_not_to_be_used_is_no_reason_for_another() {
    let port = {
        let server = Postgres::start();
        server.port()
    };
    let gone = format!("127.0.0.1:{port}");
    for (url, code, expect) in [
        (
            format!("postgres://tester:{PASSWORD}@{gone}/mira"),
            1,
            &*gone,
        ),
        (
            format!("postgres://tester:{PASSWORD}@db.example.org/mira"),
            2,
            "sslmode",
        ),
        (
            format!("mysql://tester:{PASSWORD}@{gone}/mira"),
            2,
            "postgres://",
        ),
    ] {
        let mut home = TestHome::new();
        home.set("DATABASE_URL", &url);
        let run = add(&home, &["ada"]).assert_code(code);
        let told = run.stderr_text();
        assert!(told.contains(expect) && !told.contains(PASSWORD), "{told}");
        assert!(!home.mira_home().join("mira.db").exists());
    }
}
