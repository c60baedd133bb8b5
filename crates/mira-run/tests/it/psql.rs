//! A database's command line: a prompt with line editing, queries, a query that is cancelled.

use mira_testkit::postgres::{self, Postgres};
use mira_testkit::terminal::{Terminal, key};

use crate::launcher::{Launcher, MARKER, SECRET};

#[test]
fn a_database_is_asked_and_a_query_cancelled() {
    let server = Postgres::start();
    let launcher = Launcher::new();
    let mut command = launcher.command(&["psql", "--no-psqlrc", "--pset=pager=off"]);
    command
        .env("PGHOST", server.socket_folder())
        .env("PGPORT", server.port().to_string())
        .env("PGUSER", postgres::USER)
        .env("PGDATABASE", "postgres")
        .env("PSQL_HISTORY", "/dev/null")
        .env("TERM", "xterm");
    let mut terminal = Terminal::start(command);
    terminal.expect("postgres=# ");
    terminal.send("select 6 * 7 as answer;\r");
    terminal.expect("     42");
    terminal.expect("postgres=# ");
    terminal.send("\\getenv word API_KEY\r");
    terminal.expect("postgres=# ");
    terminal.send("select :'word' as word;\r");
    terminal.expect(MARKER);
    terminal.expect("postgres=# ");
    // Says that it runs before it sleeps: until then the key would not cancel it.
    terminal.send("do $$ begin raise notice 'asleep'; perform pg_sleep(60); end $$;\r");
    terminal.expect("NOTICE:  asleep");
    terminal.send(key::CTRL_C);
    terminal.expect("canceling statement due to user request");
    terminal.expect("postgres=# ");
    terminal.send("\\q\r");
    assert!(terminal.wait().success());
    assert!(!terminal.transcript().contains(SECRET));
    assert_eq!(terminal.settings(), terminal.settings_at_start());
}
