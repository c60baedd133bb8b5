//! Bindings: a declared secret of an instance refers to one of the person's, until that is taken back.

use axum::extract::{Path, State};
use axum::response::Redirect;
use mira_secret::SecretName;
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
    let instance = desk.house.named(id).await?;
    let subject = subject(&instance, &name);
    let (instances, wanted) = (desk.house.instances.clone(), instance.clone());
    let runtime = tokio::runtime::Handle::current();
    let bound = desk.custody.with(move |vault| {
        let bound = instances.bind(&wanted, &name, Some(&secret), vault);
        Ok(runtime.block_on(bound)?)
    });
    let bound = bound.await;
    desk.told(identity, AuditAction::SecretBind, &subject, bound)
        .await?;
    Ok(instance)
}

/// Takes a binding back.
pub(crate) async fn unbind(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    name: &str,
) -> Result<Instance, DeskError> {
    let instance = desk.house.named(id).await?;
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
