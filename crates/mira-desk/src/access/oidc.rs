//! Signing in through a provider of OpenID Connect: the authorization code flow, with PKCE, and a role for a group.
//!
//! What belongs to a sign-in that has begun is in a cookie of that browser, so that any server of several ends it.
//!
//! INVARIANT: a person is let in by issuer and subject, with the role that the groups give at that moment; who is in none of the
//! groups is not let in.

mod provider;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use cookie::{Cookie, SameSite};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use mira_provider::Caller;
use mira_secret::{Scope, SecretName, SecretValue};
use mira_store::{Identity, Role, SessionKind, SessionOf, SharedError, UserName};
use mira_vault::settings::BaseUrl;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::login::{Next, begin, not_let_in, set_cookie};
use crate::error::DeskError;
use crate::guard::Origin;
use crate::{Desk, Handle};
use provider::{Exchange, Provider, ProviderError};

/// The cookie of a sign-in that has begun.
const COOKIE: &str = "__Host-mira-oidc";

/// How long somebody may take at the provider.
const TAKES_AT_MOST: cookie::time::Duration = cookie::time::Duration::minutes(10);

/// How many codes are exchanged at once.
// LIMIT: each is a call or two; a company that comes to work signs in within a minute.
const EXCHANGES_MAX: usize = 8;

/// Where the provider sends people back to.
const BACK: &str = "/login/oidc/callback";

/// Whom a provider lets in, and as what.
#[derive(Clone, Debug)]
pub struct OidcOptions {
    /// The provider, letter by letter as it names itself.
    pub issuer: String,
    /// What this desk is called there.
    pub client: String,
    /// What is asked for (`openid` is always).
    pub scopes: Vec<String>,
    /// The claim that lists a person's groups.
    pub groups_claim: String,
    /// The role of a group.
    pub roles: Vec<(Role, String)>,
    /// What makes the calls.
    pub caller: Caller,
}

/// Why nobody can sign in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OidcError {
    /// The issuer is no address that keeps what is sent.
    #[error(
        "an issuer of OpenID Connect is an https URL such as https://id.example.org/realms/team"
    )]
    Issuer,
    /// Nobody would be let in.
    #[error("no group has a role: give --oidc-role, as admin=GROUP")]
    NoRole,
}

/// The way in through the provider.
#[derive(Debug)]
pub struct Oidc {
    options: OidcOptions,
    provider: Provider,
    exchanges: Semaphore,
}

impl Oidc {
    /// Prepares it; nothing is called yet.
    ///
    /// # Errors
    ///
    /// Returns what would let nobody in, or not safely.
    pub fn new(options: OidcOptions) -> Result<Self, OidcError> {
        let url: BaseUrl = options.issuer.parse().map_err(|_| OidcError::Issuer)?;
        if !url.may_have_keys() {
            return Err(OidcError::Issuer);
        }
        if options.roles.is_empty() {
            return Err(OidcError::NoRole);
        }
        Ok(Self {
            provider: Provider::new(options.issuer.clone(), options.caller.clone()),
            options,
            exchanges: Semaphore::new(EXCHANGES_MAX),
        })
    }

    /// Returns the provider's host, for people.
    pub(crate) fn host(&self) -> &str {
        let rest = self.options.issuer.split_once("://").map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split('/').next())
            .unwrap_or(&self.options.issuer)
    }

    /// Returns the highest role that these groups give.
    fn role(&self, claims: &Value) -> Option<Role> {
        let groups: Vec<&str> = match &claims[&self.options.groups_claim] {
            Value::String(group) => vec![group],
            Value::Array(groups) => groups.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let given = self.options.roles.iter();
        given
            .filter(|(_, group)| groups.contains(&group.as_str()))
            .map(|(role, _)| *role)
            .max()
    }
}

/// A sign-in that has begun.
#[derive(Deserialize, Serialize)]
struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
}

impl Begun {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        let value = cookies
            .flat_map(Cookie::split_parse)
            .filter_map(Result::ok)
            .find(|cookie| cookie.name() == COOKIE)?;
        let text = BASE64URL_NOPAD.decode(value.value().as_bytes()).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn cookie(&self) -> Result<Cookie<'static>, DeskError> {
        let text = serde_json::to_vec(self).map_err(DeskError::failed)?;
        Ok(kept(BASE64URL_NOPAD.encode(&text), TAKES_AT_MOST))
    }
}

