//! `mira aws test`: asks AWS about the saved credentials.

use std::process::ExitCode;

use mira_provider::aws::{Trial, test};
use mira_vault::settings::Settings;
use mira_vault::settings::{ModelName, Region};

use super::{PlaceArgs, no_region, parse_region, region, saved, to_json};
use crate::error::CommandError;
use crate::render::facts;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;
use crate::whole::reach::{ReachArgs, wait};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "STS is asked whose keys these are, and Bedrock which models the region has. Neither costs anything; --model has that \
                  model make one token, which costs a fraction of a cent."
)]
pub(crate) struct Args {
    /// Use this region instead of the one that is set
    #[arg(long, value_name = "REGION", value_parser = parse_region)]
    region: Option<Region>,

    /// Ask this model of Bedrock for one token
    #[arg(long, value_name = "ID", value_parser = crate::whole::commands::provider::parse_model)]
    model: Option<ModelName>,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    reach: ReachArgs,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    ui.want_json(args.json);
    let home = session::home()?;
    let endpoint = args.place.endpoint()?;
    let vault = session::open(ui, &args.unlock)?;
    let entry = saved(&vault)?;
    let credentials = vault.aws_credentials(entry)?;
    session::warn_expired(ui, entry.name(), credentials.expires());
    let region = region(args.region.as_ref(), &Settings::read(&home)?)?.ok_or_else(no_region)?;
    let trial = Trial {
        credentials: &credentials,
        region: &region,
        endpoint: endpoint.as_ref(),
        model: args.model.as_ref(),
    };
    let report = wait(test(&args.reach.caller()?, &trial))?;
    match args.json {
        true => ui.json(&to_json(&report, &region))?,
        false => ui.data(&facts(&report.lines(&region)))?,
    }
    for fault in report.faults() {
        ui.detail(fault.hint());
    }
    Ok(match report.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
