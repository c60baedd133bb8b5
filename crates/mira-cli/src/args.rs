//! How a command line is read, and how its errors are told without repeating what was typed.
//!
//! INVARIANT: no text that may be a value is printed. Clap's errors repeat arguments, and an argument may be a secret
//! that somebody typed in the wrong place.

use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::commands::{Own, Program};
use crate::error::Kind;

/// How long a part of a value is that says something of it, in bytes.
const TELLING_BYTES: usize = 6;

/// Run programs on your own keys, and the keys do not leak.
#[derive(Debug, Parser)]
#[command(
    name = "mira",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    infer_long_args = false,
    after_help = "These are the commands for secrets. Those for apps, the desk, servers and providers are in `mira-apps`, which is \
                  not beside this program."
)]
struct OwnCli {
    #[command(subcommand)]
    command: Own,
}

/// The command line of `mira run`, which is all that it needs.
#[derive(Debug, Parser)]
#[command(name = "mira", version, infer_long_args = false)]
pub(crate) struct ProgramCli {
    #[command(subcommand)]
    command: Program,
}

/// Parses the command line of one of `mira`'s own commands; `None` if it is of no such command.
///
/// `mira run` is parsed by its own definition alone: to define all commands takes a good part of the time that it adds to
/// a program's start.
pub(crate) fn parse_own() -> Result<Option<Own>, clap::Error> {
    let word = std::env::args_os().nth(1);
    match word.as_ref().and_then(|word| word.to_str()) {
        Some(Program::WORD) => ProgramCli::try_parse().map(|cli| Some(Own::Program(cli.command))),
        Some(word) if Own::has_subcommand(word) => OwnCli::try_parse().map(|cli| Some(cli.command)),
        _ => Ok(None),
    }
}

/// Returns what clap says where a command line asks for nothing but help or the version; `None` if it asks for more.
pub(crate) fn general() -> Option<clap::Error> {
    let error = OwnCli::try_parse().err()?;
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
    .then_some(error)
}

/// Prints help and version to stdout; says what is wrong with a command line otherwise.
pub(crate) fn report(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed stdout is no reason to fail: the reader has seen enough.
            drop(error.print());
            match error.kind() {
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Kind::Usage.exit_code(),
                _ => ExitCode::SUCCESS,
            }
        }
        kind => {
            drop(writeln!(
                std::io::stderr(),
                "mira: {}",
                without_values(error, kind)
            ));
            Kind::Usage.exit_code()
        }
    }
}

pub(crate) fn without_values(error: &clap::Error, kind: ErrorKind) -> String {
    let named = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => known_flag(arg),
        Some(ContextValue::Strings(args)) => args
            .iter()
            .map(|arg| known_flag(arg))
            .collect::<Vec<_>>()
            .join(", "),
        _ => String::new(),
    };
    let what = match kind {
        ErrorKind::InvalidSubcommand => "there is no such command".to_owned(),
        ErrorKind::UnknownArgument => {
            "an argument was not expected (it is not repeated here: it may be a value)".to_owned()
        }
        ErrorKind::MissingRequiredArgument => format!("missing: {named}"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            match (allowed(error), reason(error)) {
                (Some(allowed), _) => format!("{named} is one of: {allowed}"),
                (None, Some(reason)) => format!("{named}: {reason}"),
                (None, None) => format!("{named} has a value that it cannot take"),
            }
        }
        ErrorKind::ArgumentConflict => format!("{named} cannot be used with another given option"),
        _ => kind
            .as_str()
            .unwrap_or("the command line is not understood")
            .to_owned(),
    };
    let similar = match error
        .get(ContextKind::SuggestedSubcommand)
        .or_else(|| error.get(ContextKind::SuggestedArg))
    {
        Some(ContextValue::String(text)) => format!("; did you mean `{text}`?"),
        Some(ContextValue::Strings(texts)) if !texts.is_empty() => {
            format!("; did you mean `{}`?", texts.join("`, `"))
        }
        _ => String::new(),
    };
    format!("{what}{similar}\nSee `mira --help`, or `mira COMMAND --help`.")
}

/// Returns an argument's own name; what follows `=` may be a value.
fn known_flag(arg: &str) -> String {
    if arg.starts_with('-') || arg.starts_with('<') || arg.starts_with('[') {
        match arg.split_once('=') {
            // In `--broker <NAME=HOST>` it stands in the option's own description.
            Some((flag, _)) if !flag.contains('<') => flag.to_owned(),
            _ => arg.to_owned(),
        }
    } else {
        "an argument".to_owned()
    }
}

/// Returns why a value cannot be taken, in its parser's words, unless they repeat a part of it.
fn reason(error: &clap::Error) -> Option<String> {
    let reason = std::error::Error::source(error)?.to_string();
    match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => (!repeats(&reason, value)).then_some(reason),
        _ => None,
    }
}

/// Returns whether so much of a value stands in a text that it says something of it.
fn repeats(text: &str, value: &str) -> bool {
    let mut parts = value.as_bytes().windows(TELLING_BYTES);
    let text = text.as_bytes();
    parts.any(|part| text.windows(TELLING_BYTES).any(|there| there == part))
}

fn allowed(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => Some(values.join(", ")),
        _ => None,
    }
}
