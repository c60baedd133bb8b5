//! Providers of models and the credentials of AWS, as the desk shows, tries and saves them: what `mira provider` and `mira aws` do.

use std::ffi::OsString;
use std::path::PathBuf;

use axum::http::StatusCode;
use jiff::Timestamp;
use mira_provider::aws::parse_expiry;
use mira_provider::provider::{Api, Provider};
use mira_provider::saved::{self, Key, Outcome};
use mira_provider::{Caller, Proxies, Reach, TIMEOUT};
use mira_run::lease::Leases;
use mira_secret::{Kind, Scope, SecretName};
use mira_store::AuditAction;
use mira_vault::settings::Region;
use mira_vault::settings::{BaseUrl, Settings};
use mira_vault::{AwsCredentials, NewSecret, Vault};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Desk;
use crate::access::Identity;
use crate::custody::blocking;
use crate::error::DeskError;
use crate::house::House;

/// A provider, as far as anybody is shown it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Shown {
    /// What it is called.
    pub(crate) name: String,
    /// Where it is: an address, or a region.
    pub(crate) at: Option<String>,
    /// The secret that is its key; nothing where it needs none.
    pub(crate) key: Option<String>,
    /// Whether that is saved.
    pub(crate) key_saved: bool,
    /// The model that is used.
    pub(crate) model: Option<String>,
}

/// What is saved of AWS.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Aws {
    /// The access key's id, but for its ends.
    pub(crate) access_key_id: String,
    /// Whether there is a session token.
    pub(crate) temporary: bool,
    /// When they end, if that is known.
    #[schemars(with = "Option<String>")]
    pub(crate) expires: Option<Timestamp>,
    /// When they were saved.
    #[schemars(with = "String")]
    pub(crate) saved: Timestamp,
    /// Which of the values that there were.
    pub(crate) version: u64,
}

impl Aws {
    pub(crate) fn is_expired(&self) -> bool {
        self.expires
            .is_some_and(|expires| expires <= Timestamp::now())
    }
}

/// What there is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct All {
    /// The providers.
    pub(crate) providers: Vec<Shown>,
    /// The credentials of AWS, if they are saved.
    pub(crate) aws: Option<Aws>,
    /// The region that AWS is called in.
    pub(crate) aws_region: Option<String>,
}

/// What came of a try.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Tried {
    /// The provider.
    pub(crate) name: String,
    /// Whether all was well.
    pub(crate) ok: bool,
    /// What was found, each with what it was found of.
    pub(crate) found: Vec<(String, String)>,
    /// What to do about what is wrong.
    pub(crate) hints: Vec<String>,
}

impl Tried {
    fn of(name: &str, outcome: &Outcome) -> Self {
        let found = match outcome {
            Outcome::Bedrock(report, region) => report
                .lines(region)
                .into_iter()
                .map(|(service, says)| (service.to_owned(), says))
                .collect(),
            Outcome::Provider(_) => vec![(name.to_owned(), outcome.says())],
        };
        let faults = outcome.faults();
        Self {
            name: name.to_owned(),
            ok: faults.is_empty(),
            found,
            hints: faults.iter().map(|fault| fault.hint().to_owned()).collect(),
        }
    }
}

/// Returns the providers, and what is saved of AWS.
pub(crate) async fn all(desk: &Desk) -> Result<All, DeskError> {
    let home = desk.custody.home().clone();
    desk.custody
        .with(move |vault| {
            let settings = Settings::read(&home).map_err(DeskError::failed)?;
            let providers = Provider::all(&settings);
            let aws = saved::credentials(vault).map(|entry| {
                let credentials = vault.aws_credentials(entry)?;
                Ok::<_, DeskError>(Aws {
                    access_key_id: credentials.masked_key_id(),
                    temporary: credentials.session_token().is_some(),
                    expires: credentials.expires(),
                    saved: entry.updated(),
                    version: entry.version(),
                })
            });
            Ok(All {
                providers: providers
                    .iter()
                    .map(|provider| Shown::of(provider, &settings, vault))
                    .collect(),
                aws: aws.transpose()?,
                aws_region: settings.aws_region.map(|region| region.to_string()),
            })
        })
        .await
}

