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
use tokio::sync::broadcast;

use crate::audit::{Attempt, Audit, How};
use crate::authority::Authority;
use crate::broker::Broker;
use crate::http::Pool;
use crate::policy::{Policy, Reason, Rule, Verdict};
use crate::trust::Roots;

/// What all connections of a gate share.
pub(crate) struct Shared {
    pub(crate) current: ArcSwap<Current>,
    pub(crate) audit: Audit,
    pub(crate) authority: Authority,
    pub(crate) roots: Roots,
    pub(crate) dialer: Box<dyn Dial>,
    pub(crate) refusals: broadcast::Sender<Refused>,
}

/// Something that was refused, for whoever wants to tell the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The service that tried, where it is known.
    pub service: Option<Box<str>>,
    /// The host that was meant, as the record has it.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// Why it is refused.
    pub reason: Reason,
}

impl Shared {
    /// Records a refusal, and tells of it.
    ///
    /// # Errors
    ///
    /// Returns the system's error if it could not be recorded.
    pub(crate) fn refuse(&self, attempt: &Attempt<'_>) -> io::Result<()> {
        if let Verdict::Refused(reason) = attempt.verdict {
            self.tell(attempt, reason);
        }
        self.audit.refused(attempt)
    }

    /// Records that a connection is refused and tells whoever wants to know. Returns what the program is to be told as the reason.
    pub(crate) fn refuse_connection(
        &self,
        service: Option<&str>,
        host: &str,
        port: u16,
        reason: Reason,
    ) -> Reason {
        let verdict = Verdict::Refused(reason.clone());
        let attempt = Attempt {
            service,
            host,
            address: None,
            port,
            how: How::Tunnel,
            verdict: &verdict,
        };
        match self.refuse(&attempt) {
            Ok(()) => reason,
            Err(_) => Reason::Unrecorded,
        }
    }

    /// Tells of what is refused after it began.
    pub(crate) fn tell(&self, attempt: &Attempt<'_>, reason: &Reason) {
        if self.refusals.receiver_count() > 0 {
            let refused = Refused {
                service: attempt.service.map(Box::from),
                host: attempt.host.into(),
                port: attempt.port,
                reason: reason.clone(),
            };
            // It fails where nobody listens any longer.
            self.refusals.send(refused).ok();
        }
    }
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
