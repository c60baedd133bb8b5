//! What a monitor asks for: numbers in the text format of OpenMetrics, which Prometheus reads.
//!
//! INVARIANT: labels are words of closed sets: a route's pattern and never a path, and nobody's name.

use std::fmt;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::Handle;
use crate::error::DeskError;

/// The bounds of the histogram, in seconds: from what a page takes to what nobody waits for.
const SECONDS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The media type of the format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Which requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// Which instances.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

/// What is counted.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram>,
    pub(crate) logins_failed: Counter,
    sessions: Gauge,
    instances: Family<InState, Gauge>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Begins to count; how often the vault did not open is counted by whoever opens it.
    pub(crate) fn new(vault_failures: Counter) -> Self {
        let mut registry = Registry::with_prefix("mira");
        let (requests, logins_failed) = (Family::default(), Counter::default());
        let seconds: Family<Route, Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        let (sessions, instances) = (Gauge::default(), Family::default());
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time until the answer began",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register(
            "logins_failed",
            "Tries to sign in that were not let in",
            logins_failed.clone(),
        );
        registry.register(
            "vault_open_failures",
            "Tries to open the vault that failed",
            vault_failures,
        );
        registry.register("sessions", "Sessions alive", sessions.clone());
        registry.register("instances", "Instances, by state", instances.clone());
        registry.register(
            "build",
            "The Mira that answers",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self {
            registry,
            requests,
            seconds,
            logins_failed,
            sessions,
            instances,
        }
    }

    /// Counts a request.
    pub(crate) fn answered(&self, method: &'static str, route: &str, status: u16, seconds: f64) {
        let route = route.to_owned();
        let of_route = Route {
            route: route.clone(),
        };
        self.seconds.get_or_create(&of_route).observe(seconds);
        let answered = Answered {
            method,
            route,
            status,
        };
        self.requests.get_or_create(&answered).inc();
    }
}

/// Shows what was counted. What cannot be found out now is left as it was: a monitor is not to lose the rest.
pub(crate) async fn show(State(desk): State<Handle>) -> Result<Response, DeskError> {
    let metrics = &desk.metrics;
    if let Ok(alive) = desk.shared.count_sessions(Timestamp::now()).await {
        metrics
            .sessions
            .set(i64::try_from(alive).unwrap_or(i64::MAX));
    }
    if let Ok(all) = desk.house.all().await {
        metrics.instances.clear();
        for known in all {
            let state = known.phase();
            metrics.instances.get_or_create(&InState { state }).inc();
        }
    }
    let mut text = String::new();
    encode(&mut text, &metrics.registry).map_err(DeskError::failed)?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
