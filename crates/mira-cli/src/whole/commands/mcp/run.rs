//! `mira mcp run`: what a client starts in the place of a server.
//!
//! A program has the client's own pipe as its input; its output is passed on line by line, at once. In front of a URL, this
//! process is the server.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use mira_mcp::bridge::{self, Endpoint, Event, check_header, check_url};
use mira_mcp::definition::{Kind, Origin, Program, Remote, ServerName};
use mira_redact::{MESSAGE_BYTES_MAX, NeedleSet, NeedleSetBuilder};
use mira_run::lease::Delivery;
use mira_run::{Environment, RunSpec};
use mira_secret::{Scope, SecretName, SecretValue};
use mira_vault::home::Home;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{find, parse_server};
use crate::commands::run::{add, attend, delivery, program_name, record};
use crate::error::CommandError;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

/// How many messages may wait between the client and the server, either way.
const QUEUE: usize = 16;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server
    #[arg(value_name = "NAME", value_parser = parse_server)]
    name: ServerName,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    let home = session::home()?;
    let definition = find(&home, &args.name)?;
    match &definition.kind {
        Kind::Program(program) => run_program(args, program, &home, ui),
        Kind::Remote(remote) => run_remote(args, remote, &home, ui),
    }
}

/// A secret that is about to be delivered.
struct Chosen {
    delivery: Delivery,
    value: SecretValue,
}

/// Returns the values of the secrets, each beside the place where it is.
fn values<'a>(
    args: &Args,
    ui: &Ui,
    places: impl ExactSizeIterator<Item = (Scope, &'a SecretName)>,
) -> Result<Vec<Chosen>, CommandError> {
    if places.len() == 0 {
        return Ok(Vec::new());
    }
    let vault = session::open(ui, &args.unlock)?;
    let mut chosen = Vec::with_capacity(places.len());
    let mut missing = Vec::new();
    for (scope, name) in places {
        match vault.find(&scope, name) {
            Some(entry) => chosen.push(Chosen {
                delivery: delivery(entry),
                value: vault.value(entry)?,
            }),
            None => missing.push(format!("{name} in scope {scope}")),
        }
    }
    if missing.is_empty() {
        return Ok(chosen);
    }
    Err(CommandError::missing(
        format!("{} needs secrets that are not saved:", args.name),
        missing,
    )
    .hint(format!(
        "mira set NAME --scope mcp/{}    saves one",
        args.name
    )))
}

fn run_program(
    args: &Args,
    program: &Program,
    home: &Home,
    ui: &Ui,
) -> Result<ExitCode, CommandError> {
    let places = program.secrets.iter().map(|(name, origin)| match origin {
        Origin::Own => (args.name.scope(), name),
        Origin::User(yours) => (Scope::User, yours),
    });
    let chosen = values(args, ui, places)?;
    let mut environment = Environment::inherit(std::env::vars_os());
    for (name, setting) in &program.settings {
        add(&mut environment, name.as_str().as_ref(), setting.as_bytes())?;
    }
    let mut needles = NeedleSet::builder();
    for (name, Chosen { value, .. }) in program.secrets.keys().zip(&chosen) {
        // EXPOSE: to the redactor, which looks for it in what the server says.
        needles.add(name.as_str(), value.expose());
        // The definition names the variable, so it wins over one that is inherited.
        // EXPOSE: to the server's environment: this is the delivery.
        add(&mut environment, name.as_str().as_ref(), value.expose())?;
    }
    let spec = RunSpec {
        program: OsString::from(&program.command),
        args: program.args.iter().map(OsString::from).collect(),
        environment,
        needles: Arc::new(needles.build()),
        messages: true,
        room: None,
    };
    let shown = format!(
        "{} (mcp {})",
        program_name(OsStr::new(&program.command)),
        args.name
    );
    let deliveries = chosen.into_iter().map(|chosen| chosen.delivery).collect();
    attend(spec, &shown, deliveries, home, ui)
}

