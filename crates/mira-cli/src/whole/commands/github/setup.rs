//! `mira github setup`: takes what makes an App, from options, from the environment or from the person, and keeps it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mira_github::{ApiBase, AppId};
use mira_secret::{ENTRY_BYTES_MAX, Kind, Scope, SecretBytes, SecretName, SecretValue};
use mira_vault::settings::GithubSettings;
use mira_vault::settings::{BaseUrl, Settings};
use mira_vault::{NewSecret, Vault};
use serde_json::json;

use crate::error::CommandError;
use crate::session::{self, UnlockArgs, parse_name};
use crate::ui::Ui;
use crate::whole::github::{self, PRIVATE_KEY};
use crate::whole::reach::parse_base_url;

const WEBHOOK_SECRET: &str = "MIRA_WEBHOOK_SECRET";
const PREVIOUS_SECRET: &str = "MIRA_WEBHOOK_SECRET_PREVIOUS";

/// How short the secret of a webhook may be, in bytes: as long as what it signs with (RFC 2104, section 3).
const WEBHOOK_SECRET_BYTES_MIN: usize = 32;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is not given is taken from MIRA_GITHUB_APP_ID, MIRA_GITHUB_PRIVATE_KEY, MIRA_WEBHOOK_SECRET and MIRA_GITHUB_API_URL, or from \
                  the files that the same names with _FILE name; then from what is saved; then it is asked for. Nothing is read from there later.\n  \
                  mira github setup --app-id 123456 --private-key-file app.private-key.pem --generate-webhook-secret"
)]
pub(crate) struct Args {
    /// The App's number: "App ID" in its settings
    #[arg(long, value_name = "NUMBER", value_parser = parse_app_id)]
    app_id: Option<AppId>,

    /// The App's private key: the PEM file that GitHub hands out
    #[arg(long, value_name = "FILE")]
    private_key_file: Option<PathBuf>,

    /// Read the private key from stdin
    #[arg(long, conflicts_with = "private_key_file")]
    stdin: bool,

    /// A file with the secret of the App's webhook
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,

    /// Make a secret for the App's webhook, and print it once; an earlier one still counts until the next change
    #[arg(long, conflicts_with = "webhook_secret_file")]
    generate_webhook_secret: bool,

