//! `mira aws`: the keys of an AWS account, in one secret, and whether they work.

mod rm;
mod set;
mod show;
mod test;

use std::process::ExitCode;

use mira_provider::aws::Report;
use mira_vault::settings::Region;
use mira_vault::settings::{BaseUrl, Settings};
use mira_vault::{AWS_CREDENTIALS, AWS_REGION_VARIABLES, Entry, Vault};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::ui::Ui;
use crate::whole::reach::parse_base_url;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Save an access key with its session token, if it has one, after trying it
    Set(set::Args),
    /// Show whose keys are saved, for which region, until when; never the keys
    Show(show::Args),
    /// Ask AWS whose keys these are, and whether they may use Bedrock; exits with 1 if something is wrong
    Test(test::Args),
    /// Remove the keys and the region
    Rm(rm::Args),
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    match &args.action {
        Action::Set(args) => set::run(args, ui),
        Action::Show(args) => show::run(args, ui),
        Action::Test(args) => return test::run(args, ui),
        Action::Rm(args) => rm::run(args, ui),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Where AWS is called.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct PlaceArgs {
    /// Call this address instead of AWS's own, such as a gateway's; AWS_ENDPOINT_URL says the same
    #[arg(long, value_name = "URL", value_parser = parse_base_url)]
    endpoint_url: Option<BaseUrl>,
}

impl PlaceArgs {
    /// Returns the address to call, if it is not AWS's own.
    pub(crate) fn endpoint(&self) -> Result<Option<BaseUrl>, CommandError> {
        let named = std::env::var("AWS_ENDPOINT_URL").ok();
        let named = named.filter(|text| !text.is_empty() && self.endpoint_url.is_none());
        let named = named.map(|text| text.parse()).transpose();
        let named = named.map_err(|error: mira_vault::settings::BaseUrlError| {
            CommandError::usage(format!("AWS_ENDPOINT_URL: {error}"))
        })?;
        let url = self.endpoint_url.clone().or(named);
        let url = url.map(BaseUrl::for_keys).transpose();
        url.map_err(|error| CommandError::usage(error.to_string()))
    }
}

/// Parses a region for clap.
fn parse_region(text: &str) -> Result<Region, String> {
    text.parse()
        .map_err(|error: mira_vault::settings::WordError| error.to_string())
}

/// Returns the saved credentials' entry.
pub(crate) fn saved(vault: &Vault) -> Result<&Entry, CommandError> {
    mira_provider::saved::credentials(vault).ok_or_else(|| {
        CommandError::missing("not saved in scope user:", [AWS_CREDENTIALS])
            .hint("`mira aws set` saves AWS credentials.")
    })
}

/// Returns the region: the one that was given, the one that is set, or the environment's.
pub(crate) fn region(
    given: Option<&Region>,
    settings: &Settings,
) -> Result<Option<Region>, CommandError> {
    if let Some(region) = given.or(settings.aws_region.as_ref()) {
        return Ok(Some(region.clone()));
    }
    for name in AWS_REGION_VARIABLES {
        if let Some(text) = std::env::var(name).ok().filter(|text| !text.is_empty()) {
            let region = parse_region(&text);
            return region
                .map(Some)
                .map_err(|error| CommandError::usage(format!("{name}: {error}")));
        }
    }
    Ok(None)
}

pub(crate) fn no_region() -> CommandError {
    CommandError::missing("AWS is called in a region, and none is set:", ["region"])
        .hint("--region us-east-1 names one; `mira aws set --region us-east-1` keeps it.")
}

/// Renders what came of a try for programs.
pub(crate) fn to_json(report: &Report, region: &Region) -> Value {
    let identity = report.identity.as_ref().ok();
    json!({
        "ok": report.is_good(),
        "region": region.as_str(),
        "account": identity.map(|who| &who.account),
        "arn": identity.map(|who| &who.arn),
        "bedrock_models": report.bedrock.as_ref().and_then(|bedrock| bedrock.as_ref().ok()),
        "model_answered": report.model.as_ref().map(Result::is_ok),
        "faults": report.faults().map(fault_json).collect::<Value>(),
    })
}

/// Renders a fault for programs.
pub(crate) fn fault_json(fault: &mira_provider::Fault) -> Value {
    json!({"code": fault.code(), "message": fault.to_string(), "hint": fault.hint()})
}
