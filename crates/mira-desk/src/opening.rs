//! Opening a package: uploaded, or named by its path; what it is and what it asks for is known before anything of it is unpacked.
//!
//! INVARIANT: what is opened is the very package that was shown, to whoever it was shown to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::http::StatusCode;
use mira_host::instances::{Candidate, Created, InstanceError, Upload};
use mira_package::archive::Limits;
use mira_package::manifest::Delivery;
use mira_package::trust::Secrets;
use mira_secret::{Scope, SecretBytes};
use mira_store::{AuditAction, Instance, InstanceName};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Handle;
use crate::access::Identity;
use crate::custody::blocking;
use crate::error::DeskError;
use crate::launch::{Password, sweep};
use crate::pages::secrets::{NewValue, put};

/// A package that somebody looks at.
#[derive(Debug)]
pub(crate) struct Looked {
    path: PathBuf,
    /// What was uploaded goes when nobody wants it any more.
    uploaded: Option<Upload>,
    /// Nothing until the password of an encrypted one was right.
    candidate: Option<Candidate>,
}

impl Looked {
    /// A file or folder of this machine.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self {
            path,
            uploaded: None,
            candidate: None,
        }
    }
}

/// A package that comes in, in parts.
#[derive(Debug)]
pub(crate) struct Incoming {
    upload: Upload,
    bytes: u64,
}

impl Incoming {
    pub(crate) fn begin(desk: &Handle) -> Result<Self, DeskError> {
        let upload = desk.house.instances.receive()?;
        Ok(Self { upload, bytes: 0 })
    }

    /// Takes a part: some kilobytes, which the system takes at once.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<(), DeskError> {
        let most = Limits::default().package_bytes_max;
        self.bytes += part.len() as u64;
        if self.bytes > most {
            let told = format!("a package has at most {most} bytes");
            return Err(DeskError::new(StatusCode::PAYLOAD_TOO_LARGE, told));
        }
        self.upload.write(part).map_err(DeskError::failed)
    }

    pub(crate) fn end(self) -> Result<Looked, DeskError> {
        if self.bytes == 0 {
            return Err(DeskError::unfit("the package is missing"));
        }
        Ok(Looked {
            path: self.upload.path().to_owned(),
            uploaded: Some(self.upload),
            candidate: None,
        })
    }
}

/// What came of a look at a package.
#[derive(Debug)]
pub(crate) enum Look {
    /// It is known what it is.
    Seen(Box<Seen>),
    /// It is encrypted, and its password is wanted.
    Encrypted {
        /// What the next request calls it.
        key: String,
        /// Why the password that was given was not taken.
        trouble: Option<DeskError>,
    },
}

/// What a package is and asks for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Seen {
    /// What the next request calls it.
    pub(crate) key: String,
    /// The app's id.
    pub(crate) id: String,
    /// What people call the app.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: Option<String>,
    /// What its publisher calls itself.
    pub(crate) publisher: Option<String>,
    /// `trusted`, `new publisher`, `unsigned` or `tampered`.
    pub(crate) trust: &'static str,
    /// Whether it can be opened at all.
    pub(crate) refused: bool,
    /// Whether it brings secrets of its own, under a password that is asked for at each start.
    pub(crate) sealed: bool,
    /// The names of its services.
    pub(crate) services: Vec<String>,
    /// Its ports, as `service/port`.
    pub(crate) ports: Vec<String>,
    /// The hosts that it may call.
    pub(crate) network: Vec<String>,
    /// The names of what it keeps.
    pub(crate) volumes: Vec<String>,
    /// The secrets that it asks for.
    pub(crate) secrets: Vec<Asked>,
    /// The instances of the app that are there: one may be updated.
    pub(crate) instances: Vec<There>,
}

/// A secret that a package asks for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) required: bool,
    pub(crate) description: Option<String>,
    /// How a person comes by it.
    pub(crate) how_to_obtain: Option<String>,
    /// `env`, `file` or `brokered`.
    pub(crate) delivery: &'static str,
    /// Where a brokered one goes.
    pub(crate) hosts: Vec<String>,
}

