//! `mira mcp test`: starts a server just as a client does, and asks who it is and what it can do.

use std::ffi::OsString;
use std::time::Duration;

use mira_mcp::definition::ServerName;
use mira_mcp::probe::{self, Found, ProbeError};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr};
use tokio::time::timeout;

use super::{find, list, parse_server};
use crate::error::{CommandError, Kind};
use crate::render::{count, facts};
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

/// How much of what a server says is kept, in bytes, and how many lines of it are shown.
const SAID_BYTES_MAX: u64 = 64 * 1024;
const SAID_LINES: usize = 12;

/// How long a server may take to end after its input has.
const FAREWELL: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server
    #[arg(value_name = "NAME", value_parser = parse_server)]
    name: ServerName,

    /// How long to wait for its answers, in seconds; a package that is fetched first takes long
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let definition = find(&session::home()?, &args.name)?;
    let (runs, secrets) = list::shown(&definition);
    if !secrets.is_empty() {
        // A passphrase is asked for here: what is started has no terminal.
        drop(session::open(ui, &args.unlock)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let found = runtime.block_on(ask(args, &runs))?;
    if args.json {
        return ui.json(&json!({
            "name": args.name.as_str(),
            "server": {"name": found.name, "version": found.version},
            "protocol": found.protocol,
            "tools": found.tools,
        }));
    }
    let tools = match found.tools.as_slice() {
        [] => "none".to_owned(),
        tools => format!("{}: {}", count(tools.len(), "tool"), tools.join(", ")),
    };
    ui.data(&facts(&[
        (
            "server",
            format!("{} {}", printable(&found.name), printable(&found.version)),
        ),
        ("protocol", printable(&found.protocol)),
        ("tools", printable(&tools)),
    ]))
}

/// A server's own words may hold what moves a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

async fn ask(args: &Args, runs: &str) -> Result<Found, CommandError> {
    let mut child = start(args)?;
    let (Some(input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(CommandError::failed("the server has no streams"));
    };
    let said = tokio::spawn(read_end(errors));
    let wait = Duration::from_secs(args.timeout);
    match probe::ask(output, input, wait).await {
        Ok(found) => {
            // It is killed with its program if it takes longer.
            drop(timeout(FAREWELL, child.wait()).await);
            Ok(found)
        }
        Err(error) => {
            let status = match timeout(FAREWELL, child.wait()).await {
                Ok(status) => status.ok().and_then(|status| status.code()),
                Err(_) => None,
            };
            drop(child.start_kill());
            let said = timeout(FAREWELL, said).await;
            let said = said.ok().and_then(Result::ok).unwrap_or_default();
            Err(told(args, runs, &error, status, &said))
        }
    }
}

fn start(args: &Args) -> Result<Child, CommandError> {
    let mira = std::env::current_exe()?;
    let mut words: Vec<OsString> = vec!["mcp".into(), "run".into(), args.name.as_str().into()];
    if let Some(file) = &args.unlock.passphrase_file {
        words.extend(["--passphrase-file".into(), file.into()]);
    }
    Ok(mira_host::piped::start(
        mira.as_os_str(),
        &words,
        std::env::vars_os(),
    )?)
}

/// Returns the end of what the server said; it was redacted on its way.
async fn read_end(errors: ChildStderr) -> String {
    let mut bytes = Vec::new();
    let mut errors = errors;
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = errors.read(&mut chunk).await {
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let over = bytes
            .len()
            .saturating_sub(usize::try_from(SAID_BYTES_MAX).unwrap_or(usize::MAX));
        bytes.drain(..over);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Says what is wrong, with what the server and Mira said of it.
fn told(
    args: &Args,
    runs: &str,
    error: &ProbeError,
    status: Option<i32>,
    said: &str,
) -> CommandError {
    let name = &args.name;
    let (kind, message) = match (error, status) {
        (ProbeError::Ended, Some(3)) => (Kind::Missing, format!("{name} was not started")),
        (ProbeError::Ended, Some(4)) => (Kind::Locked, format!("{name} was not started")),
        (ProbeError::Ended, Some(5)) => (Kind::Integrity, format!("{name} was not started")),
        (ProbeError::Ended, Some(126 | 127)) => {
            (Kind::Failed, format!("{name} cannot be started: {runs}"))
        }
        (ProbeError::Ended, Some(code)) => (
            Kind::Failed,
            format!("{name} ended with exit code {code} before it answered"),
        ),
        (error, _) => (Kind::Failed, format!("{name}: {error}")),
    };
    let lines: Vec<_> = said
        .lines()
        .map(printable)
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines.iter().skip(lines.len().saturating_sub(SAID_LINES));
    let mut failed = CommandError::new(kind, message);
    for line in last {
        // The same words as an error of the protocol are told once.
        if !matches!(error, ProbeError::Refused(text) if line.ends_with(text.as_str())) {
            failed = failed.hint(line.clone());
        }
    }
    failed
}
