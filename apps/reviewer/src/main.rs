//! `reviewer`: reviews pull requests by webhook, and local diffs from the command line. An ordinary app: it knows nothing of Mira's code.
//!
//! Data goes to stdout, all else to stderr. Exit codes: 0 done; 1 failed; 2 wrong usage; 3 something required is missing.

mod budget;
mod config;
mod db;
mod diff;
mod github;
mod index;
mod model;
mod net;
mod neutral;
mod output;
mod prompt;
mod review;
mod schema;
mod secret;
mod server;
mod settings;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::fs::OFlags;
use serde_json::{Value, json};

use config::Config;
use db::Db;
use index::Index;
use model::ModelError;
use output::{Format, count, plain};
use review::{Change, ReviewError, Skipped};
use settings::{Env, SettingError};

/// The largest diff that is read, in bytes.
// LIMIT: what a model is shown is far less; this is all of a very large change.
const DIFF_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Reviews changes of code.
#[derive(Debug, Parser)]
#[command(name = "reviewer", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Review a local diff
    Review {
        /// The diff: a file, or - for standard input
        #[arg(long, value_name = "FILE")]
        diff: PathBuf,
        /// The repository's configuration (default: .mira.yaml, if it is there)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// How findings are written
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Take deliveries of events and review pull requests
    Serve {
        /// The port on 127.0.0.1 (default: PORT, else 8474)
        #[arg(long)]
        port: Option<u16>,
        #[command(flatten)]
        rows: Rows,
    },
    /// Index the files of a folder
    Index {
        /// The folder
        path: PathBuf,
        #[command(flatten)]
        rows: Rows,
    },
    /// Find symbols by a part of their name
    Search {
        /// The part
        text: String,
        #[command(flatten)]
        rows: Rows,
    },
    /// List who uses a symbol, and who uses those
    Uses {
        /// The symbol's name
        symbol: String,
        #[command(flatten)]
        rows: Rows,
    },
    /// Print the JSON Schema of .mira.yaml
    Schema,
}

/// Where rows are, and how they are shown.
#[derive(Debug, clap::Args)]
struct Rows {
    /// A SQLite file, or postgres://… (default: DATABASE_URL, else reviewer.db in REVIEWER_DATA or here)
    #[arg(long, value_name = "FILE|URL")]
    db: Option<String>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Where the configuration of a folder is.
const CONFIG: &str = ".mira.yaml";

/// The number of the repository of local commands: GitHub's begin with 1.
const LOCAL: i64 = 0;

impl Rows {
    async fn open(&self) -> Result<Index, Failure> {
        let env = Env(&variable);
        let named = self.db.clone().or_else(|| env.text("DATABASE_URL"));
        let url = named.unwrap_or_else(|| match env.text("REVIEWER_DATA") {
            Some(folder) => format!("{folder}/reviewer.db"),
            None => "reviewer.db".to_owned(),
        });
        // The error of a connection names no address, which may hold a password.
        let db = Db::open(&url)
            .await
            .map_err(|error| Failure::failed(format!("the database cannot be opened: {error}")))?;
        Ok(Index { db, repo: LOCAL })
    }
}

/// What ends the program, with its exit code.
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self {
            code: 1,
            text: error.to_string(),
        }
    }

    /// Adds what to do about it, if that is known.
    fn advised(mut self, advice: Option<String>) -> Self {
        self.text.extend(advice.map(|advice| format!("; {advice}")));
        self
    }

    /// Returns the one of a fault in what a person gave.
    fn usage(text: String) -> Self {
        Self { code: 2, text }
    }
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        Self {
            code: error.code(),
            text: error.to_string(),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(Failure::failed)
        .and_then(|runtime| runtime.block_on(run(args.command)));
    match done {
        Ok(text) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(failure) => {
            say(&format!("error: {}", failure.text));
            ExitCode::from(failure.code)
        }
    }
}

/// Writes a line to stderr; where that is closed, nobody wants to know. Some lines repeat what others wrote.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{}", plain(line)));
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn run(command: Command) -> Result<String, Failure> {
    match command {
        Command::Review {
            diff,
            config,
            format,
        } => local(&diff, config.as_deref(), format).await,
        Command::Serve { port, rows } => serve(port, &rows).await,
        Command::Index { path, rows } => index(&path, &rows).await,
        Command::Search { text, rows } => {
            let found = rows
                .open()
                .await?
                .search(&text)
                .await
                .map_err(Failure::failed)?;
            Ok(match rows.json {
                true => {
                    let list: Vec<_> = found.iter().map(|(name, kind, path, line)| json!({"name": name, "kind": kind, "path": path, "line": line})).collect();
                    format!("{:#}\n", Value::from(list))
                }
                false => found
                    .iter()
                    .map(|(name, kind, path, line)| format!("{path}:{line}: {kind} {name}"))
                    .map(|line| plain(&line) + "\n")
                    .collect(),
            })
        }
        Command::Uses { symbol, rows } => {
            let found = rows
                .open()
                .await?
                .users(BTreeSet::from([symbol]))
                .await
                .map_err(Failure::failed)?;
            Ok(match rows.json {
                true => {
                    let list: Vec<_> = found.iter().map(|one| json!({"path": one.path, "line": one.line, "name": one.name, "inside": one.inside, "depth": one.depth})).collect();
                    format!("{:#}\n", Value::from(list))
                }
                false => index::lines(&found),
            })
        }
        Command::Schema => Ok(format!("{:#}\n", config::schema())),
    }
}

