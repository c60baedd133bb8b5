//! `mira aws set`: takes credentials, tries them, and saves them.

use std::io;

use jiff::Timestamp;
use mira_provider::aws::{
    Files, INPUT_BYTES_MAX, Imported, Trial, from_profile, from_text, parse_expiry, test,
};
use mira_provider::saved::credentials_name;
use mira_secret::{Kind, Scope};
use mira_vault::home::Home;
use mira_vault::settings::Region;
use mira_vault::settings::Settings;
use mira_vault::{AWS_VARIABLES, AwsCredentials, NewSecret, Vault};

use super::{PlaceArgs, no_region, parse_region, region};
use crate::commands::set::tell_stale;
use crate::error::CommandError;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;
use crate::whole::reach::{ReachArgs, wait};

/// The region that is proposed where none is known.
const PROPOSED_REGION: &str = "us-east-1";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The keys are asked for without showing them, read with --stdin, or taken from a profile of AWS's tools:\n  \
                  mira aws set --region eu-central-1\n  mira aws set --profile work\n  \
                  aws sts get-session-token | mira aws set --stdin --region eu-central-1\n\n\
                  They are tried before they are saved: what AWS refuses is not saved unless --force is given. Where keys are saved \
                  already, --region alone changes the region.\n\n\
                  A process gets them as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if there is one, AWS_SESSION_TOKEN, and the \
                  region as AWS_REGION and AWS_DEFAULT_REGION."
)]
pub(crate) struct Args {
    /// Take them from this profile of ~/.aws/credentials and ~/.aws/config
    #[arg(long, value_name = "NAME", conflicts_with = "stdin")]
    profile: Option<String>,

    /// Read them from stdin: what `aws sts get-session-token` or a credential_process prints, or the lines of a profile
    #[arg(long)]
    stdin: bool,

    /// The region to use them in
    #[arg(long, value_name = "REGION", value_parser = parse_region)]
    region: Option<Region>,

    /// When the session token expires: a time such as 2026-11-24T07:05:09Z, or how long from now, such as 12h
    #[arg(long, value_name = "TIME", value_parser = parse_expires)]
    expires: Option<Timestamp>,

    /// Do not try them
    #[arg(long)]
    no_test: bool,

    /// Save them although AWS refuses them
    #[arg(long, conflicts_with = "no_test")]
    force: bool,

    /// Replace saved keys without asking
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    place: PlaceArgs,

    #[command(flatten)]
    reach: ReachArgs,

    #[command(flatten)]
    unlock: UnlockArgs,
}

fn parse_expires(text: &str) -> Result<Timestamp, String> {
    let time = parse_expiry(text, Timestamp::now());
    time.ok_or_else(|| "a time such as 2026-11-24T07:05:09Z, or 12h".to_owned())
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let home = session::home()?;
    let endpoint = args.place.endpoint()?;
    let mut vault = session::open(ui, &args.unlock)?;
    let name = credentials_name();
    let known = vault.find(&Scope::User, &name);
    if known.is_some_and(|entry| entry.kind() != Kind::AwsCredentials) {
        return Err(CommandError::usage(format!(
            "{name} is saved already, as another kind of secret"
        ))
        .hint(format!("`mira rm {name}` removes it.")));
    }
    let names_source = args.stdin || args.profile.is_some();
    let only_region = args.region.is_some() && !names_source && args.expires.is_none();
    let (credentials, from_profile) = match known {
        Some(entry) if only_region => (vault.aws_credentials(entry)?, None),
        known => {
            agree(args, known.is_some(), ui)?;
            let Imported {
                credentials,
                region,
            } = take(args, ui)?;
            (credentials, region)
        }
    };
    let keeps = known.is_some() && only_region;
    let credentials = match args.expires {
        Some(expires) => credentials.with_expiry(expires).map_err(not_saved)?,
        None => credentials,
    };
    let settings = Settings::read(&home)?;
    let given = args.region.clone().or(from_profile);
    let region = match region(given.as_ref(), &settings)? {
        None if args.no_test => None,
        None => Some(ask_region(ui)?),
        region => region,
    };
    if let (false, Some(region)) = (args.no_test, &region) {
        let trial = Trial {
            credentials: &credentials,
            region,
            endpoint: endpoint.as_ref(),
            model: None,
        };
        try_out(args, &trial, ui)?;
    }
    if region.is_some() && region != settings.aws_region {
        Settings::update(&home, |settings| settings.aws_region = region.clone())?;
    }
    if !keeps {
        save(&mut vault, &home, &credentials, ui)?;
    }
    if let Some(region) = &region {
        ui.say(&format!("they are used in {region}"));
    }
    Ok(())
}

