//! The desk as it is reached over its socket: who gets through to what, and what answers hold.

mod access;
mod api;
mod apps;
mod content;
mod forms;
mod mcp;
mod metrics;
mod oidc;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mira_secret::SecretBytes;
use mira_server::{Client, Place, Spawn};
use mira_store::{Location, NewSession, NewUser, Role, SessionKind, SessionOf, Shared, User};
use mira_vault::home::Home;
use mira_vault::{Backend, KeychainLink, NewProvider, NewVault, Vault};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::access::COOKIE;
use crate::{
    Custody, DeskOptions, Keeping, Oidc, Opened, Proxies, Surroundings, hash_password, serve,
};

const PASSWORD: &str = "correct horse battery staple";

/// Starts no supervisor: these tests have no instance that runs.
struct Nobody;

impl Spawn for Nobody {
    fn spawn(&self, _: Duration) -> Result<(), String> {
        Err("there is none here".to_owned())
    }
}

/// A desk that listens, on a home of its own.
struct Served {
    folder: TempDir,
    shared: Shared,
    address: SocketAddr,
    client: reqwest::Client,
    /// The values that the log would hear of.
    opened: Arc<Mutex<Vec<Vec<u8>>>>,
    /// The desk ends with it.
    _end: oneshot::Sender<()>,
}

impl Served {
    async fn start() -> Self {
        Self::start_with(None, |_| ()).await
    }

    /// Starts one whose machine has these variables.
    async fn start_with_variables(variables: Vec<(OsString, OsString)>) -> Self {
        Self::start_as(None, variables, |_| ()).await
    }

    /// Starts one that people sign in to through a provider, with a vault that `fill` has filled.
    async fn start_with(oidc: Option<Oidc>, fill: impl FnOnce(&mut Vault)) -> Self {
        Self::start_as(oidc, Vec::new(), fill).await
    }

    async fn start_as(
        oidc: Option<Oidc>,
        variables: Vec<(OsString, OsString)>,
        fill: impl FnOnce(&mut Vault),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        let provider = NewProvider::Keyfile { path: None };
        let new = NewVault {
            backend: Backend::File,
            provider,
            keychain: KeychainLink::default(),
        };
        fill(&mut Vault::create(&home, new).unwrap());
        let shared = Shared::open(Location::File(home.path())).await.unwrap();
        let place = Place::of(home.path(), Some(folder.path()));
        place.create().unwrap();
        let opened = Arc::<Mutex<Vec<_>>>::default();
        let surroundings = Surroundings {
            custody: Custody::new(home),
            shared: shared.clone(),
            runtime: place.folder().to_owned(),
            client: Client::new(place),
            spawn: Box::new(Nobody),
            variables,
            hooks: None,
            opened: Opened::new({
                let opened = Arc::clone(&opened);
                move |_, value| opened.lock().unwrap().push(value.to_vec())
            }),
            program: "/nowhere/mira".into(),
        };
        let options = DeskOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            certificate: None,
            proxies: Proxies::default(),
            oidc: oidc.map(Arc::new),
            keeping: Keeping::DEFAULT,
        };
        let (tell, told) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let ready = |address| tell.send(address).unwrap();
            let until = async {
                ended.await.ok();
            };
            serve(options, surroundings, ready, until).await.unwrap();
        });
        // Another test of this process may have been quicker.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            folder,
            shared,
            address: told.await.unwrap(),
            client,
            opened,
            _end: end,
        }
    }

    fn home(&self) -> std::path::PathBuf {
        self.folder.path().join("home")
    }

    /// Returns the values that the log heard of, as text.
    fn heard(&self) -> Vec<String> {
        let opened = self.opened.lock().unwrap();
        let texts = opened
            .iter()
            .map(|value| String::from_utf8_lossy(value).into_owned());
        texts.collect()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    async fn user(&self, name: &str, role: Role) -> User {
        let name = name.parse().unwrap();
        let password = SecretBytes::copy_from(PASSWORD.as_bytes());
        let password = Some(hash_password(&name, &password).unwrap());
        let new = NewUser {
            name,
            role,
            password,
        };
        self.shared
            .create_user(&new, Timestamp::now())
            .await
            .unwrap()
    }

    /// Returns a cookie of a new session.
    async fn cookie(&self, of: SessionOf<'_>) -> String {
        let now = Timestamp::now();
        let new = NewSession {
            of,
            kind: SessionKind::Password,
            idle: Duration::from_secs(600),
            expires: now + SignedDuration::from_hours(1),
            address: None,
            user_agent: "test",
        };
        let (token, _) = self.shared.create_session(&new, now).await.unwrap();
        format!("{COOKIE}={}", token.expose())
    }

    /// Sends a form as a browser would from a page of the desk.
    async fn post(&self, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.request("POST", path)
            .header("cookie", cookie)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap()
    }

    async fn get(&self, cookie: &str, path: &str) -> (StatusCode, String) {
        let answer = self.request("GET", path).header("cookie", cookie);
        let answer = answer.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}

/// Returns a header of an answer.
fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}