/// An instance that is there.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct There {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Seen {
    fn of(candidate: &mut Candidate, instances: &[Instance]) -> Result<Self, DeskError> {
        let sealed = candidate.sealed()?.is_some();
        let manifest = &candidate.manifest;
        let ports = manifest.services.iter().flat_map(|service| {
            let ports = service.ports.iter();
            ports.map(|port| format!("{}/{}", service.name, port.name))
        });
        let secrets = manifest.secrets.iter().map(|secret| Asked {
            name: secret.name.to_string(),
            required: secret.required,
            description: secret.description.clone(),
            how_to_obtain: secret.how_to_obtain.clone(),
            delivery: match secret.deliver {
                Delivery::Env => "env",
                Delivery::File => "file",
                Delivery::Brokered => "brokered",
            },
            hosts: secret.hosts.iter().map(ToString::to_string).collect(),
        });
        let there = instances
            .iter()
            .filter(|known| known.app_id == manifest.id.as_str())
            .map(|known| There {
                id: known.id.to_string(),
                name: known.name.to_string(),
            });
        let publisher = manifest.publisher.as_ref();
        Ok(Self {
            key: String::new(),
            id: manifest.id.to_string(),
            name: manifest.name.clone(),
            version: manifest.version.to_string(),
            description: manifest.description.clone(),
            publisher: publisher.map(|publisher| publisher.name.clone()),
            trust: candidate.judgement.trust.as_str(),
            refused: candidate.judgement.secrets == Secrets::Refused,
            sealed,
            services: manifest
                .services
                .iter()
                .map(|one| one.name.to_string())
                .collect(),
            ports: ports.collect(),
            network: manifest.network.iter().map(ToString::to_string).collect(),
            volumes: manifest
                .state
                .volumes
                .iter()
                .map(ToString::to_string)
                .collect(),
            secrets: secrets.collect(),
            instances: there.collect(),
        })
    }
}

/// Looks at a package, with its password where somebody gave one.
pub(crate) async fn look(
    desk: &Handle,
    identity: &Identity,
    looked: Looked,
    password: Password,
) -> Result<Look, DeskError> {
    look_as(desk, identity, None, looked, password).await
}

/// Looks at a package, which is kept under the name that it has; without one, under a new one.
async fn look_as(
    desk: &Handle,
    identity: &Identity,
    key: Option<&str>,
    mut looked: Looked,
    password: Password,
) -> Result<Look, DeskError> {
    let keep = |looked| match key {
        Some(key) => {
            desk.packages.put_back(identity, key, looked);
            Ok(key.to_owned())
        }
        None => desk.packages.put(identity, looked),
    };
    let (house, path) = (desk.clone(), looked.path.clone());
    let runtime = tokio::runtime::Handle::current();
    let found = blocking(move || {
        let mut ask = |wanted| password.answer(wanted);
        let instances = &house.house.instances;
        let found = runtime.block_on(instances.candidate(&path, None, &mut ask));
        Ok((found, password.0.is_some()))
    });
    match found.await? {
        (Ok(mut candidate), _) => {
            let instances = desk.house.instances.store().instances().await?;
            let mut seen = Seen::of(&mut candidate, &instances)?;
            looked.candidate = Some(candidate);
            seen.key = keep(looked)?;
            Ok(Look::Seen(Box::new(seen)))
        }
        (Err(error @ (InstanceError::NoKey(_) | InstanceError::Guess(_))), tried) => {
            let key = keep(looked)?;
            let trouble = DeskError::from(error);
            let is_told = tried || trouble.status != StatusCode::UNPROCESSABLE_ENTITY;
            let trouble = is_told.then_some(trouble);
            Ok(Look::Encrypted { key, trouble })
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Looks once more at a package that was encrypted.
pub(crate) async fn look_with(
    desk: &Handle,
    identity: &Identity,
    key: &str,
    password: Option<SecretBytes>,
) -> Result<Look, DeskError> {
    let looked = desk.packages.take(identity, key)?;
    // A form that is sent once more names the same.
    look_as(desk, identity, Some(key), looked, Password::given(password)).await
}

/// What somebody answers to what a package asks for.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// What a new instance is called; as the app is, without.
    pub(crate) name: Option<String>,
    /// The instance that is updated, instead of a new one.
    pub(crate) update: Option<String>,
    /// The package is taken although its publisher is not the one that is remembered.
    pub(crate) agreed: bool,
    /// Values of secrets that it declares.
    pub(crate) secrets: BTreeMap<String, SecretBytes>,
}

/// Opens what was shown, and saves the secrets that were given for it.
pub(crate) async fn open(
    desk: &Handle,
    identity: &Identity,
    key: &str,
    answers: Answers,
) -> Result<Instance, DeskError> {
    let name = answers.name.as_deref().map(str::parse::<InstanceName>);
    let name = name.transpose();
    let name = name.map_err(|error| DeskError::unfit(error.to_string()))?;
    let mut looked = desk.packages.take(identity, key)?;
    let checked = check(&looked, answers.secrets);
    let (subject, values) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            desk.packages.put_back(identity, key, looked);
            return Err(error);
        }
    };
    let (house, runtime) = (desk.clone(), tokio::runtime::Handle::current());
    let (update, agreed) = (answers.update, answers.agreed);
    let opened = blocking(move || {
        let opened = runtime.block_on(take(&house, &mut looked, name, update, agreed));
        Ok((opened, looked))
    });
    let (opened, looked) = opened.await?;
    if opened.is_err() {
        // Another name or an agreement may be all that it takes.
        desk.packages.put_back(identity, key, looked);
    }
    let instance = desk
        .told(identity, AuditAction::InstanceOpen, &subject, opened)
        .await?;
    // An encrypted one is opened again, with its password, when it is started.
    sweep(desk).await?;
    for value in values {
        save_own(desk, identity, &instance, value).await?;
    }
    Ok(instance)
}

