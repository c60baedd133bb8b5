//! The URL of a Postgres, which holds a password, and what of it may be shown.
//!
//! It is read by the driver. What it leaves out, the driver takes from `PGHOST`, `PGSSLMODE` and the like, as other programs do;
//! the rules here are about what comes of both.
//!
//! INVARIANT: a [`DatabaseUrl`] in hand leads to this machine, or over TLS.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;

use mira_secret::SecretBytes;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The longest URL, in bytes.
// LIMIT: a host's name, a password and some paths; nothing that is longer is one.
const URL_BYTES_MAX: usize = 4096;

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// The parameters that mean something. The driver would log the values of others.
const PARAMETERS: [&str; 9] = [
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
];

/// Why a URL is not taken. No variant holds any of it but a host's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is no URL of a Postgres.
    #[error(
        "DATABASE_URL is no URL of a Postgres; write postgres://USER:PASSWORD@HOST/DATABASE, with what is special in the password percent-encoded"
    )]
    Malformed,
    /// It names no database.
    #[error("DATABASE_URL names no database; write postgres://USER:PASSWORD@HOST/DATABASE")]
    NoDatabase,
    /// It has a parameter that means nothing here.
    #[error("DATABASE_URL has a parameter that Mira does not know; those that it knows: {}", PARAMETERS.join(", "))]
    Parameter,
    /// The password, and all else, would cross the network in plain.
    #[error(
        "{host} is another machine, and what goes there must be encrypted; add to DATABASE_URL: ?sslmode=verify-full (or verify-ca, or require)"
    )]
    Unencrypted {
        /// The host.
        host: String,
    },
}

/// Where a Postgres is, and what Mira signs in to it with. `Debug` prints the type's name only.
#[derive(Clone)]
pub struct DatabaseUrl(Box<PgConnectOptions>);

impl DatabaseUrl {
    /// Reads a URL such as `postgres://mira:PASSWORD@db.example.org/mira?sslmode=verify-full`.
    ///
    /// # Errors
    ///
    /// Refuses what leads to another machine (any but `localhost`, an address of loopback, or a socket's folder) without
    /// `sslmode=require`, `verify-ca` or `verify-full`.
    pub fn parse(url: &SecretBytes) -> Result<Self, UrlError> {
        // EXPOSE: to the driver's parser, which keeps the password for connecting and tells nobody; its errors are dropped.
        let text = std::str::from_utf8(url.expose()).map_err(|_| UrlError::Malformed)?;
        let rest = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme));
        if rest.is_none() || text.len() > URL_BYTES_MAX || text.contains(char::is_control) {
            return Err(UrlError::Malformed);
        }
        let query = text.split_once('?').map_or("", |(_, query)| query);
        let is_known = |pair: &str| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            PARAMETERS.contains(&name)
        };
        if !query.is_empty() && !query.split('&').all(is_known) {
            return Err(UrlError::Parameter);
        }
        let options = PgConnectOptions::from_str(text).map_err(|_| UrlError::Malformed)?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(UrlError::NoDatabase);
        }
        match is_here(&options) || is_encrypted(options.get_ssl_mode()) {
            true => Ok(Self(Box::new(options))),
            false => Err(UrlError::Unencrypted {
                host: options.get_host().to_owned(),
            }),
        }
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        (*self.0).clone()
    }

    /// Returns what may be shown of it.
    pub(crate) fn server(&self) -> ServerName {
        let database = self.0.get_database().unwrap_or_default().to_owned();
        let port = self.0.get_port();
        let at = match self.0.get_socket() {
            Some(folder) => format!("{} (port {port})", folder.display()),
            None => format!("{}:{port}", self.0.get_host()),
        };
        ServerName { database, at }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl")
    }
}

fn is_here(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(is_loopback)
}

fn is_encrypted(mode: PgSslMode) -> bool {
    match mode {
        PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => true,
        PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => false,
    }
}

/// A database of a server, as it may be shown.
#[derive(Clone, Debug)]
pub(crate) struct ServerName {
    database: String,
    at: String,
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the Postgres database `{}` on {}",
            self.database, self.at
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, UrlError> {
        DatabaseUrl::parse(&SecretBytes::copy_from(text.as_bytes()))
    }

