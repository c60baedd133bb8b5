//! `mira set`: saves a secret, or replaces its value.

use std::ffi::OsString;
use std::io;

use jiff::Timestamp;
use mira_redact::Coverage;
use mira_secret::{ENTRY_BYTES_MAX, Kind, Scope, SecretBytes, SecretName, SecretValue};
use mira_vault::{NewSecret, Vault};

use crate::error::CommandError;
use crate::render::count;
use crate::session::{self, UnlockArgs, holders, parse_name, parse_scope};
use crate::ui::Ui;

/// The longest label, in characters.
const LABEL_CHARS_MAX: usize = 200;

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "mira set NAME [--stdin] [--label TEXT] [--kind KIND] [--scope SCOPE] [--replace]",
    after_help = "The value is asked for without showing it, or read with --stdin as it is, less one trailing newline:\n  \
                  mira set OPENAI_API_KEY\n  mira set TLS_KEY --kind private-key --stdin < key.pem"
)]
pub(crate) struct Args {
    /// The secret's name: the environment variable that carries it
    #[arg(value_name = "NAME", allow_hyphen_values = false)]
    pub(crate) name: OsString,

    /// Not for values: it is here so that one typed here is refused without being repeated.
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = false)]
    pub(crate) value: Vec<OsString>,

    /// Read the value from stdin, as it is, less one trailing newline
    #[arg(long)]
    pub(crate) stdin: bool,

    /// A name for people, such as "OpenAI API Key"
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,

    /// What the value is: token, password, private-key or url
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    pub(crate) kind: Option<Kind>,

    /// Who may have it: user, mcp/<server> or instance/<id>
    #[arg(long, value_name = "SCOPE", default_value = "user", value_parser = parse_scope)]
    pub(crate) scope: Scope,

    /// Replace a saved value without asking
    #[arg(long)]
    pub(crate) replace: bool,

    #[command(flatten)]
    pub(crate) unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let name = checked_name(args)?;
    let label = args.label.as_deref().map(checked_label).transpose()?;
    let home = session::home()?;
    let mut vault = session::open(ui, &args.unlock)?;
    let known = vault.find(&args.scope, &name).is_some();
    if known && !args.replace {
        let question = format!("{name} is saved already. Replace its value?");
        if !ui.confirm(&question, "--replace")? {
            return Err(CommandError::failed(format!("{name} was left as it is")));
        }
    }
    let value = read_value(args, &name, ui)?;
    let coverage = coverage(&name, &value);
    let (id, version) = save(&mut vault, args, &name, value, label)?;
    ui.say(&match version {
        1 => format!("saved {name} in scope {}", args.scope),
        _ => format!(
            "replaced {name} in scope {} (version {version})",
            args.scope
        ),
    });
    warn_coverage(ui, &name, coverage);
    tell_stale(ui, &home, &id, version)
}

/// Refuses a value in the arguments, without repeating it.
pub(crate) fn checked_name(args: &Args) -> Result<SecretName, CommandError> {
    let text = args.name.to_str();
    if !args.value.is_empty() || text.is_some_and(|text| text.contains('=')) {
        return Err(CommandError::usage(
            "a value is never given on the command line: other users see it there, and the shell's history keeps it",
        )
        .hint("mira set NAME            asks for it without showing it")
        .hint("mira set NAME --stdin    reads it, for example from a file: mira set NAME --stdin < FILE")
        .hint("If that was a real value, replace it where it was issued: it may be in the history now."));
    }
    parse_name(text.unwrap_or("\u{fffd}"))
}

fn checked_label(label: &str) -> Result<String, CommandError> {
    if label.chars().any(char::is_control) || label.chars().count() > LABEL_CHARS_MAX {
        return Err(CommandError::usage(format!(
            "a label is one line of at most {LABEL_CHARS_MAX} characters"
        )));
    }
    Ok(label.to_owned())
}

pub(crate) fn parse_kind(text: &str) -> Result<Kind, String> {
    text.parse()
        .map_err(|error: mira_secret::KindError| error.to_string())
}

fn read_value(args: &Args, name: &SecretName, ui: &Ui) -> Result<SecretValue, CommandError> {
    let bytes: SecretBytes = if args.stdin {
        session::read_secret(io::stdin().lock(), ENTRY_BYTES_MAX as u64)
            .map_err(|error| CommandError::failed(format!("cannot take {name}: {error}")))?
    } else if ui.can_ask() {
        ui.ask_hidden(&format!("Value of {name} (not shown): "))?
    } else {
        return Err(CommandError::missing(
            "there is no terminal to ask for the value on; give it with --stdin",
            [name],
        ));
    };
    SecretValue::new(name, bytes)
        .map_err(|error| CommandError::failed(format!("{name} was not saved: {error}")))
}

fn save(
    vault: &mut Vault,
    args: &Args,
    name: &SecretName,
    value: SecretValue,
    label: Option<String>,
) -> Result<(String, u64), CommandError> {
    let new = NewSecret {
        value,
        label,
        kind: args.kind,
        now: Timestamp::now(),
    };
    Ok(vault.update(|draft| {
        let entry = draft.set(&args.scope, name, new)?;
        Ok((entry.id().to_string(), entry.version()))
    })?)
}

/// Returns how much of the value's spellings the redactor can find.
pub(crate) fn coverage(name: &SecretName, value: &SecretValue) -> Coverage {
    let mut builder = mira_redact::NeedleSet::builder();
    // EXPOSE: to the redactor, which says how well it can find the value and forgets it.
    builder.add(name.as_str(), value.expose())
}

/// Says so where a value is too short to be found.
pub(crate) fn warn_coverage(ui: &Ui, name: &SecretName, coverage: Coverage) {
    match coverage {
        Coverage::TooShort => ui.say(&format!(
            "{name} has fewer than 4 bytes: it is NOT redacted from output, or ordinary text would be too"
        )),
        Coverage::RawOnly => ui.say(&format!(
            "{name} has fewer than 8 bytes: it is redacted as it is, but not when encoded"
        )),
        _ => {}
    }
}

/// Notes in the leases of older versions that they are stale, and names their holders.
pub(crate) fn tell_stale(
    ui: &Ui,
    home: &mira_vault::home::Home,
    id: &str,
    version: u64,
) -> Result<(), CommandError> {
    if version == 1 {
        return Ok(());
    }
    if let Err(error) = session::leases(home).mark_stale(id, version, Timestamp::now()) {
        ui.say(&format!("cannot note who holds the old value: {error}"));
    }
    let stale: Vec<_> = holders(ui, home)
        .into_iter()
        .filter(|holder| holder.delivery.secret_id == id && holder.delivery.version < version)
        .collect();
    if !stale.is_empty() {
        ui.say(&format!(
            "{} keep the old value until restarted:",
            count(stale.len(), "running process").replace("processs", "processes")
        ));
        for holder in stale {
            ui.detail(&format!("{} (pid {})", holder.program, holder.pid));
        }
    }
    Ok(())
}
