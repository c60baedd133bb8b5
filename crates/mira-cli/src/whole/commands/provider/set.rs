//! `mira provider set`: what is kept of a provider and is no secret.

use mira_provider::provider::{Api, Provider};
use mira_vault::settings::{BaseUrl, Settings};
use mira_vault::settings::{ModelName, ProviderName};

use super::{parse_model, parse_provider};
use crate::error::CommandError;
use crate::session::{self, parse_name};
use crate::ui::Ui;
use crate::whole::reach::parse_base_url;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The provider
    #[arg(value_name = "NAME", value_parser = parse_provider)]
    name: ProviderName,

    /// Where its API is
    #[arg(long, value_name = "URL", value_parser = parse_base_url)]
    base_url: Option<BaseUrl>,

    /// The name of the secret that is its key; the value is saved by `mira set`
    #[arg(long, value_name = "SECRET")]
    key: Option<String>,

    /// The model that is used
    #[arg(long, value_name = "MODEL", value_parser = parse_model)]
    model: Option<ModelName>,

    /// Forget all that is set for it
    #[arg(long, conflicts_with_all = ["base_url", "key", "model"])]
    reset: bool,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let home = session::home()?;
    if args.reset {
        Settings::update(&home, |settings| {
            settings.providers.remove(&args.name);
        })?;
        ui.say(&format!(
            "{} is as it was before anything was set",
            args.name
        ));
        return Ok(());
    }
    let key = args.key.as_deref().map(parse_name).transpose()?;
    if args.base_url.is_none() && key.is_none() && args.model.is_none() {
        return Err(CommandError::usage(
            "nothing is to be set: give --base-url, --key, --model or --reset",
        ));
    }
    let mut settings = Settings::read(&home)?;
    let change = |settings: &mut Settings| {
        let own = settings.providers.entry(args.name.clone()).or_default();
        own.base_url = args.base_url.clone().or(own.base_url.take());
        own.key = key.clone().or(own.key.take());
        own.model = args.model.clone().or(own.model.take());
    };
    change(&mut settings);
    check(args, &Provider::of(&settings, &args.name))?;
    Settings::update(&home, change)?;
    ui.say(&format!(
        "{} is set; `mira provider test {}` tries it",
        args.name, args.name
    ));
    Ok(())
}

/// Refuses what could not work.
fn check(args: &Args, provider: &Provider) -> Result<(), CommandError> {
    if provider.api == Api::Bedrock && (args.base_url.is_some() || args.key.is_some()) {
        return Err(
            CommandError::usage("Bedrock is found by its region, and its keys are AWS's")
                .hint("`mira aws set` sets both."),
        );
    }
    match &provider.base_url {
        None if provider.api == Api::Compatible => Err(CommandError::usage(format!(
            "{} is not known by its name: say where its API is, with --base-url",
            provider.name
        ))),
        Some(url) if provider.key.is_some() && !url.may_have_keys() => Err(CommandError::usage(
            "a key is sent encrypted, or to this machine itself: give an address that begins with https://",
        )),
        _ => Ok(()),
    }
}
