//! SQLite databases: whole, checked, and cheap to store again. The app's side is the real `sqlite3` or another connection.

use std::fs;
use std::path::Path;
use std::process::Command;

use mira_snapshot::SnapshotError;
use rusqlite::Connection;

use crate::support::{Fixture, SECRET, contents};

fn sqlite3(database: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3")
        .arg(database)
        .arg(sql)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn make(database: &Path, journal: &str, rows: u32) -> Connection {
    let mut connection = Connection::open(database).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = {journal}; CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)"
        ))
        .unwrap();
    let mut random = fastrand::Rng::with_seed(9);
    let change = connection.transaction().unwrap();
    for _ in 0..rows {
        let text: String = std::iter::repeat_with(|| random.alphanumeric())
            .take(900)
            .collect();
        change
            .execute("INSERT INTO note (text) VALUES (?1)", [text])
            .unwrap();
    }
    change.commit().unwrap();
    connection
}

#[test]
fn a_database_with_a_log_is_copied_with_what_is_in_the_log_while_the_app_writes() {
    let fixture = Fixture::new();
    let path = fixture.data().join("app.db");
    let app = make(&path, "WAL", 2000);
    app.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA wal_autocheckpoint = 0")
        .unwrap();
    app.execute("INSERT INTO note (text) VALUES ('only in the log')", [])
        .unwrap();
    // A change that is not committed is not in the snapshot, and does not hold it up.
    app.execute_batch("BEGIN IMMEDIATE; INSERT INTO note (text) VALUES ('not committed')")
        .unwrap();
    let report = fixture.take().unwrap();
    app.execute_batch("COMMIT").unwrap();
    assert_eq!((report.damaged.len(), report.snapshot.files), (0, 1));
    let listed = fixture.restic_ok(&["ls", report.snapshot.id.as_str()]);
    assert!(!listed.contains("app.db-"), "{listed}");
    drop(app);

    fixture.restore(&report.snapshot.id);
    assert_eq!(sqlite3(&path, "PRAGMA integrity_check").trim(), "ok");
    assert_eq!(sqlite3(&path, "SELECT count(*) FROM note").trim(), "2001");
    let last = sqlite3(&path, "SELECT text FROM note WHERE id = 2001");
    assert_eq!(last.trim(), "only in the log");
}

#[test]
fn an_unchanged_database_is_not_read_again_and_a_changed_one_is() {
    let fixture = Fixture::new();
    let path = fixture.data().join("app.db");
    let app = make(&path, "WAL", 100);
    assert_eq!(fixture.take().unwrap().files_read, 1);
    assert_eq!(fixture.take().unwrap().files_read, 0);
    // This goes to the log only: the database's own file stays as it is.
    app.execute("INSERT INTO note (text) VALUES ('more')", [])
        .unwrap();
    let report = fixture.take().unwrap();
    assert_eq!(report.files_read, 1);
    drop(app);
    fixture.restore(&report.snapshot.id);
    assert_eq!(sqlite3(&path, "SELECT count(*) FROM note").trim(), "101");
}

#[test]
fn little_is_stored_where_little_changed() {
    let fixture = Fixture::new();
    let path = fixture.data().join("app.db");
    drop(make(&path, "DELETE", 40_000));
    let first = fixture.take().unwrap();
    assert!(first.bytes_added > 20 << 20, "{}", first.bytes_added);
    sqlite3(
        &path,
        "UPDATE note SET text = 'x' || substr(text, 2) WHERE id BETWEEN 20000 AND 20400",
    );
    let second = fixture.take().unwrap();
    assert_eq!(second.files_read, 1);
    let (all, more) = (first.bytes_added, second.bytes_added);
    assert!(
        more * 5 < all,
        "{more} of {all} bytes are stored again for 1 % of the rows"
    );
}

#[test]
fn a_transaction_that_a_crash_cut_off_is_not_in_the_snapshot() {
    let fixture = Fixture::new();
    let path = fixture.data().join("app.db");
    drop(make(&path, "DELETE", 3000));
    // A process that dies in the middle of a change leaves its journal behind.
    let script = "PRAGMA cache_size = 2; PRAGMA cache_spill = 1; BEGIN; UPDATE note SET text = 'torn'; \
                  SELECT count(*) FROM note;";
    let mut child = Command::new("sqlite3")
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    {
        use std::io::{BufRead as _, BufReader, Write as _};
        writeln!(child.stdin.as_mut().unwrap(), "{script}").unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.as_mut().unwrap());
        while line.trim() != "3000" {
            line.clear();
            out.read_line(&mut line).unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let journal = fixture.data().join("app.db-journal");
    assert!(
        fs::metadata(&journal).unwrap().len() > 0,
        "the crash left a journal"
    );

    let before = contents(&fixture.data());
    let report = fixture.take().unwrap();
    assert_eq!(
        contents(&fixture.data()),
        before,
        "the app's files are as they were"
    );
    assert_eq!(fixture.left_over(), [""; 0]);
    fixture.restore(&report.snapshot.id);
    assert!(!journal.exists());
    assert_eq!(sqlite3(&path, "PRAGMA integrity_check").trim(), "ok");
    assert_eq!(
        sqlite3(&path, "SELECT count(*) FROM note WHERE text = 'torn'").trim(),
        "0"
    );
}

#[test]
fn a_secret_in_a_database_is_found_also_after_it_was_deleted() {
    let fixture = Fixture::new();
    let path = fixture.data().join("app.db");
    let app = make(&path, "WAL", 10);
    app.execute("INSERT INTO note (text) VALUES (?1)", [SECRET])
        .unwrap();
    assert!(matches!(
        fixture.take(),
        Err(SnapshotError::SecretsFound(_))
    ));
    app.execute_batch("PRAGMA secure_delete = OFF; DELETE FROM note WHERE id > 10")
        .unwrap();
    // Its page still holds it.
    assert!(matches!(
        fixture.take(),
        Err(SnapshotError::SecretsFound(_))
    ));
    assert_eq!(fixture.left_over(), [""; 0]);
    app.execute_batch("VACUUM").unwrap();
    fixture.take().unwrap();
}

#[test]
fn a_damaged_database_is_stored_as_it_is_and_told() {
    let fixture = Fixture::new();
    let path = fixture.data().join("app.db");
    drop(make(&path, "DELETE", 500));
    let mut bytes = fs::read(&path).unwrap();
    for page in 3..20 {
        bytes[page * 4096..page * 4096 + 512].fill(0xa5);
    }
    fs::write(&path, &bytes).unwrap();
    let report = fixture.take().unwrap();
    assert_eq!(report.damaged, ["/data/app.db"]);
    fixture.restore(&report.snapshot.id);
    // The first page counts changes.
    assert!(fs::read(&path).unwrap()[4096..] == bytes[4096..]);
}

#[test]
fn what_only_begins_as_a_database_is_an_ordinary_file() {
    let fixture = Fixture::new();
    let mut text = b"SQLite format 3\0 is how a database begins".to_vec();
    fixture.write("short", &text);
    text.resize(4096, b'x');
    fixture.write("page", &text);
    fixture.write("page-wal", "not a log");
    let before = contents(&fixture.data());
    let report = fixture.take().unwrap();
    assert_eq!(report.snapshot.files, 3);
    fixture.restore(&report.snapshot.id);
    assert_eq!(contents(&fixture.data()), before);
}
