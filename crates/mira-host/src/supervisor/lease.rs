//! Which service holds which secrets, recorded before it starts.

use std::io;

use jiff::Timestamp;

use super::kept::label;
use crate::service::{InstanceSpec, ServiceSpec};
use mira_run::lease::{Delivery, Lease, Leases, NewLease};

/// Takes the lease of a service; nothing where it gets no secret that rests in the vault.
pub(super) fn take(
    leases: &Leases,
    spec: &InstanceSpec,
    service: &ServiceSpec,
) -> io::Result<Option<Lease>> {
    let gets = |name| service.env_secrets.contains(name) || service.file_secrets.contains(name);
    let held = spec.values.iter().filter(|value| gets(&value.name));
    note_brokered(leases, spec);
    let deliveries: Vec<Delivery> = held
        .filter_map(|value| {
            let origin = value.origin.as_ref()?;
            Some(Delivery {
                secret_id: origin.secret_id.clone(),
                scope: origin.scope.clone(),
                name: value.name.clone(),
                version: origin.version,
            })
        })
        .collect();
    if deliveries.is_empty() {
        return Ok(None);
    }
    let lease = NewLease {
        program: label(&spec.name, &service.name),
        started: Timestamp::now(),
        deliveries,
    };
    leases.take(&lease).map(Some)
}

/// Notes that the gate has the secrets that no service gets: nothing holds them in the sense of a lease.
fn note_brokered(leases: &Leases, spec: &InstanceSpec) {
    let is_held = |name| {
        let mut services = spec.services.iter();
        services.any(|one| one.env_secrets.contains(name) || one.file_secrets.contains(name))
    };
    let brokered = spec.values.iter().filter(|value| !is_held(&value.name));
    let ids = brokered.filter_map(|value| Some(&*value.origin.as_ref()?.secret_id));
    // When it was used last is a convenience, and keeps nothing from starting.
    leases.note_used(ids, Timestamp::now()).ok();
}
