//! Webhooks as this server takes them: which secrets count, which instances want events, and where those are.
//!
//! INVARIANT: an event goes only to an instance whose manifest names it, at a port that the instance has, with the token that its services
//! were started with.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mira_hooks::{
    Endpoint, Ingress, IngressOptions, Later, Placeholders, Secrets, SecretsError, Sources,
    Targets, Watcher, WebhookSecret, Worker, WorkerOptions,
};
use mira_host::instances::authorization;
use mira_package::manifest::{Access, Manifest, Webhook};
use mira_secret::{Scope, SecretBytes};
use mira_store::{Desired, Instance, Shared};
use mira_vault::Vault;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use crate::custody::Custody;
use crate::error::DeskError;
use crate::house::{House, Package};
use crate::opened::Opened;

/// What the secret is called that webhooks are signed with.
pub const WEBHOOK_SECRET: &str = "MIRA_WEBHOOK_SECRET";

/// What follows a secret's name where another one has taken its place.
const PREVIOUS: &str = "_PREVIOUS";

/// What is between the name and the id of an App that has a secret of its own.
const OF_APP: &str = "_APP_";

/// How often it is looked whether the secrets are others now.
// LIMIT: opening the vault takes milliseconds; whoever rotates a secret keeps the previous one for longer than this.
const RELOAD_EVERY: Duration = Duration::from_secs(30);

/// How webhooks are taken.
#[derive(Debug)]
pub struct Hooks {
    /// The secrets that they are signed with.
    pub secrets: Secrets,
    /// From where they are taken; without, from everywhere.
    pub sources: Option<Sources>,
    /// Who is told of each event.
    pub watcher: Option<Arc<dyn Watcher>>,
    /// What stands for tokens.
    pub placeholders: Option<Arc<dyn Placeholders>>,
    /// How they are delivered.
    pub worker: WorkerOptions,
}

impl Hooks {
    /// Takes webhooks that these secrets have signed, from everywhere, and delivers them in the usual way.
    #[must_use]
    pub fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            sources: None,
            watcher: None,
            placeholders: None,
            worker: WorkerOptions::default(),
        }
    }
}

/// Why there are no secrets to check webhooks with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookSecretsError {
    /// The vault has none that are fit.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The vault cannot be opened.
    #[error(transparent)]
    Vault(#[from] mira_vault::VaultError),
}

/// Returns the secrets of a vault that webhooks are signed with: `MIRA_WEBHOOK_SECRET`, `MIRA_WEBHOOK_SECRET_APP_<id>` for an App of its
/// own, and each with `_PREVIOUS` while it is rotated. `opened` hears of each.
///
/// # Errors
///
/// There is none, or one is too short.
pub fn hook_secrets(vault: &Vault, opened: &Opened) -> Result<Secrets, HookSecretsError> {
    let mut secrets = Vec::new();
    for entry in vault
        .secrets()
        .filter(|entry| *entry.scope() == Scope::User)
    {
        let Some((app, is_previous)) = kind(entry.name().as_str()) else {
            continue;
        };
        // EXPOSE: to the checks of signatures, which keep it in locked memory.
        let value = SecretBytes::copy_from(vault.value(entry)?.expose());
        // EXPOSE: to the log, which is kept free of it.
        opened.tell(entry.name().as_str(), value.expose());
        let secret = WebhookSecret {
            name: entry.name().to_string(),
            value,
            is_previous,
        };
        secrets.push((app, secret));
    }
    Ok(Secrets::new(secrets)?)
}

/// Returns for which App a secret of this name is, if for one alone, and whether it is a previous one.
fn kind(name: &str) -> Option<(Option<String>, bool)> {
    let rest = name.strip_prefix(WEBHOOK_SECRET)?;
    let (rest, is_previous) = match rest.strip_suffix(PREVIOUS) {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    match rest.strip_prefix(OF_APP) {
        Some(app) => Some((Some(app.to_owned()), is_previous)),
        None => rest.is_empty().then_some((None, is_previous)),
    }
}

/// Begins to take and deliver webhooks, on the runtime that this is called on, until `until`.
pub(crate) async fn begin(
    hooks: Hooks,
    shared: &Shared,
    custody: &Custody,
    house: &Arc<House>,
    opened: &Opened,
    until: impl Future<Output = ()> + Send + 'static,
) -> Result<Arc<Ingress>, DeskError> {
    let targets: Arc<dyn Targets> = Arc::new(HookTargets {
        house: Arc::clone(house),
    });
    if shared.is_of_one_server() {
        // There is no other server, so nobody is at what a server before this one has begun.
        shared.release_hooks(None).await?;
    }
    let wake = Arc::new(Notify::new());
    let options = IngressOptions {
        sources: hooks.sources,
        ..IngressOptions::new(custody.home().path().to_owned())
    };
    let ingress = Arc::new(Ingress::new(
        shared.clone(),
        hooks.secrets,
        Arc::clone(&targets),
        hooks.watcher,
        Arc::clone(&wake),
        options,
    ));
    let worker = Worker::new(shared.clone(), targets, hooks.placeholders, hooks.worker);
    let reload = reload(Arc::clone(&ingress), custody.clone(), opened.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = worker.run(wake, until) => {}
            () = reload => {}
        }
    });
    Ok(ingress)
}

