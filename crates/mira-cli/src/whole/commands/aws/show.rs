//! `mira aws show`: what is saved, without the keys.

use mira_vault::settings::Settings;
use serde_json::json;

use super::saved;
use crate::error::CommandError;
use crate::render::expiry;
use crate::render::{facts, minute};
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let home = session::home()?;
    let vault = session::open(ui, &args.unlock)?;
    let entry = saved(&vault)?;
    let credentials = vault.aws_credentials(entry)?;
    let region = Settings::read(&home)?.aws_region;
    let is_temporary = credentials.session_token().is_some();
    if args.json {
        return ui.json(&json!({
            "access_key_id": credentials.masked_key_id(),
            "temporary": is_temporary,
            "expires": credentials.expires().map(|time| time.to_string()),
            "expired": credentials.expires().map(|time| time <= jiff::Timestamp::now()),
            "region": region.as_ref().map(ToString::to_string),
            "saved": entry.updated().to_string(),
            "version": entry.version(),
        }));
    }
    let kind = match is_temporary {
        true => "temporary, with a session token",
        false => "long-term",
    };
    let ends = match (credentials.expires(), is_temporary) {
        (Some(expires), _) => expiry(expires),
        (None, true) => "not known".to_owned(),
        (None, false) => "never".to_owned(),
    };
    let region = region.map_or_else(|| "none is set".to_owned(), |region| region.to_string());
    ui.data(&facts(&[
        ("access key id", credentials.masked_key_id()),
        ("kind", kind.to_owned()),
        ("expires", ends),
        ("region", region),
        ("saved", minute(entry.updated())),
        ("version", entry.version().to_string()),
    ]))
}
