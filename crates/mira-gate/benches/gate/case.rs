//! One way to the origin, and all that is measured of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use crate::load::{Outcome, Route, wait_for};
use crate::origin::Origin;
use crate::peers::{self, Proxy, Start};
use crate::{PLACEHOLDER, VALUE, process};

/// How many connections make requests at once.
pub(crate) const CONNECTIONS: usize = 32;

/// So many connections are opened at once.
pub(crate) const LANES: usize = 16;

/// How often each connection makes a request where they do not make as many as they can.
pub(crate) const TICK: Duration = Duration::from_millis(25);

/// How many connections rest while memory is measured.
pub(crate) const RESTING: usize = 256;

/// How many events a round has.
const EVENTS: usize = 10;

/// What a way does with what goes through it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Direct,
    Tunnel,
    Brokered,
}

/// A way to the origin.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    proxy: Option<Proxy>,
    start: Option<Start>,
    route: Route,
    pub(crate) rounds: Vec<Round>,
    /// In KiB: the process with nothing to do, and each connection that rests.
    pub(crate) memory: Option<(u64, f64)>,
}

/// The figures of one round; those that there are none of are not numbers.
pub(crate) struct Round {
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// CPU of the proxy per request, in microseconds.
    pub(crate) request_us: f64,
    pub(crate) paced_p50_ms: f64,
    pub(crate) paced_p99_ms: f64,
    pub(crate) new_rate: f64,
    /// CPU of the proxy per new connection with one request, in microseconds.
    pub(crate) new_us: f64,
    pub(crate) event_ms: f64,
    pub(crate) failed: usize,
}

/// Starts all cases: the bare way, the gate, and what is installed of others. Returns them, and the names of those that are not.
pub(crate) async fn all(
    origin: &Origin,
    installed: Option<&Path>,
) -> (Vec<Case>, Vec<&'static str>) {
    let tunnelling = installed.map(|_| peers::tunnelling()).unwrap_or_default();
    let intercepting = installed.map(peers::intercepting).unwrap_or_default();
    let ours = |is_brokered: bool| -> Option<Start> {
        Some(Box::new(move |origin| peers::ours(origin, is_brokered)))
    };
    let mut starts = vec![
        ("direct", Kind::Direct, None),
        ("mira, tunnel", Kind::Tunnel, ours(false)),
    ];
    let of = |kind| move |(name, start)| (name, kind, start);
    starts.extend(tunnelling.into_iter().map(of(Kind::Tunnel)));
    starts.push(("mira, brokered", Kind::Brokered, ours(true)));
    starts.extend(intercepting.into_iter().map(of(Kind::Brokered)));
    let (mut cases, mut missing) = (Vec::new(), Vec::new());
    for (name, kind, start) in starts {
        if start.is_none() && kind != Kind::Direct {
            missing.push(name);
            continue;
        }
        let proxy = start.as_ref().map(|start| start(origin));
        if let Some(proxy) = &proxy {
            assert!(wait_for(proxy.address).await, "{name} takes no connections");
        }
        cases.push(Case {
            name: name.to_owned(),
            kind,
            route: route(origin, kind, proxy.as_ref()),
            proxy,
            start,
            rounds: Vec::new(),
            memory: None,
        });
    }
    (cases, missing)
}

fn route(origin: &Origin, kind: Kind, proxy: Option<&Proxy>) -> Route {
    let mut roots = RootCertStore::empty();
    let own = proxy.and_then(|proxy| proxy.authority.clone());
    for authority in own.into_iter().chain([origin.authority.clone()]) {
        roots.add(authority).expect("it is a certificate");
    }
    let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    // As programs that have just started: nothing is known from an earlier connection.
    tls.resumption = Resumption::disabled();
    let shown = if kind == Kind::Brokered {
        PLACEHOLDER
    } else {
        VALUE
    };
    Route {
        proxy: proxy.map(|proxy| proxy.address),
        proxy_credentials: proxy.and_then(|proxy| proxy.credentials.clone()),
        credentials: HeaderValue::try_from(format!("Bearer {shown}")).expect("it is plain text"),
        path: "/secret",
        tls: Arc::new(tls),
        origin: origin.address,
    }
}

impl Case {
    /// Measures a round.
    pub(crate) async fn measure(&mut self, origin: &Origin, time: Duration) {
        // Opened for each round: a proxy may close what rested while the others were measured.
        let opened = self.route.connections(CONNECTIONS).await;
        let mut all = opened.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let (route, pid) = (&self.route, self.proxy.as_ref().map(Proxy::pid));
        let (flat, request_us) = per_one(pid, route.requests(&mut all, time, None)).await;
        let (paced, _) = per_one(pid, route.requests(&mut all, time, Some(TICK))).await;
        let (new, new_us) = per_one(pid, route.new_connections(LANES, time)).await;
        let mut events = Outcome::default();
        for _ in 0..EVENTS {
            match route.event(origin).await {
                Ok(time) => events.times.push(time),
                Err(_) => events.failed += 1,
            }
        }
        events.times.sort_unstable();
        self.rounds.push(Round {
            rate: flat.times.len() as f64 / time.as_secs_f64(),
            p50_ms: flat.percentile_ms(50),
            p99_ms: flat.percentile_ms(99),
            request_us,
            paced_p50_ms: paced.percentile_ms(50),
            paced_p99_ms: paced.percentile_ms(99),
            new_rate: new.times.len() as f64 / time.as_secs_f64(),
            new_us,
            event_ms: events.percentile_ms(50),
            failed: flat.failed + paced.failed + new.failed + events.failed,
        });
    }

    /// Measures what connections that rest take of a proxy that is started anew.
    pub(crate) async fn rest(&mut self, origin: &Origin) {
        let Some(start) = &self.start else { return };
        self.proxy = None;
        let proxy = start(origin);
        wait_for(proxy.address).await;
        let route = route(origin, self.kind, Some(&proxy));
        // What all connections share is there after the first ones.
        let Ok(_warm) = route.connections(LANES).await else {
            return;
        };
        let before = process::private_kib(proxy.pid());
        let Ok(_resting) = route.connections(RESTING).await else {
            return;
        };
        let more = process::private_kib(proxy.pid()).saturating_sub(before);
        self.memory = Some((before, more as f64 / RESTING as f64));
    }

    /// Returns the median of a figure over the rounds.
    pub(crate) fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        let mut all: Vec<f64> = self.rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Returns what came of a load, and the CPU of the proxy for each that it did, in microseconds.
async fn per_one(pid: Option<u32>, load: impl Future<Output = Outcome>) -> (Outcome, f64) {
    let before = pid.map(process::cpu);
    let outcome = load.await;
    let took = pid
        .zip(before)
        .map(|(pid, before)| process::cpu(pid).saturating_sub(before));
    let took = took.map_or(f64::NAN, |took| took.as_secs_f64() * 1e6);
    let each = took / outcome.times.len() as f64;
    (outcome, each)
}
