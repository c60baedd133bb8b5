//! The database that was asked for is opened, and brought up to date, or refused with what to do; no other one is taken.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use mira_store::{Location, OpenError, ServerError, Shared, SharedError, SharedOpenError, Store};
use mira_testkit::ca::Ca;
use mira_testkit::home::TestHome;
use mira_testkit::postgres::{PASSWORD, Postgres, USER};

use crate::common::{Place, run};
use crate::shared::ground::{DATABASE, Ground, add, on_both, url};

on_both! {
    it_is_opened_again_and_again
    a_newer_schema_is_refused
    a_schema_of_an_unknown_build_is_refused
    a_migration_that_is_missing_is_applied
}

impl Ground {
    /// Does something to the database that no Mira does.
    fn sql(&self, sql: &str) -> String {
        match self {
            Self::Postgres(server) => server.sql(DATABASE, sql),
            Self::File(home) => {
                let output = std::process::Command::new("sqlite3")
                    .args(["-cmd", ".timeout 60000"])
                    .arg(home.mira_home().join("mira.db"))
                    .arg(sql)
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{output:?}");
                String::from_utf8(output.stdout)
                    .unwrap()
                    .trim_end()
                    .to_owned()
            }
        }
    }

    async fn refused(&self) -> SharedOpenError {
        let refused = match self {
            Self::File(home) => Shared::open(Location::File(&home.mira_home())).await,
            Self::Postgres(server) => open(&server.url(DATABASE)).await,
        };
        refused.expect_err("it is refused")
    }
}

async fn open(text: &str) -> Result<Shared, SharedOpenError> {
    Shared::open(Location::Postgres(url(text))).await
}

async fn server_error(text: &str) -> ServerError {
    match open(text).await {
        Err(SharedOpenError::Shared(SharedError::Server(error))) => {
            assert!(!error.to_string().contains(PASSWORD), "{error}");
            error
        }
        other => panic!("{other:?}"),
    }
}

async fn it_is_opened_again_and_again(ground: Ground) {
    let shared = ground.shared().await;
    shared.ping().await.unwrap();
    let anna = add(&shared, "anna", mira_store::Role::Viewer).await;
    shared.close().await;
    for _ in 0..3 {
        let shared = ground.shared().await;
        assert_eq!(shared.users().await, Ok(vec![anna.clone()]));
        shared.close().await;
    }
    assert_eq!(
        ground.sql("SELECT count(*) FROM _mira_shared_migrations"),
        "3"
    );
    let shown = ground.shared().await.place();
    match &ground {
        Ground::File(home) => assert_eq!(shown, home.mira_home().join("mira.db").to_str().unwrap()),
        Ground::Postgres(server) => {
            let expected = format!(
                "the Postgres database `postgres` on 127.0.0.1:{}",
                server.port()
            );
            assert_eq!(shown, expected);
        }
    }
}

async fn a_newer_schema_is_refused(ground: Ground) {
    ground.shared().await.close().await;
    ground.sql(
        "INSERT INTO _mira_shared_migrations (version, description, success, checksum, execution_time)
         VALUES (7, 'later', TRUE, '00', 1)",
    );
    let refused = ground.refused().await;
    let is_newer = matches!(
        refused,
        SharedOpenError::Newer {
            found: 7,
            known: 3,
            ..
        }
    );
    assert!(is_newer, "{refused:?}");
    assert!(refused.to_string().contains("newer Mira"), "{refused}");
}

async fn a_schema_of_an_unknown_build_is_refused(ground: Ground) {
    ground.shared().await.close().await;
    ground.sql("UPDATE _mira_shared_migrations SET checksum = '00'");
    let refused = ground.refused().await;
    assert!(
        matches!(refused, SharedOpenError::Foreign { .. }),
        "{refused:?}"
    );
}

async fn a_migration_that_is_missing_is_applied(ground: Ground) {
    ground.shared().await.close().await;
    ground.sql(
        "DROP TABLE sessions; DROP TABLE api_tokens; DROP TABLE identities; DROP TABLE users; DROP TABLE links; DROP TABLE login_throttles;
         DROP TABLE audit; DROP TABLE hook_deliveries; DROP TABLE hook_events; DROP TABLE hook_counts; DELETE FROM _mira_shared_migrations",
    );
    let shared = ground.shared().await;
    add(&shared, "anna", mira_store::Role::Viewer).await;
}

#[test]
fn both_databases_have_the_same_columns() {
    let (file, server) = (Ground::file(), Ground::postgres());
    run(async {
        file.shared().await.close().await;
        server.shared().await.close().await;
    });
    let sort = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_lowercase).collect();
        lines.sort();
        lines
    };
    let in_file = sort(file.sql(
        "SELECT m.name, c.name, c.type, c.\"notnull\" FROM sqlite_master AS m, pragma_table_info(m.name) AS c
         WHERE m.type = 'table' AND m.name IN ('users', 'sessions', 'links', 'api_tokens', 'login_throttles', 'audit',
            'hook_events', 'hook_deliveries', 'hook_counts', 'identities')",
    ));
    let on_server = sort(server.sql(
        "SELECT table_name, column_name, data_type, CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_mira_shared_migrations'",
    ));
    assert_eq!(in_file, on_server);
    assert!(in_file.len() > 40, "{in_file:?}");
}

