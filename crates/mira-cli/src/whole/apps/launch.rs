//! Bringing an instance up: its sealed secrets are opened, the missing ones asked for, and the supervisor is told to start it.

use jiff::Timestamp;
use mira_host::instances::{Claim, Instances, KeyWanted, Resolution, Source, Unpacked};
use mira_host::service::Value;
use mira_package::manifest::{Manifest, SecretSpec};
use mira_secret::{Kind, Scope, SecretName, SecretValue};
use mira_server::{Attachment, Autosave};
use mira_store::{Desired, Instance};
use mira_vault::{NewSecret, Vault};

use super::follow::{Following, Launched, follow};
use super::{Apps, KeyArgs, Supervisor, autosave, surroundings};
use crate::commands::set;
use crate::error::CommandError;
use crate::session;
use crate::session::UnlockArgs;
use crate::ui::Ui;

/// How an instance is brought up.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct LaunchArgs {
    /// Leave it running, and return when it is up
    #[arg(short, long)]
    pub(crate) detach: bool,

    /// Change a setting that the app declares, for this instance, from now on (may be repeated)
    #[arg(long = "with", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,

    /// Do not start it where nothing but its good will keeps it from calling hosts that it may not
    #[arg(long)]
    pub(crate) require_enforcement: bool,

    #[command(flatten)]
    pub(crate) key: KeyArgs,

    #[command(flatten)]
    pub(crate) unlock: UnlockArgs,
}

/// An instance that has all that it needs to be brought up.
pub(crate) struct Ready<'a> {
    instance: &'a Instance,
    unpacked: &'a Unpacked,
    values: Vec<Value>,
    autosave: Option<Autosave>,
    claim: Claim,
}

/// Gathers the secrets of an instance; `first` says that it was made just now, so that optional ones are asked for too.
pub(crate) fn prepare<'a>(
    apps: &Apps,
    ui: &Ui,
    instance: &'a Instance,
    unpacked: &'a Unpacked,
    claim: Claim,
    args: &LaunchArgs,
    first: bool,
) -> Result<Ready<'a>, CommandError> {
    let manifest = &unpacked.manifest;
    keep_settings(apps, instance, manifest, &args.settings)?;
    let sealed = match &unpacked.sealed {
        Some(sealed) => {
            let mut ask = |wanted: KeyWanted| args.key.ask(ui, wanted);
            apps.wait(apps.instances.unseal(sealed, &mut ask))?
        }
        None => Vec::new(),
    };
    check_declared(manifest, &sealed)?;
    let mut vault = match Instances::needs_vault(manifest) {
        true => apps.vault(ui, &args.unlock)?,
        false => None,
    };
    let names: Vec<SecretName> = sealed.iter().map(|(name, _)| name.clone()).collect();
    let resolve = |vault: Option<&Vault>| -> Result<Resolution<'_>, CommandError> {
        let resolved = apps.instances.resolve(instance, manifest, vault, &names);
        Ok(apps.wait(resolved)?)
    };
    let resolution = resolve(vault.as_ref())?;
    let asked: Vec<&SecretSpec> = resolution
        .missing()
        .filter(|declared| declared.required || first)
        .collect();
    let resolution = if asked.is_empty() || !ui.can_ask() {
        resolution
    } else {
        fill_in(apps, ui, instance, &asked, vault.as_mut())?;
        resolve(vault.as_ref())?
    };
    let mut values = apps
        .instances
        .values(instance, &resolution, vault.as_ref(), sealed)?;
    if let Some(vault) = &vault {
        warn_expired(ui, &resolution, vault)?;
    }
    let autosave = autosave::plan(apps, ui, instance, unpacked, vault.as_mut(), &mut values)?;
    Ok(Ready {
        instance,
        unpacked,
        values,
        autosave,
        claim,
    })
}

/// Brings an instance up that is ready, and does not run.
pub(crate) fn launch(
    apps: &Apps,
    ui: &Ui,
    ready: Ready<'_>,
    args: &LaunchArgs,
) -> Result<(), CommandError> {
    let Ready {
        instance,
        unpacked,
        values,
        autosave,
        claim,
    } = ready;
    let manifest = &unpacked.manifest;
    let spec = apps.wait(apps.instances.spec(
        instance,
        unpacked,
        values,
        &surroundings(apps.instances.home(), args.require_enforcement)?,
    ))?;
    let spawn = Supervisor {
        home: apps.instances.home().clone(),
    };
    let attachment = match (args.detach, ui.can_ask()) {
        (true, _) => Attachment::None,
        (false, true) => Attachment::Answering,
        (false, false) => Attachment::Attached,
    };
    apps.wait(async {
        let starting = apps
            .client
            .start(&spec, autosave.as_ref(), attachment, &spawn);
        let mut starting = starting.await?;
        // The values are the supervisor's from here on, and so is the instance once it tells of it.
        drop(spec);
        let first = starting.next().await?;
        drop(claim);
        apps.instances
            .store()
            .set_desired(&instance.id, Desired::Running)
            .await?;
        let mut following = Following::new(starting, first);
        let launched = follow(apps, ui, instance, manifest, &mut following, args.detach).await;
        if !matches!(launched, Ok(Launched::Up)) {
            apps.instances
                .store()
                .set_desired(&instance.id, Desired::Stopped)
                .await?;
        }
        launched.map(drop)
    })
}