/// Saves a secret of an instance's own, which its app declares.
pub(crate) async fn save_own(
    desk: &Handle,
    identity: &Identity,
    instance: &Instance,
    mut new: NewValue,
) -> Result<(), DeskError> {
    let instances = &desk.house.instances;
    instances.check_declared(instance, &new.name)?;
    instances.check_unbound(instance, &new.name).await?;
    new.label = Some(format!("of {}", instance.name));
    let scope = Scope::Instance(instance.id.as_str().into());
    put(desk, identity, scope, new, true).await?;
    Ok(())
}

/// Checks what was answered before anything is done with it; returns which app it is for.
fn check(
    looked: &Looked,
    given: BTreeMap<String, SecretBytes>,
) -> Result<(String, Vec<NewValue>), DeskError> {
    let candidate = looked.candidate.as_ref();
    let manifest = &candidate
        .ok_or_else(|| DeskError::unfit("its password comes first"))?
        .manifest;
    let values = given.into_iter().map(|(name, value)| {
        let new = NewValue::check(&name, Some(value), None, None)?;
        let mut declared = manifest.secrets.iter();
        match declared.any(|declared| declared.name == new.name) {
            true => Ok(new),
            false => Err(DeskError::unfit(format!(
                "the package declares no secret {}",
                new.name
            ))),
        }
    });
    Ok((manifest.id.to_string(), values.collect::<Result<_, _>>()?))
}

async fn take(
    desk: &Handle,
    looked: &mut Looked,
    name: Option<InstanceName>,
    update: Option<String>,
    agreed: bool,
) -> Result<Instance, DeskError> {
    let instances = &desk.house.instances;
    let Looked {
        uploaded,
        candidate: Some(candidate),
        ..
    } = looked
    else {
        return Err(DeskError::unfit("its password comes first"));
    };
    if uploaded.is_some() {
        candidate.source = PathBuf::from("a package that was uploaded");
    }
    let (instance, claim) = match update {
        None => {
            let created = instances.create(candidate, name, agreed).await?;
            let Created {
                instance, claim, ..
            } = created;
            (instance, claim)
        }
        Some(id) => {
            let named = desk.house.named(&id).await?;
            let (instance, claim) = instances.claim(&named).await?;
            desk.house.refuse_running(&instance).await?;
            instances.judge_for(candidate, &instance).await?;
            instances.update(&instance, candidate, agreed).await?;
            (instances.store().instance(&instance.id).await?, claim)
        }
    };
    if candidate.is_encrypted()
        && let Some(upload) = uploaded.take()
    {
        instances.keep_package(&instance, candidate, upload).await?;
    }
    instances.store().record_open(&instance.id).await?;
    drop(claim);
    Ok(instance)
}