/// Takes the vault's secrets as they change. Where they cannot be read, or are unfit, those that were read before count on.
async fn reload(ingress: Arc<Ingress>, custody: Custody, opened: Opened) {
    let mut look = interval(RELOAD_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let opened = opened.clone();
        let read =
            custody.with(move |vault| hook_secrets(vault, &opened).map_err(DeskError::failed));
        if let Ok(secrets) = read.await {
            ingress.replace_secrets(secrets);
        }
    }
}

/// The instances of the home that want events.
struct HookTargets {
    house: Arc<House>,
}

impl fmt::Debug for HookTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookTargets")
    }
}

/// Returns how an instance is called among all servers of one database, where events wait for it.
#[must_use]
pub fn hook_target(instance: &Instance) -> String {
    format!("{}/{}", instance.app_id, instance.name)
}

impl HookTargets {
    /// Returns the instances that take events at all.
    async fn instances(&self) -> Result<Vec<(Instance, Arc<Package>)>, DeskError> {
        let instances = self.house.instances.store().instances().await?;
        let alive = instances.into_iter().filter(|instance| !instance.deleting);
        let known = alive.filter_map(|instance| {
            // One that cannot be read takes none.
            let package = self.house.seen(&instance).ok()??;
            (!package.manifest.webhooks.is_empty()).then_some((instance, package))
        });
        Ok(known.collect())
    }

    async fn wanting(&self, event: &str) -> Result<Vec<String>, DeskError> {
        let instances = self.instances().await?.into_iter();
        let wanting = instances.filter(|(instance, package)| {
            // One that was stopped on purpose lets nothing pile up.
            instance.desired == Desired::Running && webhook(&package.manifest, event).is_some()
        });
        Ok(wanting
            .map(|(instance, _)| hook_target(&instance))
            .collect())
    }

    async fn here(&self) -> Result<Vec<String>, DeskError> {
        let running = self.house.client.instances().await?;
        let instances = self.instances().await?.into_iter();
        let here = instances.filter(|(instance, package)| {
            let mut states = running.iter();
            let state = states.find(|state| state.id == instance.id.as_str());
            let is_up = |hook: &Webhook| {
                let mut services = state.iter().flat_map(|state| &state.services);
                services.any(|one| one.service == hook.to.service.as_str() && one.phase == "up")
            };
            package.manifest.webhooks.iter().any(is_up)
        });
        Ok(here.map(|(instance, _)| hook_target(&instance)).collect())
    }

    async fn endpoint(&self, target: &str, event: &str) -> Result<Option<Endpoint>, DeskError> {
        let mut instances = self.instances().await?.into_iter();
        let Some((instance, package)) =
            instances.find(|(instance, _)| hook_target(instance) == target)
        else {
            return Ok(None);
        };
        let manifest = &package.manifest;
        let Some(hook) = webhook(manifest, event) else {
            return Ok(None);
        };
        let name = manifest.port_of(&hook.to).map(|port| port.name.as_str());
        let ports = self.house.instances.store().ports(&instance.id).await?;
        let port = ports.iter().find(|port| {
            port.service == hook.to.service.as_str() && Some(port.name.as_str()) == name
        });
        let token = self
            .house
            .client
            .delivery_token(instance.id.as_str())
            .await?;
        let authorization = token.and_then(|token| authorization(&token));
        let (Some(port), Some(authorization)) = (port, authorization) else {
            return Ok(None);
        };
        let permissions = manifest.github.iter().map(|(name, access)| {
            let access = match access {
                Access::Read => "read",
                Access::Write => "write",
                Access::Admin => "admin",
            };
            (name.clone(), access.to_owned())
        });
        Ok(Some(Endpoint {
            instance: instance.id.to_string(),
            address: SocketAddr::from(([127, 0, 0, 1], port.number)),
            path: hook.to.path.clone(),
            authorization,
            permissions: permissions.collect(),
        }))
    }
}

/// Returns where an app takes events of a kind.
fn webhook<'a>(manifest: &'a Manifest, event: &str) -> Option<&'a Webhook> {
    let mut hooks = manifest.webhooks.iter();
    hooks.find(|hook| hook.events.iter().any(|wanted| wanted == event))
}

impl Targets for HookTargets {
    fn wanting<'a>(&'a self, event: &'a str) -> Later<'a, Result<Vec<String>, String>> {
        Box::pin(async { self.wanting(event).await.map_err(|error| error.message) })
    }

    fn here(&self) -> Later<'_, Result<Vec<String>, String>> {
        Box::pin(async { self.here().await.map_err(|error| error.message) })
    }

    fn endpoint<'a>(
        &'a self,
        target: &'a str,
        event: &'a str,
    ) -> Later<'a, Result<Option<Endpoint>, String>> {
        Box::pin(async move {
            let endpoint = self.endpoint(target, event).await;
            endpoint.map_err(|error| error.message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_name_says_for_whom_it_is() {
        let app = |id: &str| Some(id.to_owned());
        for (name, expect) in [
            ("MIRA_WEBHOOK_SECRET", Some((None, false))),
            ("MIRA_WEBHOOK_SECRET_PREVIOUS", Some((None, true))),
            ("MIRA_WEBHOOK_SECRET_APP_7", Some((app("7"), false))),
            ("MIRA_WEBHOOK_SECRET_APP_7_PREVIOUS", Some((app("7"), true))),
            ("MIRA_WEBHOOK_SECRETS", None),
            ("MIRA_WEBHOOK", None),
            ("OPENAI_API_KEY", None),
        ] {
            assert_eq!(kind(name), expect, "{name}");
        }
    }
}
