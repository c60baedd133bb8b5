//! Snapshots of an instance's state: listed, taken, restored, removed. One that would hold a secret is not taken.

use jiff::Timestamp;
use mira_host::instances::Content;
use mira_package::manifest::Manifest;
use mira_snapshot::{Options, Report, Repository, TAG_SAFETY};
use mira_store::{AuditAction, Instance};
use schemars::JsonSchema;
use serde::Serialize;

use crate::Handle;
use crate::access::Identity;
use crate::custody::blocking;
use crate::error::DeskError;
use crate::launch::{Password, sweep};

/// A snapshot, as it is told.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Snapshot {
    pub(crate) id: String,
    /// As much of the id as people need.
    pub(crate) short: String,
    /// When it was taken.
    #[schemars(with = "String")]
    pub(crate) time: Timestamp,
    pub(crate) label: String,
    /// Why it was taken, where nobody asked for it: `autosave` or `safety`.
    pub(crate) tags: Vec<String>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl From<mira_snapshot::Snapshot> for Snapshot {
    fn from(snapshot: mira_snapshot::Snapshot) -> Self {
        Self {
            short: snapshot.id.short().to_owned(),
            id: snapshot.id.as_str().to_owned(),
            time: snapshot.time,
            label: snapshot.label,
            tags: snapshot.tags,
            files: snapshot.files,
            bytes: snapshot.bytes,
        }
    }
}

/// How one is taken.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) label: String,
    /// Files that hold a secret are left out, instead of keeping it from being taken.
    pub(crate) leave_out: bool,
    /// What opens the instance's package, or what is sealed in it: that is looked for too.
    pub(crate) password: Password,
}

/// Returns all of an instance, the oldest first.
pub(crate) async fn all(desk: &Handle, instance: &Instance) -> Result<Vec<Snapshot>, DeskError> {
    let (instances, wanted) = (desk.house.instances.clone(), instance.clone());
    let listed = desk.custody.with_if_there(move |vault| {
        let Some(vault) = vault else {
            return Ok(Vec::new());
        };
        match instances.existing_repository(&wanted, vault)? {
            Some(repository) => Ok(repository.list()?),
            None => Ok(Vec::new()),
        }
    });
    Ok(listed.await?.into_iter().map(Snapshot::from).collect())
}

/// Takes one.
pub(crate) async fn take(
    desk: &Handle,
    identity: &Identity,
    id: &str,
    wanted: Wanted,
) -> Result<(Instance, Snapshot), DeskError> {
    let instance = desk.house.named(id).await?;
    let options = Options {
        leave_out: wanted.leave_out,
        instance: instance.id.to_string(),
        label: wanted.label,
        ..Options::default()
    };
    let taken = match gather(desk, &instance, wanted.password).await {
        Ok((repository, _, content)) => {
            blocking(move || save(&repository, &content, &options)).await
        }
        Err(error) => Err(error),
    };
    sweep(desk).await?;
    let action = AuditAction::SnapshotCreate;
    let report = desk
        .told(identity, action, instance.name.as_str(), taken)
        .await?;
    Ok((instance, report.snapshot.into()))
}

/// Restores one; returns the snapshot of the state that it replaced.
pub(crate) async fn restore(
    desk: &Handle,
    identity: &Identity,
    id: &str,
    snapshot: &str,
    password: Password,
) -> Result<(Instance, Snapshot), DeskError> {
    let instance = desk.house.named(id).await?;
    let restored = put_back(desk, &instance, snapshot, password).await;
    sweep(desk).await?;
    let action = AuditAction::SnapshotRestore;
    let safety = desk
        .told(identity, action, instance.name.as_str(), restored)
        .await?;
    Ok((instance, safety.snapshot.into()))
}

/// Removes one.
pub(crate) async fn remove(
    desk: &Handle,
    identity: &Identity,
    id: &str,
    snapshot: &str,
) -> Result<Instance, DeskError> {
    let instance = desk.house.named(id).await?;
    let (instances, wanted) = (desk.house.instances.clone(), instance.clone());
    let snapshot = snapshot.to_owned();
    let removed = desk.custody.with(move |vault| {
        let repository = instances.existing_repository(&wanted, vault)?;
        let repository = repository.ok_or_else(|| DeskError::not_found("such snapshot"))?;
        let id = repository.find(&snapshot)?;
        Ok(repository.forget(&[id])?)
    });
    let removed = removed.await;
    let action = AuditAction::SnapshotForget;
    desk.told(identity, action, instance.name.as_str(), removed)
        .await?;
    Ok(instance)
}

/// Opens the repository, and gathers what goes into a snapshot.
async fn gather(
    desk: &Handle,
    instance: &Instance,
    password: Password,
) -> Result<(Repository, Manifest, Content), DeskError> {
    let (house, wanted) = (desk.clone(), instance.clone());
    let runtime = tokio::runtime::Handle::current();
    let gathered = desk.custody.with(move |vault| {
        let instances = &house.house.instances;
        // Its password is a secret of the instance too, and is looked for as the others are.
        let repository = instances.repository(&wanted, vault)?;
        let mut ask = |asked| password.answer(asked);
        runtime.block_on(async {
            let unpacked = instances.reopen(&wanted, &mut ask).await?;
            let sealed = match &unpacked.sealed {
                Some(sealed) => instances.unseal(sealed, &mut ask).await?,
                None => Vec::new(),
            };
            let manifest = unpacked.manifest;
            let content = instances.content(&wanted, &manifest, vault, &sealed);
            let content = content.await?;
            Ok((repository, manifest, content))
        })
    });
    gathered.await
}

fn save(
    repository: &Repository,
    content: &Content,
    options: &Options,
) -> Result<Report, DeskError> {
    let taken = repository.snapshot(&content.volumes, &content.secrets, options, &mut |_| {});
    Ok(taken?)
}

async fn put_back(
    desk: &Handle,
    instance: &Instance,
    wanted: &str,
    password: Password,
) -> Result<Report, DeskError> {
    let instances = desk.house.instances.clone();
    // Nobody starts it from here on.
    let (instance, claim) = instances.claim(instance).await?;
    desk.house.refuse_running(&instance).await?;
    let (repository, manifest, content) = gather(desk, &instance, password).await?;
    let wanted = wanted.to_owned();
    let report = blocking(move || {
        let id = repository.find(&wanted)?;
        let mut all = repository.list()?.into_iter();
        let snapshot = all.find(|snapshot| snapshot.id == id);
        let snapshot = snapshot.ok_or_else(|| DeskError::not_found("such snapshot any more"))?;
        let volumes = instances.restorable(&instance, &manifest, &snapshot)?;
        let options = Options {
            tags: vec![TAG_SAFETY.to_owned()],
            instance: instance.id.to_string(),
            label: format!("before the restore of {}", snapshot.id.short()),
            ..Options::default()
        };
        let safety = save(&repository, &content, &options).map_err(|error| {
            error.hint("Nothing was restored. `mira snapshot restore --no-safety` restores without saving the state as it is now, which is lost then.")
        })?;
        repository.restore(&snapshot.id, &volumes, &mut |_| {})?;
        Ok(safety)
    });
    let report = report.await?;
    drop(claim);
    Ok(report)
}
