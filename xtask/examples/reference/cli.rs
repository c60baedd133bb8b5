//! The page of the command line, from its own definition. It says nothing by itself: all words come from there.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::{Arg, Command};

use super::cell;

/// Returns the whole page.
pub(super) fn page() -> anyhow::Result<String> {
    let mut root = mira_cli::command();
    root.build();
    page_of(&root)
}

fn page_of(root: &Command) -> anyhow::Result<String> {
    let mut out = String::from(
        "<!-- Written by `cargo xtask gen` from the command line's definition. Change it there. -->\n\n# The command line\n",
    );
    let after = root
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    writeln!(
        out,
        "\n{}",
        root.get_about().context("`mira` has an about text")?
    )?;
    for paragraph in after.split("\n\n") {
        match paragraph.strip_prefix("Exit codes: ") {
            Some(codes) => exit_codes(&mut out, codes)?,
            None => writeln!(out, "\n{}", paragraph.trim())?,
        }
    }
    writeln!(
        out,
        "\n## Commands\n\n| command | what it does |\n|---|---|"
    )?;
    for command in shown(root) {
        let name = command.get_name();
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        writeln!(out, "| [`mira {name}`](#mira-{name}) | {} |", cell(&about))?;
    }
    for command in shown(root) {
        section(&mut out, "##", "mira", command)?;
    }
    Ok(out)
}

fn shown(root: &Command) -> impl Iterator<Item = &Command> {
    root.get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// Writes the exit codes as a table: `0 done; 1 failed. A sentence.`
fn exit_codes(out: &mut String, text: &str) -> anyhow::Result<()> {
    writeln!(out, "\n## Exit codes\n\n| code | means |\n|---|---|")?;
    let (codes, rest) = text.split_once(". ").unwrap_or((text, ""));
    for code in codes.split("; ") {
        let (number, meaning) = code
            .split_once(' ')
            .context("an exit code has a number and a meaning")?;
        writeln!(
            out,
            "| {number} | {} |",
            cell(meaning.trim_end_matches('.'))
        )?;
    }
    writeln!(out, "\n{}", rest.trim())?;
    Ok(())
}

/// Writes what a command is, below a heading of this level, and what its own commands are, one level deeper.
fn section(out: &mut String, level: &str, above: &str, command: &Command) -> anyhow::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let name = format!("{above} {}", command.get_name());
    writeln!(out, "\n{level} {name}\n")?;
    writeln!(
        out,
        "{}",
        command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default()
    )?;
    writeln!(out, "\n```text\n{usage}\n```")?;
    let arguments: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && argument.get_id() != "help")
        .collect();
    if !arguments.is_empty() {
        writeln!(out, "\n| argument | means |\n|---|---|")?;
        for argument in arguments {
            writeln!(
                out,
                "| `{}` | {} |",
                cell(&spelling(argument)),
                cell(&meaning(argument))
            )?;
        }
    }
    if let Some(after) = command.get_after_help() {
        let after = after.to_string();
        let (examples, words): (Vec<&str>, Vec<&str>) =
            after.lines().partition(|line| line.starts_with("  "));
        if !words.is_empty() {
            writeln!(out, "\n{}", words.join("\n"))?;
        }
        if !examples.is_empty() {
            let examples: Vec<&str> = examples.iter().map(|line| line.trim()).collect();
            writeln!(out, "\n```sh\n{}\n```", examples.join("\n"))?;
        }
    }
    for command in shown(command) {
        section(out, &format!("{level}#"), &name, command)?;
    }
    Ok(())
}

/// Returns how an argument is written.
fn spelling(argument: &Arg) -> String {
    let value = match argument.get_value_names() {
        Some(names) if argument.get_action().takes_values() => names
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "),
        _ => String::new(),
    };
    let flags = [
        argument.get_short().map(|short| format!("-{short}")),
        argument.get_long().map(|long| format!("--{long}")),
    ];
    let flags = flags.into_iter().flatten().collect::<Vec<_>>().join(", ");
    [flags, value]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns what an argument means, with its default and the values that it can have.
fn meaning(argument: &Arg) -> String {
    let mut text = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| argument.get_action().takes_values() && !value.is_hide_set())
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({help})", value.get_name()),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if !values.is_empty() {
        text = format!("{text}. One of: {}", values.join("; "));
    }
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    if !defaults.is_empty() {
        text = format!("{text}. Default: {}", defaults.join(", "));
    }
    text
}
