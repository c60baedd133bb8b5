//! Bindings: a declared secret of an instance refers to one of the person's, until that is taken back.

use axum::extract::{Path, State};
use axum::response::Redirect;
use mira_secret::{Scope, SecretName};
use mira_store::{AuditAction, Instance};

use super::mcp::variable;
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::{Desk, Handle};

/// Binds a declared secret to one of the person's.
pub(crate) async fn bind(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    name: &str,
    secret: &str,
) -> Result<Instance, DeskError> {
    let (name, secret) = (variable(name)?, variable(secret)?);
    let instance = desk.house.find(id).await?.instance;
    let unpacked = desk.house.unpacked(&instance)?;
    let mut declared = unpacked
        .iter()
        .flat_map(|unpacked| &unpacked.manifest.secrets);
    if !declared.any(|declared| declared.name == name) {
        return Err(DeskError::unfit(format!(
            "{} declares no secret {name}",
            instance.name
        )));
    }
    let subject = subject(&instance, &name);
    let bound = set(desk, &instance, &name, &secret).await;
    desk.told(identity, AuditAction::SecretBind, &subject, bound)
        .await?;
    Ok(instance)
}

async fn set(
    desk: &Desk,
    instance: &Instance,
    name: &SecretName,
    secret: &SecretName,
) -> Result<(), DeskError> {
    let own = Scope::Instance(instance.id.as_str().into());
    let (wanted, yours) = (name.clone(), secret.clone());
    let checked = desk.custody.with(move |vault| {
        if vault.find(&Scope::User, &yours).is_none() {
            return Err(DeskError::unfit(format!("you have no secret {yours}")));
        }
        match vault.find(&own, &wanted) {
            Some(_) => Err(DeskError::unfit(format!("it has a {wanted} of its own"))
                .hint("`mira secret rm --instance` removes that first.")),
            None => Ok(()),
        }
    });
    checked.await?;
    let store = desk.house.instances.store();
    let set = store.set_binding(&instance.id, name.as_str(), secret.as_str());
    Ok(set.await?)
}

/// Takes a binding back.
pub(crate) async fn unbind(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    name: &str,
) -> Result<Instance, DeskError> {
    let instance = desk.house.find(id).await?.instance;
    let name = variable(name)?;
    let store = desk.house.instances.store();
    let removed = store.remove_binding(&instance.id, name.as_str()).await;
    let removed = removed.map_err(DeskError::from).and_then(|was| match was {
        true => Ok(()),
        false => Err(DeskError::not_found("such binding")),
    });
    let subject = subject(&instance, &name);
    desk.told(identity, AuditAction::SecretUnbind, &subject, removed)
        .await?;
    Ok(instance)
}

fn subject(instance: &Instance, name: &SecretName) -> String {
    format!("{} {name}", instance.name)
}

/// Binds.
pub(crate) async fn set_one(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    form: Form,
) -> Result<Redirect, DeskError> {
    let name = form.required("name", "the variable's name")?;
    let secret = form.required("secret", "the name of your secret")?;
    let instance = bind(&desk, &identity, &id, name, secret).await?;
    Ok(Redirect::to(&format!("/instances/{}", instance.id)))
}

/// Takes one back.
pub(crate) async fn remove_one(
    State(desk): State<Handle>,
    Path((id, name)): Path<(String, String)>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    let instance = unbind(&desk, &identity, &id, &name).await?;
    Ok(Redirect::to(&format!("/instances/{}", instance.id)))
}
