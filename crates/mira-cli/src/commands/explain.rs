//! `mira explain`: what a process would get for a name, from where and why, and who holds it.

use std::fmt::Write;

use jiff::Timestamp;
use mira_run::lease::Holder;
use mira_secret::{Kind, Scope, SecretName};
use mira_vault::settings::Settings;
use mira_vault::{AWS_REGION_VARIABLES, Entry};
use serde_json::json;

use crate::commands::list::holder_json;
use crate::commands::run::{Inherited, inherited};
use crate::commands::set::coverage;
use crate::error::CommandError;
use crate::render::expiry;
use crate::render::minute;
use crate::session::{self, UnlockArgs, parse_name, parse_scope, stale_since};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The name to explain
    #[arg(value_name = "NAME")]
    name: String,

    /// Whose secret: user, mcp/<server> or instance/<id>
    #[arg(long, value_name = "SCOPE", default_value = "user", value_parser = parse_scope)]
    scope: Scope,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

/// What decides over the name.
struct Explanation<'a> {
    name: &'a SecretName,
    scope: &'a Scope,
    entry: Option<&'a Entry>,
    /// The variables that a secret of several is delivered as.
    parts: Vec<String>,
    expires: Option<Timestamp>,
    /// The AWS region that is set, if that is what the name says.
    region: Option<String>,
    inherited: Inherited,
    redaction: &'static str,
    elsewhere: Vec<String>,
    holders: Vec<Holder>,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let name = parse_name(&args.name)?;
    let home = session::home()?;
    let vault = session::open(ui, &args.unlock)?;
    let entry = vault.carrier(&args.scope, &name)?;
    let delivered = entry.map(|entry| vault.delivered(entry)).transpose()?;
    let mut holders = session::holders(ui, &home);
    holders.retain(|holder| match entry {
        Some(entry) => holder.delivery.secret_id == entry.id().to_string(),
        None => holder.delivery.name == name && holder.delivery.scope == args.scope,
    });
    let variables = delivered.iter().flat_map(|delivered| &delivered.variables);
    let of_name = variables.clone().find(|(variable, _)| *variable == name);
    // AWS credentials are several variables, and none of their own name.
    let (inherited, redaction) = match of_name.or_else(|| variables.clone().next()) {
        Some((variable, value)) => (
            inherited(variable, value),
            redaction(coverage(variable, value)),
        ),
        None if std::env::var_os(name.as_str()).is_some() => (Inherited::Different, "no"),
        None => (Inherited::Absent, "no"),
    };
    let parts = match entry {
        Some(entry) if entry.kind() == Kind::AwsCredentials => variables
            .map(|(variable, _)| variable.to_string())
            .collect(),
        _ => Vec::new(),
    };
    let names_region = AWS_REGION_VARIABLES.contains(&name.as_str());
    let region = match entry {
        None if names_region && inherited == Inherited::Absent => Settings::read(&home)?.aws_region,
        _ => None,
    };
    let elsewhere = vault
        .secrets()
        .filter(|entry| *entry.name() == name && *entry.scope() != args.scope)
        .map(|entry| entry.scope().to_string())
        .collect();
    let explanation = Explanation {
        name: &name,
        scope: &args.scope,
        entry,
        parts,
        expires: delivered.as_ref().and_then(|delivered| delivered.expires),
        region: region.map(|region| region.to_string()),
        inherited,
        redaction,
        elsewhere,
        holders,
    };
    if args.json {
        ui.json(&explanation.json())?;
    } else {
        ui.data(&explanation.text())?;
    }
    if entry.is_none() && inherited == Inherited::Absent && explanation.region.is_none() {
        ui.want_json(false);
        return Err(CommandError::missing(
            format!("nothing sets {name} in scope {}:", args.scope),
            [&name],
        )
        .hint(format!("`mira set {name}` saves it.")));
    }
    Ok(())
}