impl Shown {
    fn of(provider: &Provider, settings: &Settings, vault: &Vault) -> Self {
        let is_saved = |key: &SecretName| vault.find(&Scope::User, key).is_some();
        Self {
            name: provider.name.to_string(),
            at: match provider.api {
                Api::Bedrock => settings.aws_region.as_ref().map(ToString::to_string),
                _ => provider.base_url.as_ref().map(ToString::to_string),
            },
            key: provider.key.as_ref().map(ToString::to_string),
            key_saved: provider.key.as_ref().is_some_and(is_saved),
            model: provider.model.as_ref().map(ToString::to_string),
        }
    }
}

impl House {
    /// Returns a variable of this server's.
    pub(crate) fn variable(&self, wanted: &str) -> Option<OsString> {
        let mut known = self.variables.iter();
        let found = known.find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone())
    }

    fn text(&self, wanted: &str) -> Option<String> {
        self.variable(wanted)?.into_string().ok()
    }

    fn caller(&self) -> Result<Caller, DeskError> {
        let reach = Reach {
            proxies: Proxies::of(|name| self.text(name)),
            timeout: TIMEOUT,
        };
        Caller::new(reach).map_err(DeskError::failed)
    }

    fn aws_endpoint(&self) -> Result<Option<BaseUrl>, DeskError> {
        let named = self.text("AWS_ENDPOINT_URL");
        let named = named.filter(|text| !text.is_empty());
        let url = named.map(|text| text.parse().and_then(BaseUrl::for_keys));
        url.transpose()
            .map_err(|error| DeskError::failed(format!("AWS_ENDPOINT_URL: {error}")))
    }
}

/// Tries a provider with what is saved for it.
pub(crate) async fn test(desk: &Desk, identity: &Identity, name: &str) -> Result<Tried, DeskError> {
    let unknown = || DeskError::not_found("such provider");
    let wanted = name.parse().map_err(|_| unknown())?;
    let home = desk.custody.home().clone();
    let endpoint = desk.house.aws_endpoint()?;
    let chosen = desk.custody.with(move |vault| {
        let settings = Settings::read(&home).map_err(DeskError::failed)?;
        let mut known = Provider::all(&settings).into_iter();
        let provider = known
            .find(|known| known.name == wanted)
            .ok_or_else(unknown)?;
        let no_key = |hint: &str| {
            let told = format!("no key is saved for {}", provider.name);
            DeskError::new(StatusCode::CONFLICT, told).hint(hint)
        };
        let key = match (provider.api, &provider.key) {
            (Api::Bedrock, _) => {
                let entry = saved::credentials(vault);
                let entry = entry.ok_or_else(|| no_key("Save the credentials of AWS below."))?;
                Key::Aws {
                    credentials: Box::new(vault.aws_credentials(entry)?),
                    region: settings.aws_region.ok_or_else(no_region)?,
                    endpoint,
                }
            }
            (_, None) => Key::Own(None),
            (_, Some(key)) => {
                let entry = vault.find(&Scope::User, key);
                let entry =
                    entry.ok_or_else(|| no_key(&format!("Save {key} among the secrets.")))?;
                Key::Own(Some(vault.value(entry)?))
            }
        };
        Ok((provider, key))
    });
    let (provider, key) = chosen.await?;
    let outcome = saved::try_out(&desk.house.caller()?, &provider, &key, None).await;
    drop(key);
    let tried = Tried::of(name, &outcome);
    let action = match provider.api {
        Api::Bedrock => AuditAction::AwsTest,
        _ => AuditAction::ProviderTest,
    };
    desk.record(identity, action, name, tried.ok.into()).await?;
    Ok(tried)
}

fn no_region() -> DeskError {
    DeskError::unfit("AWS is called in a region, and none is set: name one, such as us-east-1")
}

/// Says when credentials end, where somebody gave that.
pub(crate) fn ending(
    credentials: AwsCredentials,
    expires: Option<&str>,
) -> Result<AwsCredentials, DeskError> {
    let Some(text) = expires else {
        return Ok(credentials);
    };
    let expires = parse_expiry(text, Timestamp::now()).ok_or_else(|| {
        DeskError::unfit("when the session token ends is not understood")
            .hint("Give a time such as 2026-11-24T07:05:09Z, or how long from now, such as 12h.")
    })?;
    let ending = credentials.with_expiry(expires);
    ending.map_err(|error| DeskError::unfit(error.to_string()))
}