fn kept(value: String, age: cookie::time::Duration) -> Cookie<'static> {
    Cookie::build((COOKIE, value))
        .path("/")
        .secure(true)
        .http_only(true)
        // The provider's page leads back here, which is another site's link.
        .same_site(SameSite::Lax)
        .max_age(age)
        .build()
}

/// Leads to the provider.
pub(crate) async fn begin_there(
    State(desk): State<Handle>,
    origin: Origin,
    headers: HeaderMap,
    uri: Uri,
    Query(next): Query<Next>,
) -> Result<Response, DeskError> {
    let oidc = configured(&desk)?;
    let metadata = oidc.provider.metadata().await.map_err(unreachable)?;
    let begun = Begun {
        state: random()?,
        nonce: random()?,
        verifier: random()?,
        next: next.path().to_owned(),
    };
    let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(begun.verifier.as_bytes()));
    let mut scope = "openid".to_owned();
    for wanted in oidc.options.scopes.iter().filter(|one| *one != "openid") {
        scope.push(' ');
        scope.push_str(wanted);
    }
    let mut there = metadata.authorization_endpoint.clone();
    there
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &oidc.options.client)
        .append_pair("redirect_uri", &back(origin, &headers, &uri)?)
        .append_pair("scope", &scope)
        .append_pair("state", &begun.state)
        .append_pair("nonce", &begun.nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    let mut response = Redirect::to(there.as_str()).into_response();
    set_cookie(&mut response, &begun.cookie()?);
    Ok(response)
}

/// What the provider sends back with the browser (RFC 6749, section 4.1.2; RFC 9207).
#[derive(Deserialize)]
pub(crate) struct Back {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// Takes who comes back from the provider.
pub(crate) async fn come_back(
    State(desk): State<Handle>,
    origin: Origin,
    headers: HeaderMap,
    uri: Uri,
    Query(back_with): Query<Back>,
) -> Result<Response, DeskError> {
    let outcome = let_in(&desk, origin, &headers, &uri, &back_with).await;
    let mut response = match outcome {
        Ok(response) => response,
        Err(refusal) => {
            not_let_in(&desk, &origin, &refusal.whom).await?;
            refusal.error.into_response()
        }
    };
    // Whatever came of it, it has ended.
    set_cookie(
        &mut response,
        &kept(String::new(), cookie::time::Duration::ZERO),
    );
    Ok(response)
}

/// Why somebody was not let in, and who it was as far as that is known.
struct Refusal {
    whom: String,
    error: DeskError,
}

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Self {
        Self {
            whom: "a provider's word".to_owned(),
            error,
        }
    }
}

