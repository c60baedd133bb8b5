//! Names and the addresses that stand for them inside of a room: `198.18.0.0/15`, which nothing on the internet uses (RFC 2544).
//!
//! A program looks a name up, gets such an address, and connects to it; the gate sees the address that was connected to, and so knows the name that
//! was meant, whatever is said inside of the connection.
//!
//! INVARIANT: an address stands for one name, and a name for one address, as long as the gate lives: a program may keep what it looked up. A name that gets
//! none cannot be called.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock};

use mira_package::manifest::Host;

use crate::policy::{Policy, Verdict};

/// The first address that stands for a name. Those before it, `198.18.0.0/24`, are the room's own.
const FIRST: u32 = u32::from_be_bytes([198, 18, 1, 0]);

/// How many names get an address that no rule allows: so that a connection to them is refused with a text rather than by silence.
// LIMIT: some times what a program tries by mistake; a name and its places take at most 700 bytes.
const UNLISTED_MAX: usize = 4096;

/// How many names get an address until only those that are listed themselves do.
// LIMIT: more than a program that reads the whole web meets in days; 10 MiB at worst. Those that are listed are as many as a policy's lines.
const ALLOWED_MAX: usize = 16384;

/// How many names get an address.
// LIMIT: a quarter of the network, so that no address is ever used up; a policy has no such number of lines.
const NAMES_MAX: usize = 32768;

/// Names and their addresses.
#[derive(Debug, Default)]
pub(crate) struct Names(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<Arc<str>, Ipv4Addr>,
    /// In the order of their addresses.
    names: Vec<Arc<str>>,
    unlisted: usize,
}

/// How well a policy knows a name: the better, the later there is no address left for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A rule allows this very name, on some port.
    Named,
    /// A rule allows it among others, on some port.
    Allowed,
    /// Nothing allows it.
    Unlisted,
}

impl Standing {
    /// Returns how well a policy knows a host, over all ports.
    pub(crate) fn of(policy: &Policy, host: &Host) -> Self {
        let mut standing = Self::Unlisted;
        for port in policy.ports() {
            match policy.decide(host, port) {
                Verdict::Allowed(rule) if rule.names() => return Self::Named,
                Verdict::Allowed(_) => standing = Self::Allowed,
                Verdict::Refused(_) => {}
            }
        }
        standing
    }

    fn names_max(self) -> usize {
        match self {
            Self::Named => NAMES_MAX,
            Self::Allowed | Self::Unlisted => ALLOWED_MAX,
        }
    }
}

impl Names {
    /// Returns the address that stands for a name, which is in its canonical form; none where there are too many.
    pub(crate) fn address(&self, name: &str, standing: Standing) -> Option<Ipv4Addr> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = known.by_name.get(name) {
            return Some(*address);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.add(name, standing)
    }

    /// Returns the name that an address stands for.
    pub(crate) fn name(&self, address: Ipv4Addr) -> Option<Box<str>> {
        let at = usize::try_from(u32::from(address).checked_sub(FIRST)?).ok()?;
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.names.get(at).map(|name| Box::from(&**name))
    }
}

impl Known {
    fn add(&mut self, name: &str, standing: Standing) -> Option<Ipv4Addr> {
        // It may have come meanwhile.
        if let Some(address) = self.by_name.get(name) {
            return Some(*address);
        }
        let is_unlisted = standing == Standing::Unlisted;
        if self.names.len() >= standing.names_max() || is_unlisted && self.unlisted >= UNLISTED_MAX
        {
            return None;
        }
        let address = Ipv4Addr::from(FIRST + u32::try_from(self.names.len()).ok()?);
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.by_name.insert(name, address);
        self.unlisted += usize::from(is_unlisted);
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Origin;

    #[test]
    fn a_name_and_its_address_lead_to_each_other_for_ever() {
        let names = Names::default();
        let first = names.address("a.test", Standing::Unlisted).unwrap();
        let second = names.address("b.test", Standing::Named).unwrap();
        assert_eq!(first, Ipv4Addr::new(198, 18, 1, 0));
        assert_ne!(first, second);
        assert_eq!(names.address("a.test", Standing::Named), Some(first));
        assert_eq!(names.name(first).as_deref(), Some("a.test"));
        assert_eq!(names.name(second).as_deref(), Some("b.test"));
        for none in ["198.18.1.2", "198.18.0.1", "127.0.0.1", "255.255.255.255"] {
            assert_eq!(names.name(none.parse().unwrap()), None);
        }
    }

    #[test]
    fn a_flood_of_names_leaves_room_for_those_that_are_listed() {
        let names = Names::default();
        let fill = |word: &str, standing: Standing| {
            let given = (0..40_000).filter(|n| {
                names
                    .address(&format!("{word}{n}.test"), standing)
                    .is_some()
            });
            given.count()
        };
        assert_eq!(fill("unlisted", Standing::Unlisted), UNLISTED_MAX);
        assert_eq!(
            fill("allowed", Standing::Allowed),
            ALLOWED_MAX - UNLISTED_MAX
        );
        assert_eq!(fill("named", Standing::Named), NAMES_MAX - ALLOWED_MAX);
        let last = names
            .address("named16383.test", Standing::Unlisted)
            .unwrap();
        assert!(last < Ipv4Addr::new(198, 20, 0, 0));
        assert_eq!(names.name(last).as_deref(), Some("named16383.test"));
    }

    #[test]
    fn how_well_a_name_is_known_does_not_depend_on_one_port() {
        let mut policy = Policy::builder("app");
        policy.allow("*.example.org".parse().unwrap(), Origin::Manifest);
        policy.allow("a.example.org:8443".parse().unwrap(), Origin::Manifest);
        policy.deny("bad.example.org".parse().unwrap(), Origin::Decision);
        let policy = policy.build();
        let check = |name: &str, expect: Standing| {
            let host = Host::requested(name).unwrap();
            assert_eq!(Standing::of(&policy, &host), expect, "{name}");
        };
        check("a.example.org", Standing::Named);
        check("b.example.org", Standing::Allowed);
        check("bad.example.org", Standing::Unlisted);
        check("example.org", Standing::Unlisted);
    }
}
