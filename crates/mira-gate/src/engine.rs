//! What the tasks of one gate share beside what HTTP needs of it.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use mira_package::manifest::Host;
use tokio::sync::{Notify, Semaphore};

use crate::ask::Asking;
use crate::limits::Limits;
use crate::names::Names;
use crate::open::{Open, To, Told};
use crate::owner::Caller;
use crate::policy::{Policy, Reason, Verdict};
use crate::resolve::Own;
use crate::shared::Shared;

/// What the tasks of a gate share.
pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    pub(crate) names: Arc<Names>,
    pub(crate) open: Open,
    pub(crate) asking: Asking,
    pub(crate) own: Own,
    pub(crate) limits: Limits,
    /// Places for connections.
    pub(crate) places: Arc<Semaphore>,
    /// Told when a connection has ended.
    pub(crate) freed: Notify,
}

impl Engine {
    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.shared.current.load().policy)
    }

    /// Returns which host is meant by one that a program named or connected to: the name that an address stands for, this machine, or itself.
    pub(crate) fn meant(&self, host: Host, port: u16) -> Host {
        let Host::Ip(address) = host else { return host };
        let address = address.to_canonical();
        if let IpAddr::V4(address) = address
            && let Some(name) = self.names.name(address)
        {
            return Host::Name(name);
        }
        // A room's own loopback leads nowhere, so who calls it means this machine, which a policy may name in either way.
        let itself = Host::Ip(address);
        match self.policy().decide(&itself, port) {
            Verdict::Refused(Reason::NotListed) if address.is_loopback() => {
                Host::Name("localhost".into())
            }
            _ => itself,
        }
    }

    /// Waits for a person's answer about a host that no rule names, if somebody is asked.
    pub(crate) async fn ask(&self, host: &Host, port: u16, caller: &Caller) {
        self.asking.wait(&self.policy(), host, port, caller).await;
    }

    /// Does the work of a connection until a policy refuses it, which is told then.
    pub(crate) async fn hold(&self, to: To, told: Arc<dyn Told>, work: impl Future<Output = ()>) {
        self.open.hold(to, told, || self.policy(), work).await;
    }
}
