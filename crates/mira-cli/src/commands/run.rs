//! `mira run`: runs a program with secrets in its environment and its output redacted.

mod choose;
mod gate;
mod held;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use jiff::Timestamp;
use mira_run::lease::{Delivery, Lease, NewLease};
use mira_run::{Environment, Outcome, Report, RunError, RunSpec};
use mira_secret::Scope;
use mira_vault::home::Home;
use mira_vault::settings::Settings;
use mira_vault::{AWS_REGION_VARIABLES, Entry, Vault};

use self::choose::choose;
use crate::error::{CommandError, Kind};
use crate::programs;
use crate::session::{self, UnlockArgs, parse_names, parse_scope};
use crate::ui::Ui;

pub(crate) use self::choose::{Chosen, Inherited, delivery, inherited};
pub(crate) use self::gate::{Gate, GateArgs, Gates};
pub(crate) use self::held::refuse_held;

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "mira run [OPTIONS] -- PROGRAM [ARGUMENT]...",
    after_help = "The program gets every secret of the scope (or those of --only) as environment variables, but the server's own \
                  (MIRA_GITHUB_PRIVATE_KEY, MIRA_WEBHOOK_SECRET, MIRA_OIDC_CLIENT_SECRET), which --only alone gives; nothing \
                  else changes for it. What it prints is redacted.\n  mira run -- python3 agent.py\n  \
                  mira run --only OPENAI_API_KEY --with AWS_REGION=eu-west-1 -- npx -y some-server\n  \
                  mira run --broker OPENAI_API_KEY=api.openai.com -- python3 agent.py"
)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,

    /// Set a variable that is no secret
    #[arg(long = "with", value_name = "NAME=VALUE")]
    settings: Vec<OsString>,

    /// Which value wins where the environment has the same name with another value
    #[arg(long, value_enum)]
    prefer: Option<Prefer>,

    #[command(flatten)]
    gate: GateArgs,

    #[command(flatten)]
    unlock: UnlockArgs,

    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM"
    )]
    program: Vec<OsString>,
}

/// Which secrets are meant.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Choice {
    /// Take this secret only (may be repeated, or a list with commas)
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "except"
    )]
    pub(crate) only: Vec<String>,

    /// Take all but this secret (may be repeated, or a list with commas)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) except: Vec<String>,

    /// Whose secrets: user, mcp/<server> or instance/<id>
    #[arg(long, value_name = "SCOPE", default_value = "user", value_parser = parse_scope)]
    pub(crate) scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prefer {
    /// The saved secret
    Vault,
    /// What the environment has already
    Inherited,
}

/// Runs the program; without anything that opens gates, one that is to be behind a gate is `mira-apps`'s business.
pub(crate) fn run(
    args: Args,
    ui: &Ui,
    gates: Option<&dyn Gates>,
) -> Result<ExitCode, CommandError> {
    let gates = match (args.gate.is_asked_for(), gates) {
        (true, None) => return Err(programs::become_apps()),
        (true, gates) => gates,
        (false, _) => None,
    };
    let home = session::home()?;
    let mut settings = settings(&args.settings)?;
    let vault = session::open(ui, &args.unlock)?;
    let chosen = choose(&vault, &args.choice, args.prefer, &settings, ui)?;
    for brokered in &args.gate.broker {
        choose::refuse_absent(&vault, &args.choice, args.prefer, &brokered.name, &chosen)?;
    }
    drop(vault);
    if chosen.iter().any(Chosen::is_aws) {
        settings.extend(region(&home, &settings)?);
    }
    let program = args.program.first().cloned().unwrap_or_default();
    let shown = program_name(&program);

    let mut needles = mira_redact::NeedleSet::builder();
    let mut brokered = mira_redact::NeedleSet::builder();
    let mut environment = Environment::inherit(std::env::vars_os());
    for (name, value) in &settings {
        add(&mut environment, name, value)?;
    }
    for name in choose::in_the_way(&chosen) {
        environment.remove(name.as_ref());
    }
    for given in &chosen {
        let Chosen { name, value, .. } = given;
        // EXPOSE: to the redactor, which looks for it in the program's output.
        needles.add(name.as_str(), value.expose());
        if args.gate.brokers(given) {
            environment.remove(name.as_str().as_ref());
            // EXPOSE: to the search for it in what the program would get.
            brokered.add(name.as_str(), value.expose());
        } else {
            add(
                &mut environment,
                name.as_str().as_ref(),
                // EXPOSE: to the program's environment: this is the delivery.
                value.expose(),
            )?;
        }
    }
    let brokered = brokered.build();
    if !brokered.is_empty() {
        let is_set = |variable: &OsStr| {
            settings.iter().any(|(name, _)| name == variable)
                || chosen.iter().any(|chosen| variable == chosen.name.as_str())
        };
        refuse_held(&brokered, &environment, &args.program, |variable| {
            !is_set(variable)
        })?;
    }
    let gate = gates.map(|gates| gates.open(&args.gate, &home, &shown, &chosen, ui));
    let gate = gate.transpose()?;
    for (name, value) in gate.iter().flat_map(|gate| gate.variables()) {
        add(&mut environment, &name, value.as_encoded_bytes())?;
    }
    let held = chosen.into_iter();
    let held = held.filter(|chosen| !args.gate.brokers(chosen));
    let mut deliveries: Vec<Delivery> = held.map(|chosen| chosen.delivery).collect();
    // The parts of AWS credentials are one secret.
    deliveries.dedup_by(|a, b| a.secret_id == b.secret_id);
    let needles = Arc::new(needles.build());
    let room = gate.as_ref().map(|gate| gate.room()).transpose()?.flatten();
    let spec = RunSpec {
        program,
        args: args.program.into_iter().skip(1).collect(),
        environment,
        needles,
        messages: false,
        room,
    };

    let ended = attend(spec, &shown, deliveries, &home, ui);
    if let Some(gate) = gate {
        gate.close(ui);
    }
    ended
}

