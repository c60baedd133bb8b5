//! Snapshots that the supervisor takes by itself: what it is handed for them, and how they fare, for people.

use mira_host::instances::{Unpacked, autosaved};
use mira_host::service::Value;
use mira_server::{Autosave, AutosaveState};
use mira_store::Instance;
use mira_vault::Vault;

use super::Apps;
use crate::error::CommandError;
use crate::render::minute;
use crate::ui::Ui;

/// Returns what the supervisor needs to take snapshots of an instance, if its app asks for that. What is to be looked for in
/// them, and their password, are added to the values.
pub(crate) fn plan(
    apps: &Apps,
    ui: &Ui,
    instance: &Instance,
    unpacked: &Unpacked,
    vault: Option<&mut Vault>,
    values: &mut Vec<Value>,
) -> Result<Option<Autosave>, CommandError> {
    let manifest = &unpacked.manifest;
    if autosaved(manifest).is_none() {
        return Ok(None);
    }
    let Some(vault) = vault else {
        ui.say(&format!(
            "{} asks for snapshots by itself, and there is no vault for their password: none is taken; `mira init` makes a vault",
            instance.name
        ));
        return Ok(None);
    };
    let plan = Autosave::plan(&apps.instances, instance, manifest, vault, values);
    Ok(plan?)
}

/// Returns what there is to say of an instance's snapshots, if they fail.
pub(crate) fn trouble(name: &str, state: &AutosaveState) -> Option<String> {
    let since = state.failing_since?;
    let failure = state.failure.as_deref().unwrap_or_default();
    Some(format!(
        "{name}: autosave failed since {}: {failure}",
        minute(since)
    ))
}
