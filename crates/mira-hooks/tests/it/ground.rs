//! What the tests have around them: a database, secrets, and instances that want events.

use std::collections::BTreeMap;
use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::Full;
use mira_hooks::{
    Answer, Endpoint, Ingress, IngressOptions, Later, Secrets, Targets, Watcher, WebhookSecret,
    sign,
};
use mira_secret::SecretBytes;
use mira_store::{DatabaseUrl, HookCount, Location, Shared};
use mira_testkit::home::TestHome;
use mira_testkit::postgres::Postgres;
use tokio::sync::Notify;

/// Runs each of some tests, which are functions of a [`Ground`], on each database.
macro_rules! on_both {
    ($($name:ident)+) => {$(
        mod $name {
            use crate::ground::Ground;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$name(Ground::file()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                super::$name(Ground::postgres()).await;
            }
        }
    )+};
}

pub(crate) use on_both;

/// A database, and a folder for what comes in.
pub(crate) struct Ground {
    pub(crate) home: TestHome,
    postgres: Option<Postgres>,
}

impl Ground {
    pub(crate) fn file() -> Self {
        Self {
            home: TestHome::new(),
            postgres: None,
        }
    }

    pub(crate) fn postgres() -> Self {
        Self {
            postgres: Some(Postgres::start()),
            ..Self::file()
        }
    }

    pub(crate) async fn shared(&self) -> Shared {
        let opened = match &self.postgres {
            None => Shared::open(Location::File(&self.home.mira_home())).await,
            Some(server) => {
                let url = SecretBytes::copy_from(server.url("postgres").as_bytes());
                Shared::open(Location::Postgres(DatabaseUrl::parse(&url).unwrap())).await
            }
        };
        opened.unwrap()
    }

    pub(crate) fn options(&self) -> IngressOptions {
        IngressOptions::new(self.home.mira_home())
    }

    /// Begins to take webhooks for some targets.
    pub(crate) fn ingress(&self, shared: &Shared, targets: &Arc<Apps>) -> Ingress {
        self.ingress_with(shared, targets, None, self.options())
    }

    pub(crate) fn ingress_with(
        &self,
        shared: &Shared,
        targets: &Arc<Apps>,
        watcher: Option<Arc<dyn Watcher>>,
        options: IngressOptions,
    ) -> Ingress {
        let targets: Arc<dyn Targets> = Arc::<Apps>::clone(targets);
        let wake = Arc::new(Notify::new());
        Ingress::new(shared.clone(), secrets(), targets, watcher, wake, options)
    }
}

pub(crate) const SECRET: &str = "canary-webhook-0123456789abcdef-x";
pub(crate) const PREVIOUS: &str = "canary-previous-0123456789abcdef-x";

pub(crate) fn secrets() -> Secrets {
    let secret = |value: &str, is_previous| WebhookSecret {
        name: "MIRA_WEBHOOK_SECRET".to_owned(),
        value: SecretBytes::copy_from(value.as_bytes()),
        is_previous,
    };
    Secrets::new([
        (None, secret(SECRET, false)),
        (None, secret(PREVIOUS, true)),
    ])
    .unwrap()
}

pub(crate) const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    sign(&SecretBytes::copy_from(secret.as_bytes()), body)
}

/// Returns the headers of a signed event.
pub(crate) fn headers(event: &str, sent_id: &str, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-github-event", event),
        ("x-github-delivery", sent_id),
        ("x-hub-signature-256", &signature(SECRET, body)),
    ] {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Sends a signed event.
pub(crate) async fn send(ingress: &Ingress, event: &str, sent_id: &str, body: &str) -> Answer {
    let headers = headers(event, sent_id, body.as_bytes());
    let body = Full::new(Bytes::from(body.to_owned()));
    ingress.take(&headers, FROM, body).await
}

/// A pull request's event.
pub(crate) fn pull(number: u64) -> String {
    format!(
        r#"{{"action":"opened","installation":{{"id":11}},"repository":{{"id":5,"full_name":"octo/repo"}},"pull_request":{{"number":{number}}}}}"#
    )
}

/// Returns what was counted of a verdict, once all counts are written: when nobody takes webhooks any more.
pub(crate) async fn counted(shared: &Shared, ingress: Ingress) -> Vec<HookCount> {
    drop(ingress);
    let whole = async {
        loop {
            let stats = shared.hook_stats(jiff::Timestamp::MIN).await;
            // `MIN` is before every hour.
            let requests = stats.unwrap().requests;
            if !requests.is_empty() {
                return requests;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), whole)
        .await
        .unwrap()
}

/// Instances that want `pull_request` and `push`, at one address.
#[derive(Debug)]
pub(crate) struct Apps {
    pub(crate) names: Vec<String>,
    pub(crate) address: Mutex<Option<SocketAddr>>,
}

pub(crate) const APP: &str = "org.example.app/app";

/// What the instance is called on this server.
pub(crate) const INSTANCE: &str = "app-1";

/// What the instances' services know Mira by.
pub(crate) const TOKEN: &str = "delivery-token-0123456789";

impl Apps {
    pub(crate) fn at(address: Option<SocketAddr>) -> Arc<Self> {
        Arc::new(Self {
            names: vec![APP.to_owned()],
            address: Mutex::new(address),
        })
    }
}

impl Targets for Apps {
    fn wanting<'a>(&'a self, event: &'a str) -> Later<'a, Result<Vec<String>, String>> {
        let is_wanted = ["pull_request", "push", "installation"].contains(&event);
        let names = match is_wanted {
            true => self.names.clone(),
            false => Vec::new(),
        };
        Box::pin(ready(Ok(names)))
    }

    fn here(&self) -> Later<'_, Result<Vec<String>, String>> {
        let is_up = self.address.lock().unwrap().is_some();
        let names = match is_up {
            true => self.names.clone(),
            false => Vec::new(),
        };
        Box::pin(ready(Ok(names)))
    }

    fn endpoint<'a>(
        &'a self,
        target: &'a str,
        _: &'a str,
    ) -> Later<'a, Result<Option<Endpoint>, String>> {
        let address = *self.address.lock().unwrap();
        let is_ours = self.names.iter().any(|name| name == target);
        let endpoint = address.filter(|_| is_ours).map(|address| Endpoint {
            instance: INSTANCE.to_owned(),
            address,
            path: "/hooks/github?x=1".to_owned(),
            authorization: format!("Bearer {TOKEN}").parse().unwrap(),
            permissions: BTreeMap::from([("contents".to_owned(), "read".to_owned())]),
        });
        Box::pin(ready(Ok(endpoint)))
    }
}