    #[test]
    fn what_stays_here_or_is_encrypted_is_taken() {
        for url in [
            "postgres://u:p@localhost/mira",
            "postgresql://u:p@LOCALHOST:5433/mira",
            "postgres://u@127.0.0.1/mira?sslmode=disable",
            "postgres://u@127.8.9.10/mira",
            "postgres://u@[::1]/mira",
            "postgres://u@[::ffff:127.0.0.1]/mira",
            "postgres://u@%2Fvar%2Frun%2Fpostgresql/mira",
            "postgres:///mira?host=/var/run/postgresql&user=u",
            "postgres://u:p@db.example.org/mira?sslmode=require",
            "postgres://u:p@db.example.org/mira?sslmode=verify-ca&sslrootcert=/ca.pem",
            "postgres://u:p@10.0.0.1/mira?sslmode=verify-full",
            "postgres://u:p@db.example.org/?dbname=mira&sslmode=verify-full",
        ] {
            assert!(parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_crosses_a_network_in_plain_is_refused() {
        for (url, host) in [
            (
                "postgres://u:p4ssw0rd@db.example.org/mira",
                "db.example.org",
            ),
            (
                "postgres://u:p4ssw0rd@10.0.0.1/mira?sslmode=prefer",
                "10.0.0.1",
            ),
            (
                "postgres://u:p4ssw0rd@10.0.0.1/mira?sslmode=allow",
                "10.0.0.1",
            ),
            ("postgres://u:p4ssw0rd@h/mira?sslmode=disable", "h"),
            (
                "postgres://u:p4ssw0rd@localhost.example.org/mira",
                "localhost.example.org",
            ),
            (
                "postgres://u:p4ssw0rd@127.0.0.1.example.org/mira",
                "127.0.0.1.example.org",
            ),
            ("postgres://u:p4ssw0rd@0.0.0.0/mira", "0.0.0.0"),
            (
                "postgres://u:p4ssw0rd@localhost/mira?host=10.0.0.1",
                "10.0.0.1",
            ),
            // The last one counts, for the driver and so for the rule.
            (
                "postgres://u:p4ssw0rd@h/mira?sslmode=require&sslmode=disable",
                "h",
            ),
        ] {
            let host = host.to_owned();
            let refusal = parse(url).unwrap_err();
            assert_eq!(refusal, UrlError::Unencrypted { host }, "{url}");
            assert!(!refusal.to_string().contains("p4ssw0rd"), "{refusal}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_postgres_is_refused_without_a_word_of_it() {
        for (url, expect) in [
            ("", UrlError::Malformed),
            ("p4ssw0rd", UrlError::Malformed),
            ("mysql://u:p4ssw0rd@localhost/mira", UrlError::Malformed),
            ("sqlite:p4ssw0rd.db", UrlError::Malformed),
            ("postgres:u:p4ssw0rd@localhost/mira", UrlError::Malformed),
            (
                "postgres://u:p4ssw0rd@localhost:port/mira",
                UrlError::Malformed,
            ),
            (
                "postgres://u:p4ssw0rd@localhost/mira?sslmode=p4ssw0rd",
                UrlError::Malformed,
            ),
            (
                "postgres://u:p4ss\nw0rd@localhost/mira",
                UrlError::Malformed,
            ),
            (
                "postgres://u:p4ssw0rd@localhost/mira?passwrod=p4ssw0rd",
                UrlError::Parameter,
            ),
            (
                "postgres://u:p4ssw0rd@localhost/mira?options=-csearch_path=x",
                UrlError::Parameter,
            ),
            (
                "postgres://u:p4ssw0rd@localhost/mira?hostaddr=10.0.0.1",
                UrlError::Parameter,
            ),
            (
                "postgres://u:p4ssw0rd@localhost/mira?host%61ddr=10.0.0.1",
                UrlError::Parameter,
            ),
            ("postgres://u:p4ssw0rd@localhost", UrlError::NoDatabase),
            ("postgres://u:p4ssw0rd@localhost/", UrlError::NoDatabase),
        ] {
            let refusal = parse(url).unwrap_err();
            assert_eq!(refusal, expect, "{url}");
            assert!(!refusal.to_string().contains("p4ss"), "{refusal}");
        }
        assert!(parse(&format!("postgres://u@localhost/{}", "a".repeat(5000))).is_err());
    }

    #[test]
    fn a_url_shows_where_it_leads_and_nothing_else() {
        let url = parse("postgres://user:p4ssw0rd@localhost:5433/mira").unwrap();
        assert_eq!(format!("{url:?}"), "DatabaseUrl");
        let shown = url.server().to_string();
        assert_eq!(shown, "the Postgres database `mira` on localhost:5433");
    }
}
