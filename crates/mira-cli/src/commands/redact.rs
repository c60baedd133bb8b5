//! `mira redact`: the redactor as a filter, and as a scanner.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use mira_redact::{Finding, NeedleSet, Redactor};
use mira_secret::Scope;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::json;

use crate::error::{CommandError, Kind};
use crate::render::count;
use crate::session::{self, UnlockArgs, parse_scope};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(after_help = "  mira redact < build.log > clean.log\n  mira redact --scan build.log")]
pub(crate) struct Args {
    /// Change nothing: report where secrets are, and exit with 1 if there are any
    #[arg(long)]
    scan: bool,

    /// Files to scan (with --scan); without any, stdin
    #[arg(value_name = "FILE", requires = "scan")]
    files: Vec<PathBuf>,

    /// Look for one scope's secrets only
    #[arg(long, value_name = "SCOPE", value_parser = parse_scope)]
    scope: Option<Scope>,

    /// Print the findings as a JSON array (with --scan)
    #[arg(long, requires = "scan")]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    ui.want_json(args.json);
    let needles = Arc::new(needles(args, ui)?);
    if args.scan {
        return scan(args, &needles, ui);
    }
    filter(&needles)?;
    Ok(ExitCode::SUCCESS)
}

fn needles(args: &Args, ui: &Ui) -> Result<NeedleSet, CommandError> {
    let vault = session::open(ui, &args.unlock)?;
    let mut builder = NeedleSet::builder();
    for entry in vault.secrets() {
        if args
            .scope
            .as_ref()
            .is_none_or(|scope| entry.scope() == scope)
        {
            for (name, value) in vault.delivered(entry)?.variables {
                // EXPOSE: to the redactor, which looks for it in the input.
                builder.add(name.as_str(), value.expose());
            }
        }
    }
    Ok(builder.build())
}

/// Copies stdin to stdout with every secret replaced.
///
/// What can still become a secret is held back until it cannot, or until its time is up.
fn filter(needles: &Arc<NeedleSet>) -> Result<(), CommandError> {
    let (input, output) = (io::stdin().lock(), io::stdout().lock());
    let mut redactor = Redactor::new(Arc::clone(needles));
    let copied = loop {
        let expired = wait(&input, redactor.deadline())
            .map_err(|error| CommandError::failed(format!("cannot wait for the input: {error}")))?;
        if expired {
            if let Err(error) = write(&output, redactor.expire(Instant::now())) {
                break Err(error);
            }
            continue;
        }
        let read = match rustix::io::read(&input, redactor.spare()) {
            Ok(0) => break write(&output, redactor.finish()),
            Ok(read) => read,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(error) => {
                return Err(CommandError::failed(format!(
                    "cannot read the input: {error}"
                )));
            }
        };
        if let Err(error) = write(&output, redactor.filled(read, Instant::now())) {
            break Err(error);
        }
    };
    match copied {
        // The reader has seen enough, as with `| head`.
        Err(Errno::PIPE) => Ok(()),
        Err(error) => Err(CommandError::failed(format!(
            "cannot write the output: {error}"
        ))),
        Ok(()) => Ok(()),
    }
}

/// Waits for input; returns whether the deadline came first.
fn wait(input: impl AsFd, deadline: Option<Instant>) -> rustix::io::Result<bool> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    let mut ready = [PollFd::new(&input, PollFlags::IN)];
    match poll(&mut ready, left.as_ref()) {
        Ok(number) => Ok(number == 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error),
    }
}

fn write(output: impl AsFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&output, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&output, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Where a finding is.
struct Found {
    file: String,
    finding: Finding,
}

fn scan(args: &Args, needles: &NeedleSet, ui: &Ui) -> Result<ExitCode, CommandError> {
    let mut found = Vec::new();
    let mut scan_one = |name: String, reader: &mut dyn Read| -> Result<(), CommandError> {
        let scan = needles
            .scan(reader)
            .map_err(|error| CommandError::failed(format!("cannot read {name}: {error}")))?;
        found.extend(scan.findings.into_iter().map(|finding| Found {
            file: name.clone(),
            finding,
        }));
        Ok(())
    };
    if args.files.is_empty() {
        scan_one("-".to_owned(), &mut io::stdin().lock())?;
    }
    for path in &args.files {
        let mut file = File::open(path).map_err(|error| {
            CommandError::failed(format!("cannot read {}: {error}", path.display()))
        })?;
        scan_one(path.display().to_string(), &mut file)?;
    }
    report(args, &found, ui)?;
    Ok(if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        Kind::Failed.exit_code()
    })
}

fn report(args: &Args, found: &[Found], ui: &Ui) -> Result<(), CommandError> {
    if args.json {
        let list: Vec<_> = found
            .iter()
            .map(|Found { file, finding }| {
                json!({
                    "file": file,
                    "name": finding.name.as_ref() as &str,
                    "offset": finding.offset,
                    "bytes": finding.len,
                    "form": finding.form.to_string(),
                })
            })
            .collect();
        return ui.json(&list.into());
    }
    for Found { file, finding } in found {
        ui.data(&format!(
            "{file}:{}: {} ({} bytes, {})\n",
            finding.offset, finding.name, finding.len, finding.form
        ))?;
    }
    ui.say(&match found.len() {
        0 => "no secret found".to_owned(),
        number => format!("{} of a secret found", count(number, "occurrence")),
    });
    Ok(())
}