    /// Where the API is, for GitHub Enterprise Server: https://HOST/api/v3
    #[arg(long, value_name = "URL", value_parser = parse_base_url)]
    api_url: Option<BaseUrl>,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

fn parse_app_id(text: &str) -> Result<AppId, String> {
    text.parse()
        .map_err(|_| "an App's number is its App ID, such as 123456".to_owned())
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let home = session::home()?;
    let known = Settings::read(&home)?.github;
    let mut vault = session::open(ui, &args.unlock)?;
    let settings = settings(args, known.as_ref(), ui)?;
    let mut new = Vec::new();
    if let Some(key) = private_key(args, &vault, ui)? {
        // Whether it is a key is known before anything is saved.
        github::make(&settings, &key)?;
        new.push(secret(
            PRIVATE_KEY,
            key,
            Kind::PrivateKey,
            "Private key of the GitHub App",
        )?);
    }
    let (webhook, made) = webhook_secret(args, &vault, ui)?;
    // EXPOSE: to whoever sets the App up, once: GitHub has to be given the same one.
    let shown = made.then(|| {
        webhook
            .as_ref()
            .map(|secret| String::from_utf8_lossy(secret.expose()).into_owned())
    });
    let shown = shown.flatten();
    let name = parse_name(WEBHOOK_SECRET)?;
    let known = vault.find(&Scope::User, &name);
    let known = known.map(|entry| vault.value(entry)).transpose()?;
    // EXPOSE: to each other. The same one again changes nothing: the one before it counts on.
    let is_new = |secret: &SecretBytes| {
        known
            .as_ref()
            .is_none_or(|known| known.expose() != secret.expose())
    };
    if let Some(webhook) = webhook.filter(is_new) {
        if let Some(known) = &known {
            // EXPOSE: to the vault, under the name by which it counts until the next change.
            let previous = SecretBytes::copy_from(known.expose());
            new.push(secret(
                PREVIOUS_SECRET,
                previous,
                Kind::Password,
                "Secret of the GitHub webhook, before",
            )?);
        }
        new.push(secret(
            WEBHOOK_SECRET,
            webhook,
            Kind::Password,
            "Secret of the GitHub webhook",
        )?);
    }
    let names: Vec<String> = new.iter().map(|(name, _)| name.to_string()).collect();
    save(&mut vault, new)?;
    let app_id = settings.app_id;
    let api = settings
        .api_url
        .as_ref()
        .map_or_else(|| mira_github::DEFAULT_API.to_owned(), ToString::to_string);
    Settings::update(&home, |all| all.github = Some(settings.clone()))?;
    if args.json {
        return ui
            .json(&json!({"app_id": app_id, "api": api, "saved": names, "webhook_secret": shown}));
    }
    for name in &names {
        ui.say(&format!("saved {name}"));
    }
    ui.say(&format!(
        "App {app_id} at {api} is set up; `mira github test` tries it"
    ));
    if let Some(shown) = shown {
        ui.say(
            "the secret of the webhook, for the App's settings on GitHub; it is not shown again:",
        );
        return ui.data(&format!("{shown}\n"));
    }
    Ok(())
}

fn settings(
    args: &Args,
    known: Option<&GithubSettings>,
    ui: &Ui,
) -> Result<GithubSettings, CommandError> {
    let given = match args.app_id {
        Some(id) => Some(id),
        None => match text_of("MIRA_GITHUB_APP_ID")? {
            Some(text) => Some(parse_app_id(&text).map_err(CommandError::usage)?),
            None => None,
        },
    };
    let app_id = match (given, known) {
        (Some(id), _) => id.get(),
        (None, Some(known)) => known.app_id,
        (None, None) if ui.can_ask() => {
            let text = ui.ask("Number of the App (App ID): ")?;
            parse_app_id(&text).map_err(CommandError::usage)?.get()
        }
        (None, None) => {
            return Err(CommandError::missing(
                "the App's number is not given:",
                ["MIRA_GITHUB_APP_ID"],
            )
            .hint("Give it with --app-id."));
        }
    };
    let given = match &args.api_url {
        Some(url) => Some(url.clone()),
        None => match text_of("MIRA_GITHUB_API_URL")? {
            Some(text) => Some(parse_base_url(&text).map_err(CommandError::usage)?),
            None => None,
        },
    };
    let api_url = given.or_else(|| known.and_then(|known| known.api_url.clone()));
    if let Some(url) = &api_url {
        let base: Result<ApiBase, _> = url.to_string().parse();
        base.map_err(|error| CommandError::usage(error.to_string()))?;
    }
    Ok(GithubSettings { app_id, api_url })
}

/// Returns a private key to save; nothing where one is saved and none is given.
fn private_key(args: &Args, vault: &Vault, ui: &Ui) -> Result<Option<SecretBytes>, CommandError> {
    if let Some(file) = &args.private_key_file {
        return read(file).map(Some);
    }
    if args.stdin {
        let read = session::read_secret(io::stdin().lock(), ENTRY_BYTES_MAX as u64);
        let read = read.map_err(|error| {
            CommandError::failed(format!("cannot take the private key: {error}"))
        })?;
        return Ok(Some(read));
    }
    if let Some(key) = secret_of(PRIVATE_KEY)? {
        return Ok(Some(key));
    }
    if vault
        .find(&Scope::User, &parse_name(PRIVATE_KEY)?)
        .is_some()
    {
        return Ok(None);
    }
    if ui.can_ask() {
        let file = ui.ask("File with the App's private key (PEM): ")?;
        return read(Path::new(file.trim())).map(Some);
    }
    Err(
        CommandError::missing("the App's private key is not given:", [PRIVATE_KEY]).hint(
            "Give the file that GitHub handed out: --private-key-file FILE, or --stdin < FILE.",
        ),
    )
}

/// Returns a secret of the webhook to save, if there is a new one, and whether it was made here.
fn webhook_secret(
    args: &Args,
    vault: &Vault,
    ui: &Ui,
) -> Result<(Option<SecretBytes>, bool), CommandError> {
    if args.generate_webhook_secret {
        return Ok((Some(mira_github::make_webhook_secret()), true));
    }
    let given = match &args.webhook_secret_file {
        Some(file) => Some(read(file)?),
        None => secret_of(WEBHOOK_SECRET)?,
    };
    let saved = vault
        .find(&Scope::User, &parse_name(WEBHOOK_SECRET)?)
        .is_some();
    let given = match given {
        None if !saved && ui.can_ask() => {
            let typed =
                ui.ask_hidden("Secret of the App's webhook (not shown; empty to make one): ")?;
            if typed.is_empty() {
                return Ok((Some(mira_github::make_webhook_secret()), true));
            }
            Some(typed)
        }
        given => given,
    };
    match given {
        Some(secret) if secret.len() < WEBHOOK_SECRET_BYTES_MIN => Err(CommandError::usage(
            format!("the secret of a webhook has at least {WEBHOOK_SECRET_BYTES_MIN} bytes"),
        )
        .hint("--generate-webhook-secret makes one.")),
        given => Ok((given, false)),
    }
}

fn secret(
    name: &str,
    value: SecretBytes,
    kind: Kind,
    label: &str,
) -> Result<(SecretName, NewSecret), CommandError> {
    let name = parse_name(name)?;
    let value = SecretValue::new(&name, value)
        .map_err(|error| CommandError::failed(format!("{name} was not saved: {error}")))?;
    let new = NewSecret {
        value,
        label: Some(label.to_owned()),
        kind: Some(kind),
        now: Timestamp::now(),
    };
    Ok((name, new))
}

fn save(vault: &mut Vault, new: Vec<(SecretName, NewSecret)>) -> Result<(), CommandError> {
    if new.is_empty() {
        return Ok(());
    }
    Ok(vault.update(|draft| {
        for (name, new) in new {
            draft.set(&Scope::User, &name, new)?;
        }
        Ok(())
    })?)
}

fn read(file: &Path) -> Result<SecretBytes, CommandError> {
    let opened =
        File::open(file).and_then(|file| session::read_secret(file, ENTRY_BYTES_MAX as u64));
    opened.map_err(|error| {
        CommandError::failed(format!("{} cannot be read: {error}", file.display()))
    })
}

/// Returns a variable's value, or what the file holds that is named by the same name with `_FILE`.
fn secret_of(name: &str) -> Result<Option<SecretBytes>, CommandError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(value) = variable(name) {
        return Ok(Some(SecretBytes::from_vec(value.into_encoded_bytes())));
    }
    let file: Option<OsString> = variable(&format!("{name}_FILE"));
    file.map(|file| read(Path::new(&file))).transpose()
}

/// The same for what is no secret.
fn text_of(name: &str) -> Result<Option<String>, CommandError> {
    let found = secret_of(name)?;
    let text = found.map(|value| {
        // EXPOSE: to nobody it is hidden from: it is no secret.
        String::from_utf8(value.expose().to_vec())
    });
    let text = text.transpose();
    let text = text.map_err(|_| CommandError::usage(format!("{name} is no text")))?;
    Ok(text.map(|text| text.trim().to_owned()))
}
