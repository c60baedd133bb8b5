//! The whole command line: all commands, as `mira-apps` parses them and as help, completions and pages show them.

use clap::{CommandFactory, Parser};

use super::commands::Command;

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

/// Parses the command line.
pub(super) fn parse() -> Result<Command, clap::Error> {
    Cli::try_parse().map(|cli| cli.command)
}

/// Returns the whole command line as clap sees it, for help, completions, man pages and the reference.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{ProgramCli, without_values};
    use crate::commands::Program;

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
        let lines: [&[&str]; 14] = [
            &["mira", CANARY],
            &["mira", "set", "NAME", "--value", CANARY],
            &["mira", "set", "NAME", "--value=sk-proj-canary"],
            &["mira", "set", "NAME", "--sk-proj-canary"],
            &["mira", "set", "NAME", "--kind", CANARY],
            &["mira", "set", "NAME", "--stdin=sk-proj-canary"],
            &["mira", "init", "--provider", CANARY],
            &["mira", "unlock", CANARY],
            &["mira", "list", "--json=sk-proj-canary"],
            &["mira", "list", "--scope", CANARY],
            &["mira", "hooks", "list", "--state", CANARY],
            &["mira", "hooks", "list", "--limit", CANARY],
            &["mira", "provider", "set", "openai", "--base-url", CANARY],
            &["mira", "net", "test", "app", "sk-proj-canary://"],
        ];
        for line in lines {
            let error = command()
                .try_get_matches_from(line)
                .expect_err("is refused");
            let told = without_values(&error, error.kind());
            assert!(!told.contains(CANARY), "{line:?}: {told}");
        }
    }

    #[test]
    fn an_error_says_why_a_value_cannot_be_taken() {
        for (line, why) in [
            (
                &["mira", "aws", "set", "--expires", "yesterday"][..],
                "--expires <TIME>: a time such as",
            ),
            (
                &["mira", "mcp", "rm", "no/name"],
                "<NAME>: the id in a scope has 1 to",
            ),
        ] {
            let error = command()
                .try_get_matches_from(line)
                .expect_err("is refused");
            let told = without_values(&error, error.kind());
            assert!(told.contains(why), "{told}");
        }
    }
}