#[test]
fn the_file_is_the_one_of_the_instances() {
    let place = Place::new();
    let instance = place.with_instance();
    run(async {
        let store = Store::open(&place.home()).await.unwrap();
        let shared = Shared::open(Location::File(&place.home())).await.unwrap();
        add(&shared, "anna", mira_store::Role::Admin).await;
        assert_eq!(store.instances().await.unwrap(), [instance]);
        shared.close().await;
        store.check().await.unwrap();
        store.close().await;
    });
    assert_eq!(place.sqlite("SELECT user_name FROM users"), "anna");
    let before = place.bytes();
    run(async {
        let shared = Shared::open(Location::File(&place.home())).await.unwrap();
        shared.close().await;
    });
    assert_eq!(place.bytes(), before, "opening writes nothing");
}

#[test]
fn a_home_that_is_open_to_others_is_refused() {
    let home = TestHome::new();
    let open_to_all = fs::Permissions::from_mode(0o755);
    fs::set_permissions(home.mira_home(), open_to_all).unwrap();
    let refused = run(Shared::open(Location::File(&home.mira_home())));
    let is_file = matches!(refused, Err(SharedOpenError::File(OpenError::File(_))));
    assert!(is_file, "{refused:?}");
}

#[test]
fn a_server_that_is_not_there_is_told_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    run(async {
        let refused = server_error(&format!("postgres://{USER}:{PASSWORD}@{address}/mira")).await;
        let text = refused.to_string();
        assert!(
            matches!(refused, ServerError::Unreachable { .. }),
            "{refused:?}"
        );
        for expected in [&address.to_string(), "DATABASE_URL", "no other database"] {
            assert!(text.contains(expected), "{text}");
        }
    });
}

#[test]
fn who_is_not_let_in_is_told_so() {
    let server = Postgres::start();
    let port = server.port();
    run(async {
        for url in [
            format!("postgres://{USER}:wrong-{PASSWORD}@127.0.0.1:{port}/postgres"),
            format!("postgres://nobody:{PASSWORD}@127.0.0.1:{port}/postgres"),
            server.url("nothing"),
        ] {
            let refused = server_error(&url).await;
            assert!(matches!(refused, ServerError::Denied { .. }), "{refused:?}");
        }
        server.sql("postgres", "CREATE ROLE reader LOGIN PASSWORD 'reader'");
        let url = format!("postgres://reader:reader@127.0.0.1:{port}/postgres");
        let refused = server_error(&url).await;
        assert!(
            matches!(refused, ServerError::Unwritable { .. }),
            "{refused:?}"
        );
    });
}

#[test]
fn a_database_of_something_else_is_refused_and_stays_as_it_was() {
    let ground = Ground::postgres();
    ground.sql("CREATE TABLE users (id BIGINT)");
    run(async {
        let refused = ground.refused().await;
        assert!(
            matches!(refused, SharedOpenError::Foreign { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("createdb"), "{refused}");
    });
    assert_eq!(
        ground.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"),
        "users"
    );
}

#[test]
fn a_connection_is_encrypted_where_that_is_asked_for() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (certificate, key) = ca.pem(&["localhost"]);
    let server = Postgres::with_tls(&certificate, &key);
    let with = |host: &str, mode: &str, ca: &Ca| {
        let (port, ca) = (server.port(), ca.bundle().display());
        format!(
            "postgres://{USER}:{PASSWORD}@{host}:{port}/postgres?sslmode={mode}&sslrootcert={ca}"
        )
    };
    run(async {
        let shared = open(&with("localhost", "verify-full", &ca)).await.unwrap();
        shared.ping().await.unwrap();
        let secure = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'mira'";
        assert_eq!(server.sql("postgres", secure), "t");
        open(&with("127.0.0.1", "verify-ca", &ca)).await.unwrap();
        // Another authority's certificate, and another host's.
        for url in [
            with("localhost", "verify-full", &other),
            with("127.0.0.1", "verify-full", &ca),
        ] {
            let refused = server_error(&url).await;
            assert!(
                matches!(refused, ServerError::Unreachable { .. }),
                "{refused:?}"
            );
        }
        let plain = Postgres::start();
        let refused = server_error(&format!("{}?sslmode=require", plain.url("postgres"))).await;
        assert!(
            matches!(refused, ServerError::Unreachable { .. }),
            "{refused:?}"
        );
    });
}

#[test]
fn every_shared_table_is_in_the_list_of_what_is_backed_up() {
    crate::common::run(async {
        let ground = Ground::postgres();
        ground.shared().await.close().await;
        let found =
            ground.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
        let mut known = mira_store::SHARED_TABLES.to_vec();
        known.push("_mira_shared_migrations");
        known.sort_unstable();
        assert_eq!(found.lines().collect::<Vec<_>>(), known);
    });
}
