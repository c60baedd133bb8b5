//! `mira provider list`: the providers, and which of them have a key.

use mira_provider::provider::{Api, Provider};
use mira_secret::Scope;
use mira_vault::settings::Settings;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::render::table;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print a JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let home = session::home()?;
    let settings = Settings::read(&home)?;
    let vault = session::open(ui, &args.unlock)?;
    let is_saved = |provider: &Provider| {
        let key = provider.key.as_ref();
        key.map(|key| vault.find(&Scope::User, key).is_some())
    };
    let place = |provider: &Provider| match provider.api {
        Api::Bedrock => settings.aws_region.as_ref().map(ToString::to_string),
        _ => provider.base_url.as_ref().map(ToString::to_string),
    };
    let providers = Provider::all(&settings);
    if args.json {
        let list = providers.iter().map(|provider| {
            json!({
                "name": provider.name.as_str(),
                "api": provider.api.as_str(),
                "at": place(provider),
                "key": provider.key.as_ref().map(ToString::to_string),
                "key_saved": is_saved(provider),
                "model": provider.model.as_ref().map(ToString::to_string),
            })
        });
        return ui.json(&list.collect::<Value>());
    }
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let rows = providers.iter().map(|provider| {
        let saved = match is_saved(provider) {
            Some(true) => "saved",
            Some(false) => "missing",
            None => "none needed",
        };
        [
            provider.name.to_string(),
            or_dash(place(provider)),
            or_dash(provider.key.as_ref().map(ToString::to_string)),
            saved.to_owned(),
            or_dash(provider.model.as_ref().map(ToString::to_string)),
        ]
    });
    let rows: Vec<_> = rows.collect();
    ui.data(&table(["NAME", "AT", "KEY", "IS", "MODEL"], &rows))
}