async fn serve(port: Option<u16>, rows: &Rows) -> Result<String, Failure> {
    let env = Env(&variable);
    let client = net::client().map_err(Failure::failed)?;
    let model = settings::model(&env, client.clone()).map_err(|error| {
        let advice = error.advice(&env);
        Failure::from(error).advised(advice)
    })?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(Failure::failed)?;
    let app = server::App {
        db: rows.open().await?.db,
        advice: settings::advice(&env, &model),
        model,
        client,
        delivery_token: env.key("MIRA_DELIVERY_TOKEN"),
        github_api: env
            .text("REVIEWER_GITHUB_API_URL")
            .unwrap_or_else(|| "https://api.github.com".to_owned()),
        limits: budget::Limits::of(&env)?,
        bot: env
            .text("REVIEWER_BOT_NAME")
            .unwrap_or_else(|| "mira-reviewer".to_owned()),
        memory: std::sync::Arc::default(),
        turns: server::Turns::default(),
        id: data_encoding::HEXLOWER.encode(&id),
    };
    let port = port
        .or_else(|| env.number("PORT")?.try_into().ok())
        .unwrap_or(8474);
    let listener = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.map_err(|error| Failure::failed(format!("port {port}: {error}")))?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    say(&format!("listening on {address}"));
    let ended = async {
        let term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        match term {
            Ok(mut term) => drop(term.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    let served = axum::serve(listener, server::routes(std::sync::Arc::new(app)));
    served
        .with_graceful_shutdown(ended)
        .await
        .map_err(Failure::failed)?;
    Ok(String::new())
}

/// Brings the index of a folder up to date; unchanged files are read, and not parsed.
async fn index(path: &Path, rows: &Rows) -> Result<String, Failure> {
    let index = rows.open().await?;
    let known = index.blobs().await.map_err(Failure::failed)?;
    let all = index::files(path);
    let now: BTreeSet<&str> = all.iter().map(|one| one.path.as_str()).collect();
    let gone: Vec<String> = known
        .keys()
        .filter(|path| !now.contains(path.as_str()))
        .cloned()
        .collect();
    let total = all.len();
    let changed: Vec<_> = all
        .into_iter()
        .filter(|one| known.get(&one.path) != Some(&one.blob))
        .collect();
    let (parsed, removed) = (changed.len(), gone.len());
    index
        .update(changed, &gone)
        .await
        .map_err(Failure::failed)?;
    Ok(match rows.json {
        true => format!(
            "{}\n",
            json!({"files": total, "parsed": parsed, "removed": removed})
        ),
        false => format!(
            "{}, {parsed} parsed, {removed} removed\n",
            count(total, "file")
        ),
    })
}

/// Reads the configuration of a folder; only one that was named has to be there.
///
/// The folder's files may be anybody's: a link would tell what it leads to, and a pipe would be waited for.
fn configuration(named: Option<&Path>) -> Result<Config, Failure> {
    let path = named.unwrap_or(Path::new(CONFIG));
    let failed =
        |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
    let irregular = || {
        let text = "it is a link, or no regular file, and is not read; put the file itself there";
        Failure::usage(format!("{}: {text}", path.display()))
    };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Config::default());
        }
        Err(_) if path.is_symlink() => return Err(irregular()),
        Err(error) => return Err(failed(&error)),
    };
    if !file.metadata().map_err(|error| failed(&error))?.is_file() {
        return Err(irregular());
    }
    // One byte more than it may have, so that a longer one is told.
    let mut text = String::new();
    file.take(config::FILE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    Config::read(&text)
        .map_err(|faults| Failure::usage(format!("{}: {}", path.display(), faults.join("; "))))
}

async fn local(diff: &Path, config: Option<&Path>, format: Format) -> Result<String, Failure> {
    let config = configuration(config)?;
    let mut bytes = Vec::new();
    let read = match diff.as_os_str() == "-" {
        true => std::io::stdin()
            .take(DIFF_BYTES_MAX)
            .read_to_end(&mut bytes),
        false => std::fs::File::open(diff)
            .and_then(|file| file.take(DIFF_BYTES_MAX).read_to_end(&mut bytes)),
    };
    read.map_err(|error| Failure::failed(format!("{}: {error}", diff.display())))?;
    if bytes.len() as u64 == DIFF_BYTES_MAX {
        return Err(Failure::usage(format!(
            "the diff has {DIFF_BYTES_MAX} bytes or more; review it in parts"
        )));
    }
    let text = String::from_utf8_lossy(&bytes);
    let files = diff::parse(&text).map_err(|error| Failure::usage(error.to_string()))?;
    let skipped = diff::without_lines(&text).into_iter().map(Skipped::bare);
    let change = Change {
        files,
        skipped: skipped.collect(),
        ..Change::default()
    };
    // What was meant to be a diff would pass as one without findings.
    match (bytes.is_empty(), change.is_empty()) {
        (true, _) => say("the diff is empty"),
        (false, true) => {
            return Err(Failure::usage(format!(
                "{}: there is no file of a diff in it; give what `git diff` writes",
                diff.display()
            )));
        }
        (false, false) => {}
    }
    let env = Env(&variable);
    let client = net::client().map_err(Failure::failed)?;
    let model = settings::model(&env, client)?;
    let outcome = review::review(&model, &config, change, None)
        .await
        .map_err(|error| {
            let advice = match error {
                ReviewError::Model(ModelError::Unreached(_)) => settings::advice(&env, &model),
                _ => None,
            };
            Failure::failed(error).advised(advice)
        })?;
    Ok(output::write(&outcome, format))
}