fn run_remote(
    args: &Args,
    remote: &Remote,
    home: &Home,
    ui: &Ui,
) -> Result<ExitCode, CommandError> {
    let url = check_url(&remote.url)
        .map_err(|error| CommandError::failed(format!("{}: {error}", args.name)))?;
    let scope = args.name.scope();
    let chosen = values(
        args,
        ui,
        remote
            .secret_headers
            .values()
            .map(|name| (scope.clone(), name)),
    )?;
    let mut headers = http::HeaderMap::new();
    let mut put = |name: &str, value: &[u8], is_secret| {
        let wrong = || {
            CommandError::failed(format!(
                "{}: no request can carry the header {name} as it is",
                args.name
            ))
        };
        let mut value = http::HeaderValue::from_bytes(value).map_err(|_| wrong())?;
        value.set_sensitive(is_secret);
        headers.insert(check_header(name).ok_or_else(wrong)?, value);
        Ok::<_, CommandError>(())
    };
    for (name, value) in &remote.headers {
        put(name, value.as_bytes(), false)?;
    }
    let mut needles = NeedleSet::builder();
    for (header, Chosen { value, delivery }) in remote.secret_headers.keys().zip(&chosen) {
        // EXPOSE: to the redactor, which looks for it in what the server says.
        add_header_needles(&mut needles, &delivery.name, value.expose());
        // EXPOSE: to the header of the requests to the server: this is the delivery.
        put(header, value.expose(), true)?;
    }
    let endpoint = Endpoint {
        name: args.name.clone(),
        url,
        headers,
        transport: remote.transport,
    };
    let deliveries = chosen.into_iter().map(|chosen| chosen.delivery).collect();
    let mut lease = record(ui, home, &format!("mira mcp run {}", args.name), deliveries);
    if let Some(Err(error)) = lease
        .as_mut()
        .map(|lease| lease.started(std::process::id()))
    {
        ui.say(&format!("cannot record who holds the secrets: {error}"));
    }
    let outcome = carry(endpoint, Arc::new(needles.build()));
    drop(lease);
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Adds a header's value, and what stands behind its scheme (RFC 9110, section 11.4): servers repeat the token alone.
fn add_header_needles(needles: &mut NeedleSetBuilder, name: &SecretName, value: &[u8]) {
    needles.add(name.as_str(), value);
    if let Some(blank) = value.iter().position(|&byte| byte == b' ') {
        needles.add(name.as_str(), value.get(blank + 1..).unwrap_or_default());
    }
}

/// Carries messages between our own streams and the server.
fn carry(endpoint: Endpoint, needles: Arc<NeedleSet>) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (line, input) = mpsc::channel(QUEUE);
    let (event, events) = mpsc::channel(QUEUE);
    // It waits for the client until the process ends, and holds nothing that must be put in order.
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || read_lines(&line))?;
    let writer = thread::Builder::new()
        .name("output".to_owned())
        .spawn(move || write_events(events))?;
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Ok::<_, io::Error>(bridge::run(endpoint, needles, input, event, stop).await)
    });
    drop(runtime);
    // What was passed on is written before the end.
    drop(writer.join());
    outcome?.map_err(|failure| CommandError::failed(failure.to_string()))
}

fn read_lines(lines: &mpsc::Sender<Vec<u8>>) {
    let mut stdin = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        // LIMIT: a longer line is no message, and would fill the memory.
        let read = (&mut stdin)
            .take(MESSAGE_BYTES_MAX as u64)
            .read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) || lines.blocking_send(line).is_err() {
            return;
        }
    }
}

fn write_events(mut events: mpsc::Receiver<Event>) {
    let ui = Ui::new();
    while let Some(event) = events.blocking_recv() {
        match event {
            Event::Note(text) => ui.say(&text),
            Event::Line(line) => {
                let mut stdout = io::stdout().lock();
                // A client that reads no more is gone; the bridge hears of it when this ends.
                if stdout
                    .write_all(&line)
                    .and_then(|()| stdout.flush())
                    .is_err()
                {
                    return;
                }
            }
        }
    }
}