fn agree(args: &Args, is_saved: bool, ui: &Ui) -> Result<(), CommandError> {
    let question = "AWS credentials are saved already. Replace them?";
    if is_saved && !args.replace && !ui.confirm(question, "--replace")? {
        return Err(CommandError::failed(
            "AWS credentials were left as they are",
        ));
    }
    Ok(())
}

/// Takes credentials from where the person has them.
fn take(args: &Args, ui: &Ui) -> Result<Imported, CommandError> {
    if args.stdin {
        let text = session::read_secret(io::stdin().lock(), INPUT_BYTES_MAX);
        let text = text.map_err(|error| not_saved(format!("cannot read the input: {error}")))?;
        return from_text(&text).map_err(not_saved);
    }
    if let Some(profile) = &args.profile {
        let home = std::env::home_dir();
        let files = Files::read(|name| std::env::var_os(name), home.as_deref());
        let files = files.map_err(not_saved)?;
        return from_profile(&files, Some(profile)).map_err(not_saved);
    }
    if !ui.can_ask() {
        return Err(CommandError::missing(
            "there is no terminal to ask for AWS credentials on; give them with --stdin, or name a --profile",
            AWS_VARIABLES.iter().take(2),
        ));
    }
    let id = ui.ask_hidden("Access key id (not shown): ")?;
    let key = ui.ask_hidden("Secret access key (not shown): ")?;
    // EXPOSE: to the check for a temporary key, which alone has a token.
    let token = match id.expose().starts_with(b"ASIA") {
        true => Some(ui.ask_hidden("Session token (not shown): ")?),
        false => None,
    };
    let credentials = AwsCredentials::new(id, key, token, None).map_err(not_saved)?;
    Ok(Imported {
        credentials,
        region: None,
    })
}

fn ask_region(ui: &Ui) -> Result<Region, CommandError> {
    if !ui.can_ask() {
        return Err(no_region());
    }
    let typed = ui.ask(&format!("Region [{PROPOSED_REGION}]: "))?;
    let text = match typed.is_empty() {
        true => PROPOSED_REGION,
        false => &typed,
    };
    parse_region(text).map_err(CommandError::usage)
}

/// Tries credentials, and stops where they do not work and the person does not insist.
fn try_out(args: &Args, trial: &Trial<'_>, ui: &Ui) -> Result<(), CommandError> {
    let report = wait(test(&args.reach.caller()?, trial))?;
    for (service, says) in report.lines(trial.region) {
        ui.say(&format!("{service}: {says}"));
    }
    let hints = report.faults().map(mira_provider::Fault::hint);
    let hints: Vec<&str> = hints.collect();
    if hints.is_empty() || args.force {
        return Ok(());
    }
    let refused = CommandError::failed("nothing was saved, as the credentials do not work");
    let refused = hints.into_iter().fold(refused, CommandError::hint);
    Err(refused.hint("--force saves them all the same; --no-test does not try them."))
}

fn save(
    vault: &mut Vault,
    home: &Home,
    credentials: &AwsCredentials,
    ui: &Ui,
) -> Result<(), CommandError> {
    let name = credentials_name();
    let new = NewSecret {
        value: credentials.to_value().map_err(not_saved)?,
        label: None,
        kind: Some(Kind::AwsCredentials),
        now: Timestamp::now(),
    };
    let (id, version) = vault.update(|draft| {
        let entry = draft.set(&Scope::User, &name, new)?;
        Ok((entry.id().to_string(), entry.version()))
    })?;
    ui.say(&format!(
        "saved {} as {name}, version {version}",
        credentials.masked_key_id()
    ));
    session::warn_expired(ui, &name, credentials.expires());
    let also = AWS_VARIABLES.iter().filter(|variable| {
        let variable = variable.parse().ok();
        variable.is_some_and(|variable| vault.find(&Scope::User, &variable).is_some())
    });
    for variable in also {
        ui.say(&format!(
            "{variable} is saved by itself too, and a process cannot get both: mira rm {variable}"
        ));
    }
    tell_stale(ui, home, &id, version)
}

fn not_saved(error: impl ToString) -> CommandError {
    CommandError::failed(format!("nothing was saved: {}", error.to_string()))
}
