//! What all connections of a gate share, and what is remade as a whole with each policy.
//!
//! INVARIANT: a connection to a host is kept for later requests in the [`Current`] that allowed it, so it ends with that policy.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mira_package::manifest::Host;
use tokio::net::TcpStream;

use crate::audit::Audit;
use crate::authority::Authority;
use crate::broker::Broker;
use crate::http::Pool;
use crate::policy::{Policy, Reason, Rule};
use crate::trust::Roots;

/// What all connections of a gate share.
pub(crate) struct Shared {
    pub(crate) current: ArcSwap<Current>,
    pub(crate) audit: Audit,
    pub(crate) authority: Authority,
    pub(crate) roots: Roots,
    pub(crate) dialer: Box<dyn Dial>,
}

/// A policy, with what is made of it.
pub(crate) struct Current {
    pub(crate) policy: Arc<Policy>,
    pub(crate) broker: Broker,
    pub(crate) pool: Pool,
}

impl Current {
    /// Prepares a policy for use.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            broker: Broker::new(&policy),
            policy: Arc::new(policy),
            pool: Pool::default(),
        }
    }
}

/// A connection that is being made.
pub(crate) type Dialing<'a> =
    Pin<Box<dyn Future<Output = Result<TcpStream, DialError>> + Send + 'a>>;

/// Looks a host up, checks where it leads, and connects.
pub(crate) trait Dial: Send + Sync {
    /// Connects to a host that this rule allowed. The stream sends small writes at once.
    fn dial<'a>(&'a self, host: &'a Host, port: u16, rule: &'a Rule) -> Dialing<'a>;
}

/// Why there is no connection to a host.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The gate does not go where the name leads.
    #[error("{0}")]
    Refused(Reason),
    /// The host cannot be reached.
    #[error("{0}")]
    Unreachable(#[from] io::Error),
}