/// Runs the program with a lease for what it holds, and ends as it did.
pub(crate) fn attend(
    spec: RunSpec,
    shown: &str,
    deliveries: Vec<Delivery>,
    home: &Home,
    ui: &Ui,
) -> Result<ExitCode, CommandError> {
    let mut lease = record(ui, home, shown, deliveries);
    let ran = mira_run::run(spec, &mut |pid| {
        if let Some(Err(error)) = lease.as_mut().map(|lease| lease.started(pid)) {
            ui.say(&format!("cannot record the process id of {shown}: {error}"));
        }
    });
    drop(lease);
    match ran {
        Ok(report) => Ok(end(&report, ui)),
        Err(error) => Err(not_started(&error)),
    }
}

pub(crate) fn add(
    environment: &mut Environment,
    name: &OsStr,
    value: &[u8],
) -> Result<(), CommandError> {
    environment
        .set(name, value)
        .map_err(|error| CommandError::usage(error.to_string()))
}

/// Ends as the program did.
fn end(report: &Report, ui: &Ui) -> ExitCode {
    for (stream, error) in &report.failed {
        ui.say(&format!("cannot write to {stream}: {error}"));
    }
    match report.outcome {
        Outcome::Exited(code) => ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        Outcome::Signaled(signal) => ExitCode::from(mira_run::die_by(signal)),
    }
}

fn not_started(error: &RunError) -> CommandError {
    CommandError::new(Kind::NotStarted(error.exit_code()), error.to_string())
}

/// Records that the program is about to hold the secrets; a home that cannot be written does not stop it.
pub(crate) fn record(
    ui: &Ui,
    home: &Home,
    program: &str,
    deliveries: Vec<Delivery>,
) -> Option<Lease> {
    if deliveries.is_empty() {
        return None;
    }
    let lease = NewLease {
        program: program.to_owned(),
        started: Timestamp::now(),
        deliveries,
    };
    session::leases(home)
        .take(&lease)
        .map_err(|error| {
            ui.say(&format!(
                "cannot record that {program} holds these secrets: {error}"
            ));
        })
        .ok()
}

impl Choice {
    /// Returns the entries that are meant; a name that is asked for and not saved is an error.
    pub(crate) fn entries<'a>(&self, vault: &'a Vault) -> Result<Vec<&'a Entry>, CommandError> {
        let only = parse_names(&self.only)?;
        let except = parse_names(&self.except)?;
        let missing: Vec<_> = only
            .iter()
            .chain(&except)
            .filter(|name| vault.find(&self.scope, name).is_none())
            .collect();
        if !missing.is_empty() {
            return Err(CommandError::missing(
                format!("not saved in scope {}:", self.scope),
                missing,
            )
            .hint("`mira set NAME` saves one; `mira list` shows what there is."));
        }
        Ok(vault
            .secrets()
            .filter(|entry| *entry.scope() == self.scope)
            .filter(|entry| match only.is_empty() {
                true => !entry.name().is_of_server(),
                false => only.contains(entry.name()),
            })
            .filter(|entry| !except.contains(entry.name()))
            .collect())
    }
}

/// Returns the variables of the region that the AWS credentials are for, where nothing else sets one.
fn region(
    home: &Home,
    settings: &[(OsString, Vec<u8>)],
) -> Result<Vec<(OsString, Vec<u8>)>, CommandError> {
    let is_set = |name: &str| {
        std::env::var_os(name).is_some() || settings.iter().any(|(known, _)| known == name)
    };
    if AWS_REGION_VARIABLES.into_iter().any(is_set) {
        return Ok(Vec::new());
    }
    let region = Settings::read(home)?.aws_region;
    let variables = region.into_iter().flat_map(|region| {
        let value = region.as_str().as_bytes().to_vec();
        AWS_REGION_VARIABLES.map(|name| (name.into(), value.clone()))
    });
    Ok(variables.collect())
}

/// Splits `NAME=VALUE` settings.
fn settings(texts: &[OsString]) -> Result<Vec<(OsString, Vec<u8>)>, CommandError> {
    texts
        .iter()
        .map(|text| {
            let bytes = text.as_encoded_bytes();
            let wrong = || CommandError::usage("--with takes NAME=VALUE");
            let split = bytes
                .iter()
                .position(|&byte| byte == b'=')
                .ok_or_else(wrong)?;
            let (name, value) = bytes.split_at(split);
            let name = session::parse_name(&String::from_utf8_lossy(name))?;
            Ok((
                name.as_str().into(),
                value.get(1..).unwrap_or_default().to_vec(),
            ))
        })
        .collect()
}

/// Returns the program's file name: its arguments may hold values, and its folder is nobody's business.
pub(crate) fn program_name(program: &OsStr) -> String {
    Path::new(program)
        .file_name()
        .unwrap_or(program)
        .to_string_lossy()
        .into_owned()
}
