//! Where a host is, and the way there: looked up after the policy allowed its name, checked, and connected to.
//!
//! INVARIANT: a name is looked up once for a connection; all addresses that it leads to are checked, and the one that is connected to is one of those.
//! The gate does not connect to itself.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use mira_package::manifest::Host;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::address;
use crate::policy::{Reason, Rule};
use crate::shared::{Dial, DialError, Dialing};

/// How many names are looked up at once; others wait.
// LIMIT: each takes a thread until the system's resolver gives up.
const LOOKUPS_MAX: usize = 64;

/// How many addresses of a host are tried.
// LIMIT: a name may have hundreds, and a host that is down is down at each.
const ADDRESSES_MAX: usize = 8;

/// The next address is tried when the one before has had this time ([RFC 8305](https://www.rfc-editor.org/rfc/rfc8305), section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// How names are looked up.
#[derive(Clone)]
pub struct Resolver(Kind);

#[derive(Clone)]
enum Kind {
    System(Arc<Semaphore>),
    Function(Arc<Answering>),
}

type Answering = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

impl Resolver {
    /// Asks the system, as all programs do: its hosts file, its name servers, its private networks' names.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System(Arc::new(Semaphore::new(LOOKUPS_MAX))))
    }

    /// Asks a function; an empty list is a name that is not there.
    #[must_use]
    pub fn function(answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Kind::Function(Arc::new(answer)))
    }

    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let lookups = match &self.0 {
            Kind::Function(answer) => return Ok(answer(name)),
            Kind::System(lookups) => Arc::clone(lookups),
        };
        let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
        let name = name.to_owned();
        let answer = spawn_blocking(move || {
            // The thread may outlive whoever waits for it, so the place is its own.
            let _place = permit;
            let addresses = (name.as_str(), 0).to_socket_addrs()?;
            Ok(addresses.map(|address| address.ip()).collect())
        });
        answer.await?
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::System(_) => "Resolver(system)",
            Kind::Function(_) => "Resolver(function)",
        })
    }
}

/// Where the gate itself listens on this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own(Arc<RwLock<HashSet<SocketAddr>>>);

impl Own {
    pub(crate) fn add(&self, address: SocketAddr) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(address);
    }

    pub(crate) fn remove(&self, address: &SocketAddr) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(address);
    }

    fn has(&self, address: &SocketAddr) -> bool {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.contains(address)
    }
}

/// Connects to hosts.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) resolver: Resolver,
    pub(crate) own: Own,
    /// How long looking up may take, and connecting.
    pub(crate) time: Duration,
}

impl Dial for Dialer {
    fn dial<'a>(&'a self, host: &'a Host, port: u16, rule: &'a Rule) -> Dialing<'a> {
        Box::pin(async move {
            let addresses = match host {
                Host::Ip(address) => vec![*address],
                Host::Name(name) => within(self.time, self.resolver.look_up(name)).await?,
            };
            let mut addresses: Vec<SocketAddr> = address::permitted(rule, &addresses)
                .map_err(DialError::Refused)?
                .into_iter()
                .map(|address| SocketAddr::new(address, port))
                .collect();
            addresses.truncate(ADDRESSES_MAX);
            if addresses.iter().any(|address| self.own.has(address)) {
                return Err(DialError::Refused(Reason::NoWay));
            }
            let stream = within(self.time, connect(addresses)).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(time, work).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Connects to the first address that answers, in their order, without waiting long for one before the next is tried.
async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut left = addresses.into_iter();
    let mut trying = JoinSet::new();
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name leads to no address");
    loop {
        let next = left.next();
        let is_last = next.is_none();
        if let Some(address) = next {
            trying.spawn(TcpStream::connect(address));
        }
        let answer = match is_last {
            true => trying.join_next().await,
            false => match timeout(STAGGER, trying.join_next()).await {
                Ok(answer) => answer,
                Err(_) => continue,
            },
        };
        match answer {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(failed))) => error = failed,
            Some(Err(failed)) => error = failed.into(),
            None => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::policy::Origin;

    fn dialer(answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Dialer {
        Dialer {
            resolver: Resolver::function(answer),
            own: Own::default(),
            time: Duration::from_secs(10),
        }
    }

    fn rule(hosts: &str) -> Rule {
        Rule {
            hosts: hosts.parse().unwrap(),
            allow: true,
            origin: Origin::Manifest,
        }
    }

    fn host(host: &str) -> Host {
        Host::requested(host).unwrap()
    }

    fn addresses(list: &str) -> Vec<IpAddr> {
        list.split(' ').map(|one| one.parse().unwrap()).collect()
    }

    async fn refused(dialer: &Dialer, name: &str, port: u16, hosts: &str) -> Reason {
        match dialer.dial(&host(name), port, &rule(hosts)).await {
            Err(DialError::Refused(reason)) => reason,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[tokio::test]
    async fn one_private_address_among_public_ones_refuses_all() {
        let dialer = dialer(|_| addresses("192.0.2.1 127.0.0.1"));
        let local = Reason::Address("192.0.2.1".parse().unwrap());
        assert_eq!(refused(&dialer, "a.test", 443, "*").await, local);
        let dialer = self::dialer(|_| addresses("8.8.8.8 127.0.0.1"));
        let local = Reason::Address("127.0.0.1".parse().unwrap());
        assert_eq!(refused(&dialer, "a.test", 443, "*").await, local);
    }

    #[tokio::test]
    async fn metadata_is_not_reached_by_a_name() {
        for address in ["169.254.169.254", "fd00:ec2::254", "100.100.100.200"] {
            let address: IpAddr = address.parse().unwrap();
            let dialer = dialer(move |_| vec![address]);
            let reason = refused(&dialer, "a.test", 80, "a.test:80").await;
            assert_eq!(reason, Reason::Address(address));
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_and_what_was_checked_is_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let dialer = dialer(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
            0 => addresses("127.0.0.1"),
            _ => addresses("169.254.169.254"),
        });
        let rule = rule(&format!("a.test:{port}"));
        let stream = dialer.dial(&host("a.test"), port, &rule).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
        assert!(stream.nodelay().unwrap());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let second = dialer.dial(&host("a.test"), port, &rule).await;
        assert!(matches!(
            second,
            Err(DialError::Refused(Reason::Address(_)))
        ));
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_is_passed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialer = dialer(|_| addresses("127.0.0.9 127.0.0.1"));
        let rule = rule(&format!("a.test:{port}"));
        let stream = dialer.dial(&host("a.test"), port, &rule).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
    }

    #[tokio::test]
    async fn a_name_that_is_not_there_is_unreachable() {
        let dialer = dialer(|_| Vec::new());
        let error = dialer.dial(&host("a.test"), 443, &rule("a.test")).await;
        assert!(matches!(error, Err(DialError::Unreachable(_))));
    }

    #[tokio::test]
    async fn the_gate_does_not_call_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let dialer = dialer(|_| addresses("127.0.0.1"));
        dialer.own.add(own);
        let hosts = format!("localhost:{}", own.port());
        let reason = refused(&dialer, "localhost", own.port(), &hosts).await;
        assert_eq!(reason, Reason::NoWay);
        dialer.own.remove(&own);
        let host = host("localhost");
        assert!(dialer.dial(&host, own.port(), &rule(&hosts)).await.is_ok());
    }

    #[tokio::test]
    async fn the_system_knows_this_machine() {
        let found = Resolver::system().look_up("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
    }
}