/// Reads credentials from a profile of AWS's own tools on this machine.
pub(crate) async fn of_profile(
    desk: &Desk,
    profile: &str,
) -> Result<mira_provider::aws::Imported, DeskError> {
    let variables = ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"];
    let named = variables.map(|name| (name, desk.house.variable(name)));
    let home = desk.house.variable("HOME").map(PathBuf::from);
    let profile = profile.to_owned();
    blocking(move || {
        let variable = |wanted: &str| {
            let found = named.iter().find(|(name, _)| *name == wanted);
            found.and_then(|(_, value)| value.clone())
        };
        let files = mira_provider::aws::Files::read(variable, home.as_deref());
        let files = files.map_err(DeskError::failed)?;
        mira_provider::aws::from_profile(&files, Some(&profile))
            .map_err(|error| DeskError::unfit(error.to_string()))
    })
    .await
}

/// Tries credentials of AWS, and saves them if they work, or if the person insists. Says what came of the try, and whether they
/// were saved.
pub(crate) async fn set_aws(
    desk: &Desk,
    identity: &Identity,
    credentials: AwsCredentials,
    region: Option<Region>,
    anyway: bool,
) -> Result<(Tried, bool), DeskError> {
    let home = desk.custody.home().clone();
    let region = match region {
        Some(region) => region,
        None => {
            let home = home.clone();
            let settings = blocking(move || Settings::read(&home).map_err(DeskError::failed));
            settings.await?.aws_region.ok_or_else(no_region)?
        }
    };
    let key = Key::Aws {
        credentials: Box::new(credentials),
        region: region.clone(),
        endpoint: desk.house.aws_endpoint()?,
    };
    let provider = Provider::all(&Settings::default())
        .into_iter()
        .find(|provider| provider.api == Api::Bedrock);
    let provider = provider.ok_or_else(|| DeskError::not_found("such provider"))?;
    let outcome = saved::try_out(&desk.house.caller()?, &provider, &key, None).await;
    let tried = Tried::of(provider.name.as_str(), &outcome);
    let Key::Aws { credentials, .. } = key else {
        return Ok((tried, false));
    };
    desk.record(identity, AuditAction::AwsTest, "aws", tried.ok.into())
        .await?;
    if !tried.ok && !anyway {
        return Ok((tried, false));
    }
    let value = credentials.to_value();
    let value = value.map_err(|error| DeskError::unfit(error.to_string()))?;
    let leases = Leases::at(home.leases());
    let saving = desk.custody.with(move |vault| {
        let (name, now) = (saved::credentials_name(), Timestamp::now());
        let other = vault.find(&Scope::User, &name);
        if other.is_some_and(|entry| entry.kind() != Kind::AwsCredentials) {
            let told = format!("{name} is saved already, as another kind of secret");
            return Err(DeskError::new(StatusCode::CONFLICT, told));
        }
        let new = NewSecret {
            value,
            label: None,
            kind: Some(Kind::AwsCredentials),
            now,
        };
        let (id, version) = vault.update(|draft| {
            let entry = draft.set(&Scope::User, &name, new)?;
            Ok((entry.id().to_string(), entry.version()))
        })?;
        if version > 1 {
            // What cannot be noted is seen from the versions all the same, less its time.
            leases.mark_stale(&id, version, now).ok();
        }
        let change = |settings: &mut Settings| settings.aws_region = Some(region);
        Settings::update(&home, change).map_err(DeskError::failed)
    });
    let saved = saving.await;
    desk.told(identity, AuditAction::AwsSet, "aws", saved)
        .await?;
    Ok((tried, true))
}

/// Removes the credentials of AWS and the region.
pub(crate) async fn remove_aws(desk: &Desk, identity: &Identity) -> Result<(), DeskError> {
    let home = desk.custody.home().clone();
    let removed = desk.custody.with(move |vault| {
        if saved::credentials(vault).is_none() {
            return Err(DeskError::not_found("saved credential of AWS"));
        }
        vault.update(|draft| draft.remove(&Scope::User, &saved::credentials_name()))?;
        let change = |settings: &mut Settings| settings.aws_region = None;
        Settings::update(&home, change).map_err(DeskError::failed)
    });
    let removed = removed.await;
    desk.told(identity, AuditAction::AwsRemove, "aws", removed)
        .await
}