async fn let_in(
    desk: &Desk,
    origin: Origin,
    headers: &HeaderMap,
    uri: &Uri,
    with: &Back,
) -> Result<Response, Refusal> {
    let oidc = configured(desk)?;
    let begun = Begun::of(headers)
        .filter(|begun| Some(&begun.state) == with.state.as_ref())
        .ok_or_else(|| {
            DeskError::new(
                StatusCode::BAD_REQUEST,
                "this sign-in was not begun in this browser, or more than ten minutes ago",
            )
            .hint("Begin again at the sign-in page.")
        })?;
    let metadata = oidc.provider.metadata().await.map_err(unreachable)?;
    let names_itself = match &with.iss {
        Some(issuer) => *issuer == oidc.options.issuer,
        None => !metadata.authorization_response_iss_parameter_supported,
    };
    if !names_itself {
        return Err(refused("another provider has answered than was asked").into());
    }
    if let Some(word) = &with.error {
        let word: String = word.chars().take(80).collect();
        let said = format!("{} did not sign you in: {word}", oidc.host());
        return Err(refused(&said).into());
    }
    let code = with
        .code
        .as_deref()
        .ok_or_else(|| refused("there is no code in the answer"))?;
    let secret = client_secret(desk).await?;
    let exchange = Exchange {
        code,
        verifier: &begun.verifier,
        redirect: &back(origin, headers, uri)?,
        client: &oidc.options.client,
        secret: secret.as_ref(),
    };
    let claims = {
        let _turn = oidc.exchanges.acquire().await;
        oidc.provider
            .exchange(&exchange)
            .await
            .map_err(unreachable)?
    };
    if claims["nonce"].as_str() != Some(&begun.nonce) {
        return Err(refused("the provider's word is of another sign-in").into());
    }
    let subject = claims["sub"]
        .as_str()
        .ok_or_else(|| refused("the provider's word does not say of whom"))?;
    let name = name_of(&claims).ok_or_else(|| {
        refused("the provider's word has no name that can be a user's here: preferred_username, email or sub")
    })?;
    let as_whom = |error: DeskError| Refusal {
        whom: name.to_string(),
        error,
    };
    let role = oidc.role(&claims).ok_or_else(|| {
        let error = refused(&format!("{name} is in none of the groups that have a role here"));
        as_whom(error.hint(format!(
            "The provider lists groups in the claim `{}`; whoever runs this server maps them with --oidc-role.",
            oidc.options.groups_claim
        )))
    })?;
    let identity = Identity {
        issuer: &oidc.options.issuer,
        subject,
        name: &name,
        role,
    };
    let user = desk
        .shared
        .user_of_identity(&identity, Timestamp::now())
        .await
        .map_err(|error| {
            let taken = matches!(error, SharedError::NameTaken { .. });
            let error = DeskError::from(error);
            as_whom(match taken {
                true => error.hint("That user signs in here, by a password. An admin can remove or rename one of the two."),
                false => error,
            })
        })?;
    if user.disabled {
        return Err(as_whom(refused("an admin has disabled this user")));
    }
    let of = SessionOf::User(&user);
    // Only paths of this desk got into the cookie; it is anybody's word when it comes back.
    let next = Next::to(begun.next);
    Ok(begin(desk, of, SessionKind::Oidc, &origin, headers, next.path()).await?)
}

fn configured(desk: &Desk) -> Result<&Oidc, DeskError> {
    let oidc = desk.options.oidc.as_deref();
    oidc.ok_or_else(|| DeskError::not_found("provider to sign in through"))
}

fn refused(what: &str) -> DeskError {
    DeskError::new(StatusCode::FORBIDDEN, what)
}

fn unreachable(error: ProviderError) -> DeskError {
    let status = match error {
        ProviderError::Refused(_) | ProviderError::Token(_) => StatusCode::FORBIDDEN,
        ProviderError::Call(_) | ProviderError::Odd(_) => StatusCode::BAD_GATEWAY,
    };
    DeskError::new(status, error.to_string())
}

/// Returns the address that the provider leads back to, as the browser knows this desk.
fn back(origin: Origin, headers: &HeaderMap, uri: &Uri) -> Result<String, DeskError> {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = host.or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
    let scheme = if origin.secure { "https" } else { "http" };
    let address = authority.map(|authority| format!("{scheme}://{authority}{BACK}"));
    address
        .filter(|address| address.parse::<Url>().is_ok())
        .ok_or_else(|| DeskError::new(StatusCode::BAD_REQUEST, "the request names no host"))
}

/// Returns what a person is called here.
fn name_of(claims: &Value) -> Option<UserName> {
    ["preferred_username", "email", "sub"]
        .iter()
        .filter_map(|claim| claims[claim].as_str())
        .find_map(|name| name.parse().ok())
}

/// Returns the client's secret, if one is saved.
async fn client_secret(desk: &Desk) -> Result<Option<SecretValue>, DeskError> {
    let name: SecretName = "MIRA_OIDC_CLIENT_SECRET"
        .parse()
        .map_err(DeskError::failed)?;
    let found = desk.custody.with_if_there(|vault| match vault {
        Some(vault) => {
            let entry = vault.find(&Scope::User, &name);
            let value = entry.map(|entry| vault.value(entry)).transpose()?;
            Ok(value.map(|value| (name, value)))
        }
        None => Ok(None),
    });
    Ok(found.await?.map(|(name, value)| {
        // EXPOSE: to the log, which is kept free of it.
        desk.opened.tell(name.as_str(), value.expose());
        value
    }))
}

fn random() -> Result<String, DeskError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| DeskError::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}
