//! What servers share is backed up from either database, and comes back into either.

use std::fs;

use mira_testkit::home::TestHome;
use mira_testkit::postgres::Postgres;
use serde_json::Value;

use super::{empty, key};
use crate::apps::house::House;

fn house(server: Option<&Postgres>) -> House {
    let mut home = TestHome::new();
    if let Some(server) = server {
        home.set("DATABASE_URL", server.url("postgres"));
    }
    House::without_vault(home)
}

fn add(house: &House, args: &[&str]) {
    let words = [&["user", "add", "--stdin"], args].concat();
    let run = house.mira(&words).stdin_bytes("four-words-nobody-guesses");
    run.run().assert_code(0);
}

fn users(house: &House) -> Value {
    house.json(&["user", "list", "--json"], 0)
}

#[test]
fn users_of_either_database_come_back_into_either() {
    let (one, two) = (Postgres::start(), Postgres::start());
    for (from, to) in [
        (Some(&one), None),
        (None, Some(&two)),
        (Some(&one), Some(&two)),
    ] {
        let source = house(from);
        if users(&source).as_array().unwrap().is_empty() {
            add(&source, &["ada", "--role", "admin"]);
            add(&source, &["bo"]);
            source.run(&["user", "disable", "bo"], 0);
        }
        let (identity, recipient) = key(&source.home);
        let file = source.home.path().join("backup.age");
        let file = file.to_str().unwrap();
        source.run(&["backup", "--recipient", &recipient, file], 0);
        if let Some(to) = to {
            // What an earlier round left there.
            to.sql(
                "postgres",
                "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
            );
        }
        let target = house(to);
        target.run(&["restore", "--identity", &identity, file], 0);
        assert_eq!(users(&target), users(&source));
        assert_eq!(users(&target)[1]["disabled"], true);
        // The audit came along, and goes on.
        if let Some(to) = to {
            let rows = to.sql(
                "postgres",
                "SELECT action FROM audit ORDER BY time_ms, audit_id",
            );
            let first = rows.lines().next().unwrap();
            assert_eq!(first, "user.create", "{rows}");
            assert_eq!(rows.lines().next_back(), Some("backup.restore"), "{rows}");
        }
    }
}

#[test]
fn a_database_that_is_used_is_not_written_over() {
    let server = Postgres::start();
    let source = house(Some(&server));
    add(&source, &["ada", "--role", "admin"]);
    let (identity, recipient) = key(&source.home);
    let file = source.home.path().join("backup.age");
    let file = file.to_str().unwrap();
    source.run(&["backup", "--recipient", &recipient, file], 0);
    let target = house(Some(&server));
    let refused = target.run(&["restore", "--identity", &identity, file], 1);
    assert!(
        refused.stderr_text().contains("not written over"),
        "{refused:?}"
    );
    assert_eq!(fs::read_dir(target.home.mira_home()).unwrap().count(), 0);
    assert_eq!(users(&source).as_array().unwrap().len(), 1);
    // What the home itself has is another matter.
    empty().run(&["restore", "--identity", &identity, file], 0);
}
