//! The command line's shape, and how its errors are told without repeating what was typed.
//!
//! INVARIANT: no text that may be a value is printed. Clap's errors repeat arguments, and an argument may be a secret
//! that somebody typed in the wrong place.

use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use crate::commands::{Command, Program};
use crate::error::Kind;

/// Run AI apps on your own keys, and the keys do not leak.
#[derive(Debug, Parser)]
#[command(
    name = "mira",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    infer_long_args = false,
    after_help = "MIRA_HOME moves everything that Mira keeps; by default it is the application-data folder of the \
                  system (on Linux ~/.config/mira).\n\n\
                  Exit codes: 0 done; 1 failed; 2 wrong usage; 3 something required is missing; 4 the vault is locked \
                  or its key cannot be reached; 5 integrity or trust refused; 6 locked out after wrong guesses. \
                  `run` returns the program's own status, 126 or 127 where it could not be started."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command line of `mira run`, which is all that it needs.
#[derive(Debug, Parser)]
#[command(name = "mira", version, infer_long_args = false)]
struct ProgramCli {
    #[command(subcommand)]
    command: Program,
}

/// Parses the command line.
///
/// `mira run` is parsed by its own definition alone: to define all commands takes a third of the time that it adds to a
/// program's start.
pub(crate) fn parse() -> Result<Command, clap::Error> {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == Program::WORD)
    {
        return ProgramCli::try_parse().map(|cli| Command::Program(cli.command));
    }
    Cli::try_parse().map(|cli| cli.command)
}

/// Returns the whole command line as clap sees it, for help, completions, man pages and the reference.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
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

fn without_values(error: &clap::Error, kind: ErrorKind) -> String {
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
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => match allowed(error) {
            Some(allowed) => format!("{named} is one of: {allowed}"),
            None => format!("{named} has a value that it cannot take"),
        },
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
        arg.split('=').next().unwrap_or_default().to_owned()
    } else {
        "an argument".to_owned()
    }
}

fn allowed(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => Some(values.join(", ")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn run_is_the_same_command_alone_and_among_all() {
        let help = |mut command: clap::Command| {
            let words = ["mira", Program::WORD, "--help"];
            let shown = command.try_get_matches_from_mut(words);
            shown.expect_err("help is shown").to_string()
        };
        assert_eq!(help(ProgramCli::command()), help(command()));
    }

    #[test]
    fn errors_never_repeat_what_may_be_a_value() {
        const CANARY: &str = "sk-proj-canary";
        let lines: [&[&str]; 9] = [
            &["mira", CANARY],
            &["mira", "set", "NAME", "--value", CANARY],
            &["mira", "set", "NAME", "--value=sk-proj-canary"],
            &["mira", "set", "NAME", "--sk-proj-canary"],
            &["mira", "set", "NAME", "--kind", CANARY],
            &["mira", "set", "NAME", "--stdin=sk-proj-canary"],
            &["mira", "init", "--provider", CANARY],
            &["mira", "unlock", CANARY],
            &["mira", "list", "--json=sk-proj-canary"],
        ];
        for line in lines {
            let error = command()
                .try_get_matches_from(line)
                .expect_err("is refused");
            let told = without_values(&error, error.kind());
            assert!(!told.contains(CANARY), "{line:?}: {told}");
        }
    }
}