/// Says which of the user's AWS credentials, of those that the instance gets, have expired.
fn warn_expired(ui: &Ui, resolution: &Resolution<'_>, vault: &Vault) -> Result<(), CommandError> {
    let mut told: Vec<&SecretName> = Vec::new();
    for wanted in &resolution.wanted {
        let Some(Source::Bound(secret)) = &wanted.source else {
            continue;
        };
        let entry = vault.find(&Scope::User, secret);
        let entry = entry.filter(|entry| entry.kind() == Kind::AwsCredentials);
        if let Some(entry) = entry.filter(|_| !told.contains(&secret)) {
            session::warn_expired(ui, secret, vault.delivered(entry)?.expires);
            told.push(secret);
        }
    }
    Ok(())
}

/// Keeps settings for the instance; the manifest has to declare them.
fn keep_settings(
    apps: &Apps,
    instance: &Instance,
    manifest: &Manifest,
    settings: &[String],
) -> Result<(), CommandError> {
    let declared: Vec<&str> = manifest
        .settings
        .iter()
        .map(|setting| setting.name.as_str())
        .collect();
    let mut changes = Vec::with_capacity(settings.len());
    for text in settings {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| CommandError::usage("--with takes NAME=VALUE"))?;
        if !declared.contains(&name) {
            // The name is not repeated: it may be a value in the wrong place.
            return Err(CommandError::usage(format!(
                "{} declares no such setting",
                instance.name
            ))
            .hint(match declared.is_empty() {
                true => "It declares none.".to_owned(),
                false => format!("It declares {}.", declared.join(", ")),
            })
            .hint("A secret is saved by `mira secret set`, and never given on the command line."));
        }
        changes.push((name, value));
    }
    for (name, value) in changes {
        let store = apps.instances.store();
        apps.wait(store.set_setting(&instance.id, name, value))?;
    }
    Ok(())
}

/// Sealed secrets that the manifest does not declare would go nowhere.
fn check_declared(
    manifest: &Manifest,
    sealed: &[(SecretName, SecretValue)],
) -> Result<(), CommandError> {
    let declared = |name: &SecretName| manifest.secrets.iter().any(|secret| secret.name == *name);
    match sealed.iter().find(|(name, _)| !declared(name)) {
        None => Ok(()),
        Some((name, _)) => Err(CommandError::failed(format!(
            "the package has {name} sealed, which its manifest does not declare; whoever made it has to declare or remove it"
        ))),
    }
}

/// Asks for missing secrets, and saves or binds them.
fn fill_in(
    apps: &Apps,
    ui: &Ui,
    instance: &Instance,
    asked: &[&SecretSpec],
    vault: Option<&mut Vault>,
) -> Result<(), CommandError> {
    let Some(vault) = vault else {
        let required = asked.iter().filter(|declared| declared.required);
        let names: Vec<&SecretName> = required.map(|declared| &declared.name).collect();
        return match names.is_empty() {
            true => Ok(()),
            false => Err(CommandError::missing(
                format!(
                    "{} needs secrets, and there is no vault to save them in:",
                    instance.name
                ),
                names,
            )
            .hint("`mira init` makes a vault.")),
        };
    };
    for declared in asked {
        let name = &declared.name;
        ui.say(&format!(
            "{} {} {name}{}",
            instance.name,
            match declared.required {
                true => "needs",
                false => "can use",
            },
            match &declared.description {
                Some(description) => format!(": {description}"),
                None => String::new(),
            }
        ));
        if let Some(how) = &declared.how_to_obtain {
            ui.detail(&format!("how to obtain it: {how}"));
        }
        let carrier = vault.carrier(&Scope::User, name)?;
        if let Some(secret) = carrier
            .map(|entry| entry.name().clone())
            .filter(|secret| !secret.is_of_server())
            && ui.confirm(
                &format!("You have a secret {secret}. Use it here?"),
                "a binding",
            )?
        {
            apps.wait(apps.instances.store().set_binding(
                &instance.id,
                name.as_str(),
                secret.as_str(),
            ))?;
            continue;
        }
        let prompt = match declared.required {
            true => format!("Value of {name} (not shown): "),
            false => format!("Value of {name} (not shown; Enter for none): "),
        };
        let bytes = ui.ask_hidden(&prompt)?;
        if bytes.is_empty() && !declared.required {
            continue;
        }
        let value = SecretValue::new(name, bytes)
            .map_err(|error| CommandError::failed(format!("{name} was not saved: {error}")))?;
        set::warn_coverage(ui, name, set::coverage(name, &value));
        let new = NewSecret {
            value,
            label: Some(format!("{name} of {}", instance.name)),
            kind: None,
            now: Timestamp::now(),
        };
        let scope = Scope::Instance(instance.id.as_str().into());
        vault.update(|draft| draft.set(&scope, name, new).map(drop))?;
    }
    Ok(())
}
