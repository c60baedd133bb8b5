//! `mira provider test`: tries keys, and says what is wrong.

use std::process::ExitCode;

use mira_provider::Caller;
use mira_provider::provider::{Api, Provider};
use mira_provider::saved::{self, Key, Outcome};
use mira_secret::{Scope, SecretName};
use mira_vault::Vault;
use mira_vault::settings::Settings;
use mira_vault::settings::{ModelName, ProviderName};
use serde_json::{Value, json};

use super::{parse_model, parse_provider};
use crate::error::CommandError;
use crate::render::table;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;
use crate::whole::commands::aws as aws_command;
use crate::whole::reach::{ReachArgs, wait};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A key is tried by listing models, which costs nothing; --model has that model answer with a few tokens, which costs a \
                  fraction of a cent. Nothing is called unless you ask for it with this command."
)]
pub(crate) struct Args {
    /// The provider; all that have a key, or that something is set for, if left out
    #[arg(value_name = "NAME", value_parser = parse_provider)]
    name: Option<ProviderName>,

    /// Ask this model for a few tokens
    #[arg(long, value_name = "MODEL", value_parser = parse_model, requires = "name")]
    model: Option<ModelName>,

    /// Print a JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    place: aws_command::PlaceArgs,

    #[command(flatten)]
    reach: ReachArgs,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    ui.want_json(args.json);
    let home = session::home()?;
    let settings = Settings::read(&home)?;
    let vault = session::open(ui, &args.unlock)?;
    let providers = chosen(args, &settings, &vault)?;
    let caller = args.reach.caller()?;
    let mut outcomes = Vec::with_capacity(providers.len());
    for provider in &providers {
        let outcome = try_out(args, provider, &settings, &vault, &caller)?;
        outcomes.push((provider, outcome));
    }
    if args.json {
        ui.json(&outcomes.iter().map(to_json).collect::<Value>())?;
    } else {
        let rows: Vec<_> = outcomes.iter().map(row).collect();
        ui.data(&table(["NAME", "IS", "BECAUSE"], &rows))?;
    }
    for (provider, outcome) in &outcomes {
        for fault in outcome.faults() {
            ui.detail(&format!("{}: {}", provider.name, fault.hint()));
        }
    }
    let all_good = outcomes
        .iter()
        .all(|(_, outcome)| outcome.faults().is_empty());
    Ok(match all_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Returns the providers to try; one without the key that it needs is an error if it was named, or if there is no other.
fn chosen(args: &Args, settings: &Settings, vault: &Vault) -> Result<Vec<Provider>, CommandError> {
    let has_key = |provider: &Provider| {
        let key = provider.key.as_ref();
        key.is_none_or(|key| vault.find(&Scope::User, key).is_some())
    };
    let missing = |keys: Vec<&SecretName>, hint: &str| {
        CommandError::missing("no key is saved to try:", keys).hint(hint)
    };
    let Some(name) = &args.name else {
        let all = Provider::all(settings);
        let (ready, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            // What needs no key is tried where somebody uses it.
            .filter(|provider| provider.key.is_some() || provider.is_set)
            .partition(has_key);
        let keys: Vec<&SecretName> = others
            .iter()
            .filter_map(|other| other.key.as_ref())
            .collect();
        return match ready.is_empty() {
            true => Err(missing(
                keys,
                "`mira set NAME` saves one; `mira aws set` saves those of AWS.",
            )),
            false => Ok(ready),
        };
    };
    let provider = Provider::of(settings, name);
    if provider.api == Api::Compatible && !provider.is_set {
        let known = Provider::all(settings);
        let known: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
        return Err(CommandError::usage(format!("there is no provider {name}"))
            .hint(format!("There are {}.", known.join(", ")))
            .hint(format!(
                "`mira provider set {name} --base-url URL` adds one like OpenAI."
            )));
    }
    match &provider.key {
        Some(key) if !has_key(&provider) => Err(missing(
            vec![key],
            match provider.api {
                Api::Bedrock => "`mira aws set` saves AWS credentials.",
                _ => "`mira set NAME` saves it.",
            },
        )),
        _ => Ok(vec![provider]),
    }
}

fn try_out(
    args: &Args,
    provider: &Provider,
    settings: &Settings,
    vault: &Vault,
    caller: &Caller,
) -> Result<Outcome, CommandError> {
    let entry = provider
        .key
        .as_ref()
        .and_then(|key| vault.find(&Scope::User, key));
    let key = match provider.api {
        Api::Bedrock => Key::Aws {
            credentials: Box::new(vault.aws_credentials(aws_command::saved(vault)?)?),
            region: aws_command::region(None, settings)?.ok_or_else(aws_command::no_region)?,
            endpoint: args.place.endpoint()?,
        },
        _ => Key::Own(entry.map(|entry| vault.value(entry)).transpose()?),
    };
    wait(saved::try_out(caller, provider, &key, args.model.as_ref()))
}

fn row((provider, outcome): &(&Provider, Outcome)) -> [String; 3] {
    let state = if outcome.faults().is_empty() {
        "good"
    } else {
        "FAILED"
    };
    [provider.name.to_string(), state.to_owned(), outcome.says()]
}

fn to_json((provider, outcome): &(&Provider, Outcome)) -> Value {
    let faults = outcome.faults();
    let mut told = json!({
        "name": provider.name.as_str(),
        "ok": faults.is_empty(),
        "models": outcome.models(),
        "faults": faults.into_iter().map(aws_command::fault_json).collect::<Value>(),
    });
    if let (Outcome::Bedrock(report, region), Some(told)) = (outcome, told.as_object_mut()) {
        told.insert("aws".to_owned(), aws_command::to_json(report, region));
    }
    told
}
