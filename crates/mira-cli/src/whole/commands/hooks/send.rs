//! `mira hooks send`: an event as GitHub would send it, signed with a secret of the vault.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use http::{Method, Request, StatusCode, header};
use mira_hooks::BODY_BYTES_MAX;
use mira_secret::{Scope, SecretBytes, SecretName};
use mira_vault::settings::BaseUrl;

use crate::error::CommandError;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;
use crate::whole::reach::{ReachArgs, parse_base_url, wait};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The event's content: a JSON file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// What kind of event it is
    #[arg(long, value_name = "NAME")]
    event: String,

    /// Where to: the server's /webhooks/github
    #[arg(long, value_name = "URL", value_parser = parse_base_url)]
    url: BaseUrl,

    /// The secret that it is signed with
    #[arg(long, value_name = "NAME", default_value = mira_desk::WEBHOOK_SECRET)]
    secret_name: SecretName,

    /// The event's id; without one it gets a new one. A second event of the same id is taken for a repeat
    #[arg(long, value_name = "ID")]
    id: Option<String>,

    /// The id of the App that it is sent to
    #[arg(long, value_name = "ID")]
    app: Option<String>,

    #[command(flatten)]
    reach: ReachArgs,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let body = read(args)?;
    let vault = session::open(ui, &args.unlock)?;
    let Some(entry) = vault.find(&Scope::User, &args.secret_name) else {
        return Err(CommandError::missing(
            "the secret to sign with is not saved:",
            [&args.secret_name],
        )
        .hint(format!("`mira set {}` saves it.", args.secret_name)));
    };
    // EXPOSE: to the computation of the signature, which alone is sent.
    let secret = SecretBytes::copy_from(vault.value(entry)?.expose());
    drop(vault);
    let id = match &args.id {
        Some(id) => id.clone(),
        None => new_id(),
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(args.url.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-github-event", &args.event)
        .header("x-github-delivery", &id)
        .header("x-hub-signature-256", mira_hooks::sign(&secret, &body));
    let request = match &args.app {
        Some(app) => request.header("x-github-hook-installation-target-id", app),
        None => request,
    };
    let request = request
        .body(body)
        .map_err(|_| CommandError::usage("a name or an id cannot be sent in a header"))?;
    let caller = args.reach.caller()?;
    let answer = wait(caller.send(request))?
        .map_err(|fault| CommandError::failed(fault.to_string()).hint(fault.hint()))?;
    let words = String::from_utf8_lossy(answer.body());
    let words = words.lines().next().unwrap_or_default();
    match answer.status() {
        status if status.is_success() => {
            ui.say(&format!("{}: {words} (id {id})", status.as_u16()));
            Ok(())
        }
        StatusCode::NOT_FOUND => Err(CommandError::failed("404: no webhooks are taken there")
            .hint("`mira serve --listen … --hooks` takes them at /webhooks/github.")),
        status => Err(CommandError::failed(format!(
            "{}: {words}",
            status.as_u16()
        ))),
    }
}

fn read(args: &Args) -> Result<Vec<u8>, CommandError> {
    let name = args.file.display();
    let failed = |error| CommandError::failed(format!("cannot read {name}: {error}"));
    let mut body = Vec::new();
    let file = File::open(&args.file).map_err(failed)?;
    file.take(BODY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut body)
        .map_err(failed)?;
    match body.len() > BODY_BYTES_MAX {
        true => Err(CommandError::usage(format!(
            "{name} has more than 25 MiB, and no webhook has"
        ))),
        false => Ok(body),
    }
}

/// Returns an id that was not used before: the time, to the nanosecond.
fn new_id() -> String {
    format!("mira-{}", jiff::Timestamp::now().as_nanosecond())
}
