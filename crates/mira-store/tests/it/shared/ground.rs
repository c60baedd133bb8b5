//! Where a test's shared store is: the same test runs on each.

use jiff::{SignedDuration, Timestamp};
use mira_secret::SecretBytes;
use mira_store::{DatabaseUrl, Location, NewUser, PasswordHash, Role, Shared, User};
use mira_testkit::home::TestHome;
use mira_testkit::postgres::Postgres;

/// Runs each of some tests, which are functions of a [`Ground`], on each database.
macro_rules! on_both {
    ($($name:ident)+) => {$(
        mod $name {
            use crate::common::run;
            use crate::shared::ground::Ground;

            #[test]
            fn on_sqlite() {
                run(super::$name(Ground::file()));
            }

            #[test]
            fn on_postgres() {
                run(super::$name(Ground::postgres()));
            }
        }
    )+};
}

pub(crate) use on_both;

/// A place for a shared store.
pub(crate) enum Ground {
    File(TestHome),
    Postgres(Postgres),
}

/// The database that a test's Mira has on its server: the one that is there, as another one takes time to be made.
pub(crate) const DATABASE: &str = "postgres";

impl Ground {
    pub(crate) fn file() -> Self {
        Self::File(TestHome::new())
    }

    pub(crate) fn postgres() -> Self {
        Self::Postgres(Postgres::start())
    }

    /// Opens the store; each call has connections of its own, as another server has.
    pub(crate) async fn shared(&self) -> Shared {
        let opened = match self {
            Self::File(home) => Shared::open(Location::File(&home.mira_home())).await,
            Self::Postgres(server) => {
                let url = url(&server.url(DATABASE));
                Shared::open(Location::Postgres(url)).await
            }
        };
        opened.expect("it opens")
    }
}

pub(crate) fn url(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(&SecretBytes::copy_from(text.as_bytes())).expect("it is a URL")
}

/// A time, some seconds after the tests' beginning of all times.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("it is a time")
        + SignedDuration::from_secs(seconds)
}

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// What a password's hash looks like; nobody computes it here.
pub(crate) fn hash(salt: &str) -> PasswordHash {
    PasswordHash::new(&format!("$argon2id$v=19$m=19456,t=2,p=1${salt}$aGFzaA")).expect("it is one")
}

pub(crate) fn new_user(name: &str, role: Role) -> NewUser {
    NewUser {
        name: name.parse().expect("it is a name"),
        role,
        password: Some(hash(name)),
    }
}

pub(crate) async fn add(shared: &Shared, name: &str, role: Role) -> User {
    let added = shared.create_user(&new_user(name, role), at(0)).await;
    added.expect("it is added")
}
