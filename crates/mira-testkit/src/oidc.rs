//! A provider of OpenID Connect on a loopback port: it signs in whoever a test says, and hands out what the standard has it hand out.
//!
//! It checks what a real one checks of a client: its name and secret, the address that people are led back to, and the proof (RFC 7636)
//! that the same client asks twice. What it says of a person is the test's to choose, wrong claims too.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use crate::rsa::RsaKey;
use crate::server::{Server, lock};

/// What a client is called at the provider.
pub const CLIENT: &str = "mira-desk";

/// A key that tokens are signed with.
struct Key {
    id: String,
    pair: RsaKey,
}

impl Key {
    fn make(number: usize) -> Self {
        Self {
            id: format!("key-{number}"),
            pair: RsaKey::make(),
        }
    }

    fn published(&self) -> Value {
        self.pair.published(&self.id)
    }

    fn sign(&self, claims: &Value) -> String {
        self.pair.sign(&self.id, claims)
    }
}

/// What a code was given for.
struct Grant {
    challenge: String,
    redirect: String,
    nonce: String,
}

struct State {
    secret: Option<String>,
    /// Published keys; the last one signs.
    keys: Vec<Key>,
    /// What is said of whoever comes, over what is said of everybody.
    claims: Value,
    /// The word by which everybody is turned away.
    refusal: Option<String>,
    grants: HashMap<String, Grant>,
    codes: usize,
    /// How often the keys were asked for.
    keys_asked: usize,
}

/// A running provider, ended on drop.
pub struct OidcProvider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _server: Server,
}

impl fmt::Debug for OidcProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcProvider")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl OidcProvider {
    /// Starts a provider at which the client [`CLIENT`] has this secret, or none.
    ///
    /// # Panics
    ///
    /// Panics where no loopback port can be had.
    #[must_use]
    pub fn start(secret: Option<&str>) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("a loopback port can be had");
        let address = listener.local_addr().expect("a bound socket has one");
        let state = Arc::new(Mutex::new(State {
            secret: secret.map(str::to_owned),
            keys: vec![Key::make(1)],
            claims: json!({}),
            refusal: None,
            grants: HashMap::new(),
            codes: 0,
            keys_asked: 0,
        }));
        let server = Server::start("oidc-provider", listener, {
            let state = Arc::clone(&state);
            async move |listener| accept(&listener, address, &state).await
        });
        Self {
            address,
            state,
            _server: server,
        }
    }

    /// Returns what the provider calls itself.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Says this of whoever signs in from now on, over what is said of everybody: `iss`, `aud`, `exp`, `iat`, `nonce`.
    pub fn say(&self, claims: Value) {
        lock(&self.state).claims = claims;
    }

    /// Turns everybody away with this word, or nobody any more.
    pub fn refuse(&self, word: Option<&str>) {
        lock(&self.state).refusal = word.map(str::to_owned);
    }

    /// Signs with a new key from now on, which is published beside the others.
    pub fn rotate(&self) {
        let mut state = lock(&self.state);
        let next = Key::make(state.keys.len() + 1);
        state.keys.push(next);
    }

    /// Returns how often the published keys were asked for.
    #[must_use]
    pub fn keys_asked(&self) -> usize {
        lock(&self.state).keys_asked
    }
}

async fn accept(
    listener: &tokio::net::TcpListener,
    address: SocketAddr,
    state: &Arc<Mutex<State>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&state), address, request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client may hang up when it has read enough.
            drop(connection.await);
        });
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let issuer = format!("http://{address}");
    let mut state = lock(&state);
    Ok(match (head.method.as_str(), head.uri.path()) {
        ("GET", "/.well-known/openid-configuration") => json_answer(
            200,
            &json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/keys"),
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "authorization_response_iss_parameter_supported": true,
            }),
        ),
        ("GET", "/keys") => {
            state.keys_asked += 1;
            let keys: Vec<Value> = state.keys.iter().map(Key::published).collect();
            json_answer(200, &json!({ "keys": keys }))
        }
        ("GET", "/authorize") => state.authorize(&issuer, head.uri.query().unwrap_or_default()),
        ("POST", "/token") => {
            let authorization = head.headers.get(AUTHORIZATION);
            let authorization = authorization.and_then(|value| value.to_str().ok());
            state.exchange(&issuer, authorization, &body)
        }
        _ => json_answer(404, &json!({"error": "not_found"})),
    })
}

impl State {
    /// OpenID Connect Core, section 3.1.2: nobody is asked, since the person is the test's.
    fn authorize(&mut self, issuer: &str, query: &str) -> Response<Full<Bytes>> {
        let asked: HashMap<String, String> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let of = |name: &str| asked.get(name).cloned().unwrap_or_default();
        let right = of("response_type") == "code"
            && of("client_id") == CLIENT
            && of("code_challenge_method") == "S256"
            && of("scope").split(' ').any(|scope| scope == "openid")
            && of("redirect_uri").ends_with("/login/oidc/callback")
            && !of("state").is_empty();
        if !right {
            return json_answer(400, &json!({"error": "invalid_request"}));
        }
        let redirect = of("redirect_uri");
        let mut back = form_urlencoded::Serializer::new(format!("{redirect}?"));
        back.append_pair("state", &of("state"))
            .append_pair("iss", issuer);
        match &self.refusal {
            Some(word) => {
                back.append_pair("error", word);
            }
            None => {
                self.codes += 1;
                let code = format!("code-{}", self.codes);
                back.append_pair("code", &code);
                let grant = Grant {
                    challenge: of("code_challenge"),
                    redirect,
                    nonce: of("nonce"),
                };
                self.grants.insert(code, grant);
            }
        }
        Response::builder()
            .status(StatusCode::FOUND)
            .header(LOCATION, back.finish())
            .body(Full::default())
            .expect("it is made of text")
    }

    /// RFC 6749, section 4.1.3, and RFC 7636, section 4.6.
    fn exchange(
        &mut self,
        issuer: &str,
        authorization: Option<&str>,
        body: &[u8],
    ) -> Response<Full<Bytes>> {
        let sent: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let of = |name: &str| sent.get(name).map_or("", String::as_str);
        let known = match &self.secret {
            None => authorization.is_none() && of("client_id") == CLIENT,
            Some(secret) => {
                let half = |text: &str| -> String {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect()
                };
                let both = format!("{}:{}", half(CLIENT), half(secret));
                authorization == Some(&format!("Basic {}", BASE64.encode(both.as_bytes())))
            }
        };
        if !known {
            return json_answer(401, &json!({"error": "invalid_client"}));
        }
        // A code works once.
        let grant = self.grants.remove(of("code"));
        let proof = BASE64URL_NOPAD.encode(&Sha256::digest(of("code_verifier").as_bytes()));
        let Some(grant) = grant.filter(|grant| {
            grant.challenge == proof
                && grant.redirect == of("redirect_uri")
                && of("grant_type") == "authorization_code"
        }) else {
            return json_answer(400, &json!({"error": "invalid_grant"}));
        };
        let now = Timestamp::now().as_second();
        let mut claims = json!({
            "iss": issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": grant.nonce,
        });
        for (name, value) in self.claims.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let key = self.keys.last().expect("there is one from the beginning");
        let token = key.sign(&claims);
        json_answer(
            200,
            &json!({"access_token": "none-needed", "token_type": "Bearer", "id_token": token}),
        )
    }
}

fn json_answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(body.to_string()))
        .expect("it is made of text")
}
