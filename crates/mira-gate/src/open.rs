//! The connections that are open, so that those which a new policy refuses can be ended.
//!
//! INVARIANT: a connection that is open is one that the current policy allows, or is being ended.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::future::{AbortHandle, Abortable};
use mira_package::manifest::Host;

use crate::address;
use crate::audit::Entry;
use crate::policy::{Policy, Reason, Verdict};

/// The connections that are open.
#[derive(Clone, Default)]
pub(crate) struct Open(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    next: u64,
    by_number: HashMap<u64, One>,
}

struct One {
    to: To,
    told: Weak<dyn Told>,
    handle: AbortHandle,
}

/// What records that a connection is ended because a policy refuses it.
pub(crate) trait Told: Send + Sync {
    fn refuse(&self, reason: &Reason);
}

impl Told for Entry {
    fn refuse(&self, reason: &Reason) {
        Entry::refuse(self, reason);
    }
}

/// What a connection is to.
#[derive(Clone)]
pub(crate) struct To {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// Where it leads, if it is one connection and stays so.
    pub(crate) address: Option<IpAddr>,
}

impl To {
    /// Returns why a policy refuses it, if it does.
    fn refused(&self, policy: &Policy) -> Option<Reason> {
        match policy.decide(&self.host, self.port) {
            Verdict::Refused(reason) => Some(reason),
            Verdict::Allowed(rule) => address::permitted(&rule, self.address.as_slice()).err(),
        }
    }
}

impl Open {
    /// Does the work of a connection until a policy refuses it, which is told then.
    ///
    /// `policy` is asked once the connection is known here, so that none that is replaced meanwhile is missed.
    pub(crate) async fn hold(
        &self,
        to: To,
        told: Arc<dyn Told>,
        policy: impl FnOnce() -> Arc<Policy>,
        work: impl Future<Output = ()>,
    ) {
        let (handle, registration) = AbortHandle::new_pair();
        let _held = self.enter(to.clone(), &told, handle);
        if let Some(reason) = to.refused(&policy()) {
            return told.refuse(&reason);
        }
        // Whether it was ended or came to its end, it is over.
        Abortable::new(work, registration).await.ok();
    }

    /// Makes a connection known, until what is returned is dropped. Who does so asks the policy afterwards.
    pub(crate) fn enter(&self, to: To, told: &Arc<dyn Told>, handle: AbortHandle) -> Held {
        let mut all = self.all();
        let number = all.next;
        all.next += 1;
        let told = Arc::downgrade(told);
        all.by_number.insert(number, One { to, told, handle });
        drop(all);
        Held {
            open: self.clone(),
            number,
        }
    }

    /// Ends the connections that a policy refuses.
    pub(crate) fn end_refused(&self, policy: &Policy) {
        for one in self.all().by_number.values() {
            if let Some(reason) = one.to.refused(policy) {
                if let Some(told) = one.told.upgrade() {
                    told.refuse(&reason);
                }
                one.handle.abort();
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the open connections.
pub(crate) struct Held {
    open: Open,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open.all().by_number.remove(&self.number);
    }
}