fn redaction(coverage: mira_redact::Coverage) -> &'static str {
    match coverage {
        mira_redact::Coverage::TooShort => "no: fewer than 4 bytes",
        mira_redact::Coverage::RawOnly => "only as it is: fewer than 8 bytes",
        _ => "in every known spelling",
    }
}

impl Explanation<'_> {
    /// Returns where a process's value would come from, and why.
    fn source(&self) -> (&'static str, String) {
        match (self.entry, self.inherited) {
            (Some(entry), Inherited::Absent) => (
                "vault",
                format!(
                    "version {} is saved in scope {}{}, and nothing else sets the name",
                    entry.version(),
                    self.scope,
                    self.within(entry)
                ),
            ),
            (Some(entry), Inherited::Same) => (
                "vault",
                format!(
                    "version {} is saved in scope {}{}, and the environment has the same value",
                    entry.version(),
                    self.scope,
                    self.within(entry)
                ),
            ),
            (Some(_), Inherited::Different) => (
                "undecided",
                "the environment sets another value; `mira run` refuses until --prefer says which"
                    .to_owned(),
            ),
            (None, Inherited::Absent) if self.region.is_some() => (
                "setting",
                format!(
                    "{} is the region of your AWS credentials, which a process gets with them where nothing else sets one",
                    self.region.as_deref().unwrap_or_default()
                ),
            ),
            (None, Inherited::Absent) => (
                "nothing",
                "it is neither saved nor in the environment".to_owned(),
            ),
            (None, _) => (
                "environment",
                format!(
                    "it is not saved in scope {}; the environment's value passes through, not redacted",
                    self.scope
                ),
            ),
        }
    }

    /// Says of which secret the variable is a part.
    fn within(&self, entry: &Entry) -> String {
        match entry.name() == self.name {
            true => String::new(),
            false => format!(" as a part of {}", entry.name()),
        }
    }

    fn text(&self) -> String {
        let (source, why) = self.source();
        let mut text = format!("{}\n  comes from  {source}: {why}\n", self.name);
        let mut line = |head: &str, body: &str| {
            writeln!(text, "  {head:<11} {body}").expect("writing to a String cannot fail");
        };
        if let Some(entry) = self.entry {
            let rotated = if entry.version() > 1 {
                format!(", rotated {}", minute(entry.updated()))
            } else {
                String::new()
            };
            line("saved", &format!("{}{rotated}", minute(entry.created())));
            line("redacted", self.redaction);
        }
        if !self.parts.is_empty() {
            line("delivered", &format!("as {}", self.parts.join(", ")));
        }
        if let Some(expires) = self.expires {
            line("expires", &expiry(expires));
        }
        if !self.elsewhere.is_empty() {
            line(
                "also in",
                &format!(
                    "{} (a scope's secrets stay in it)",
                    self.elsewhere.join(", ")
                ),
            );
        }
        for holder in &self.holders {
            let version = holder.delivery.version;
            let state = match self.entry {
                None => "removed from the vault since".to_owned(),
                Some(entry) => match stale_since(holder, entry) {
                    Some(since) => format!("stale since {}: restart it", minute(since)),
                    None => "current".to_owned(),
                },
            };
            line(
                "held by",
                &format!(
                    "{} (pid {}) since {}, version {version}, {state}",
                    holder.program,
                    holder.pid,
                    minute(holder.started)
                ),
            );
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let (source, why) = self.source();
        json!({
            "name": self.name.as_str(),
            "scope": self.scope.to_string(),
            "source": source,
            "why": why,
            "version": self.entry.map(Entry::version),
            "delivered_as": self.parts,
            "expires": self.expires.map(|time| time.to_string()),
            "redacted": self.redaction,
            "also_in": self.elsewhere,
            "held_by": self.holders.iter().map(|holder| holder_json(holder, self.entry)).collect::<Vec<_>>(),
        })
    }
}
