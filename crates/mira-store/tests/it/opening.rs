//! What is not a database of this Mira's is refused with its name and what to do, and stays as it was.

use std::fs;
use std::process::{Command, Stdio};

use mira_store::{DatabaseError, FileError, OpenError, Store, StoreError};

use crate::common::{Place, example, new, run};

/// Opens what has to be refused, and checks that not a byte of it changed.
fn refused(place: &Place) -> OpenError {
    let before = place.bytes();
    let error = run(Store::open(&place.home())).expect_err("it is refused");
    assert_eq!(place.bytes(), before, "{error}");
    let path = place.file("");
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
    error
}

#[test]
fn another_sqlite_reads_it() {
    let place = Place::new();
    let instance = place.with_instance();
    assert_eq!(
        place.sqlite("SELECT name, id FROM instances"),
        format!("readlater|{}", instance.id)
    );
    assert_eq!(place.sqlite("PRAGMA journal_mode"), "wal");
    assert_eq!(place.sqlite("PRAGMA integrity_check"), "ok");
    assert_eq!(place.sqlite("SELECT version FROM _sqlx_migrations"), "1\n2");
    let tables = "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_master
        WHERE type = 'table' ORDER BY name)";
    assert_eq!(
        place.sqlite(tables),
        "_sqlx_migrations bindings guesses instances net_decisions ports publishers settings"
    );
}

#[test]
fn it_is_opened_again_and_again() {
    let place = Place::new();
    let made = place.with_instance();
    let schema = place.sqlite(".schema");
    for _ in 0..3 {
        run(async {
            let store = place.store().await;
            assert_eq!(store.path(), place.file(""));
            assert_eq!(
                store.instances().await.unwrap(),
                std::slice::from_ref(&made)
            );
            store.close().await;
        });
    }
    assert_eq!(place.sqlite(".schema"), schema);
}

#[test]
fn opening_writes_nothing_into_a_current_database() {
    let place = Place::new();
    place.with_instance();
    let before = place.bytes();
    run(async { place.store().await.close().await });
    assert_eq!(place.bytes(), before);
}

#[test]
fn a_newer_schema_is_refused() {
    let place = Place::new();
    place.with_instance();
    place.sqlite(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (7, 'later', TRUE, x'00', 1)",
    );
    let error = refused(&place);
    assert!(
        matches!(
            error,
            OpenError::Newer {
                found: 7,
                known: 2,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("newer Mira"), "{error}");
}

#[test]
fn a_schema_of_an_unknown_build_is_refused() {
    let place = Place::new();
    place.with_instance();
    place.sqlite("UPDATE _sqlx_migrations SET checksum = x'00'");
    assert!(matches!(refused(&place), OpenError::Foreign { .. }));
}

#[test]
fn an_older_schema_is_brought_up_to_date() {
    let place = Place::new();
    // As if the file had been made, and the process killed before the first migration.
    run(async { place.store().await.close().await });
    place.sqlite(
        "DROP TABLE ports; DROP TABLE settings; DROP TABLE bindings; DROP TABLE net_decisions; DROP TABLE instances;
         DROP TABLE guesses; DROP TABLE publishers; DELETE FROM _sqlx_migrations",
    );
    place.with_instance();
}

#[test]
fn a_database_of_the_first_version_keeps_its_instances() {
    let place = Place::new();
    let made = place.with_instance();
    place.sqlite("DROP TABLE net_decisions; DELETE FROM _sqlx_migrations WHERE version > 1");
    run(async {
        let store = place.store().await;
        store
            .decide(&made.id, "api.example.org", true)
            .await
            .unwrap();
        assert_eq!(store.decisions(&made.id).await.unwrap().len(), 1);
        assert_eq!(store.instances().await.unwrap(), [made]);
    });
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let place = Place::new();
    run(async { place.store().await.close().await });
    // The first migration is to be applied again, and meets a table in its way.
    place.sqlite("DELETE FROM _sqlx_migrations; DROP TABLE ports; DROP TABLE guesses");
    let before = place.sqlite(".schema");
    let error = run(Store::open(&place.home())).expect_err("it is refused");
    assert!(matches!(error, OpenError::Database(_)), "{error:?}");
    assert_eq!(place.sqlite(".schema"), before);
}

#[test]
fn a_database_of_something_else_is_refused() {
    let place = Place::new();
    place.sqlite("CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')");
    private(&place);
    let error = refused(&place);
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains("move it away"), "{error}");
    assert_eq!(place.sqlite("PRAGMA journal_mode"), "delete");
}

#[test]
fn what_is_no_database_is_refused() {
    let check = |bytes: &[u8]| {
        let place = Place::new();
        fs::write(place.file(""), bytes).unwrap();
        private(&place);
        let error = refused(&place);
        let damaged = matches!(error, OpenError::Database(DatabaseError::Damaged { .. }));
        assert!(damaged, "{error:?}");
        assert!(error.to_string().contains(".recover"), "{error}");
    };
    check(b"{}");
    check(&[0x5a; 8192]);
    check(&[0; 8192]);
}

#[test]
fn damage_is_told_wherever_it_is_met() {
    let whole = Place::new();
    whole.with_instance();
    let bytes = whole.bytes();
    let page = 4096;
    assert!(bytes.len() > 8 * page);
    let mut damaged_somewhere = 0;
    for first in (0..bytes.len()).step_by(page) {
        let place = Place::new();
        let mut bytes = bytes.clone();
        // The page's header and its index of cells.
        let end = if first == 0 {
            100..164
        } else {
            first..first + 64
        };
        bytes[end].fill(0xff);
        fs::write(place.file(""), &bytes).unwrap();
        private(&place);
        damaged_somewhere += usize::from(run(meets_damage(&place)));
    }
    assert_eq!(
        damaged_somewhere,
        bytes.len() / page,
        "each page is looked at"
    );
    // Cut off.
    let place = Place::new();
    fs::write(place.file(""), &bytes[..page * 3]).unwrap();
    private(&place);
    assert!(run(meets_damage(&place)));
}

/// Opens, reads and checks; returns whether that told of damage. Anything but damage fails the test.
async fn meets_damage(place: &Place) -> bool {
    let told = |error: DatabaseError| {
        let text = error.to_string();
        assert!(text.contains(place.file("").to_str().unwrap()), "{text}");
        assert!(matches!(error, DatabaseError::Damaged { .. }), "{text}");
        true
    };
    let store = match Store::open(&place.home()).await {
        Ok(store) => store,
        Err(OpenError::Database(error)) => return told(error),
        Err(error) => panic!("{error:?}"),
    };
    let checked = match store.instances().await {
        Ok(_) => store.check().await,
        Err(error) => Err(error),
    };
    match checked {
        Ok(()) => false,
        Err(StoreError::Database(error)) => told(error),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_journal_without_its_database_is_not_thrown_away() {
    let place = Place::new();
    let kept = Place::new();
    run(async {
        let store = place.store().await;
        store.insert_instance(&new()).await.unwrap();
        // What is in the journal only, as after a crash.
        fs::copy(place.file("-wal"), kept.file("-wal")).unwrap();
        fs::copy(place.file(""), kept.file("")).unwrap();
    });
    let journal = fs::read(kept.file("-wal")).unwrap();
    assert!(journal.len() > 4096);
    let database = kept.bytes();
    for empty in [false, true] {
        match empty {
            true => fs::write(kept.file(""), b"").unwrap(),
            false => fs::remove_file(kept.file("")).unwrap(),
        }
        private(&kept);
        let error = run(Store::open(&kept.home())).expect_err("it is refused");
        assert!(matches!(error, OpenError::OnlyJournal { .. }), "{error:?}");
        assert_eq!(fs::read(kept.file("-wal")).unwrap(), journal);
    }
    // Put back, it is all there.
    fs::write(kept.file(""), &database).unwrap();
    private(&kept);
    run(async {
        assert_eq!(kept.store().await.instances().await.unwrap().len(), 1);
    });
}

#[test]
fn another_journal_mode_is_set_right() {
    let place = Place::new();
    place.with_instance();
    assert_eq!(place.sqlite("PRAGMA journal_mode = DELETE"), "delete");
    run(async { place.store().await.close().await });
    assert_eq!(place.sqlite("PRAGMA journal_mode"), "wal");
}

#[test]
fn without_a_home_nothing_is_made() {
    let place = Place::new();
    let home = place.home().join("none");
    let error = run(Store::open(&home)).unwrap_err();
    assert!(
        matches!(error, OpenError::File(FileError::NoHome { .. })),
        "{error:?}"
    );
    assert!(!home.exists());
}

#[test]
fn a_relative_home_is_no_url() {
    let place = Place::new();
    let name = "file:home?mode=memory";
    let home = place.home().join(name);
    fs::create_dir(&home).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let output = Command::new(example())
        .args(["open", name])
        .current_dir(place.home())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    assert!(fs::metadata(home.join("mira.db")).unwrap().len() > 0);
}

fn private(place: &Place) {
    #[cfg(unix)]
    for suffix in ["", "-wal"] {
        use std::os::unix::fs::PermissionsExt as _;
        let path = place.file(suffix);
        if path.exists() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    #[cfg(not(unix))]
    let _ = place;
}
