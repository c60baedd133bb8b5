//! An App: signs in with its key, and asks what it may see.

use std::fmt;
use std::str::FromStr;

use http::{Method, StatusCode};
use jiff::Timestamp;
use mira_jwt::SigningKey;
use mira_secret::SecretBytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::base::ApiBase;
use crate::call::{Answer, Caller};
use crate::error::GitHubError;
use crate::scope::{Permissions, Scope};

/// How far back a token's beginning is dated, for clocks that are behind: GitHub's own advice.
const ISSUED_BEFORE_S: i64 = 60;
/// How far ahead a token's end is: GitHub takes ten minutes at most.
const EXPIRES_AFTER_S: i64 = 9 * 60;
/// Clocks that differ by so much are why a token is refused.
const SKEW_S: u64 = 30;
const PER_PAGE: usize = 100;

/// How many pages of a list are read.
// LIMIT: ten thousand installations or repositories; a person does not look through more.
const PAGES_MAX: usize = 100;

/// The number of an App, as its settings show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AppId(u64);

impl AppId {
    /// Returns the number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for AppId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim()
            .parse::<std::num::NonZeroU64>()
            .map(|id| Self(id.get()))
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An App with its key, and the API where it is known.
pub struct App {
    id: AppId,
    key: SigningKey,
    caller: Caller,
}

/// What GitHub says of the App itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// Its name in addresses.
    pub slug: String,
    /// The account that it belongs to.
    pub owner: String,
}

/// An account on which the App is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Installation {
    /// Its number.
    pub id: u64,
    /// The account.
    pub account: String,
    /// Whether it is for all of the account's repositories.
    pub all_repositories: bool,
    /// Whether it is suspended.
    pub suspended: bool,
    /// What it grants.
    pub permissions: Permissions,
}

/// RFC 7519, section 4.1, as far as GitHub reads it.
#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: String,
}

/// A token that was minted, and how long it lasts by GitHub's own clock.
pub(crate) struct Minted {
    pub(crate) token: SecretBytes,
    pub(crate) lasts_s: i64,
}

impl App {
    /// Makes an App of its key, in PEM. Nothing is called yet.
    ///
    /// # Errors
    ///
    /// The key is none, or nothing can be called from this machine.
    pub fn new(id: AppId, key: &SecretBytes, base: ApiBase) -> Result<Self, GitHubError> {
        Ok(Self {
            id,
            key: SigningKey::from_pem(key).map_err(|why| GitHubError::Key { why })?,
            caller: Caller::new(base)?,
        })
    }

    /// Returns its number.
    #[must_use]
    pub fn id(&self) -> AppId {
        self.id
    }

    /// Returns the base of its API.
    #[must_use]
    pub fn base(&self) -> &ApiBase {
        self.caller.base()
    }

    /// Signs in, and returns what GitHub says of the App.
    ///
    /// # Errors
    ///
    /// What GitHub says against it.
    pub async fn about(&self) -> Result<About, GitHubError> {
        let answer = self.ask(Method::GET, "/app", None).await?;
        self.expect(&answer, StatusCode::OK, None)?;
        let body = answer.json()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let slug = text(&body["slug"]).ok_or_else(|| answer.not_this_api())?;
        let owner = text(&body["owner"]["login"]).unwrap_or_default();
        Ok(About { slug, owner })
    }

    /// Returns where the App is installed.
    ///
    /// # Errors
    ///
    /// What GitHub says against it.
    pub async fn installations(&self) -> Result<Vec<Installation>, GitHubError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let path = format!("/app/installations?per_page={PER_PAGE}&page={page}");
            let answer = self.ask(Method::GET, &path, None).await?;
            self.expect(&answer, StatusCode::OK, None)?;
            let body = answer.json()?;
            let items = body.as_array().ok_or_else(|| answer.not_this_api())?;
            all.extend(items.iter().filter_map(installation));
            if !answer.has_next() {
                break;
            }
        }
        Ok(all)
    }

    /// Returns the full names of the repositories of an installation, by a token that may read their names and nothing else.
    ///
    /// # Errors
    ///
    /// What GitHub says against it.
    pub async fn repositories(&self, installation: u64) -> Result<Vec<String>, GitHubError> {
        let wanted = json!({"permissions": {"metadata": "read"}});
        let minted = self.mint_with(installation, &wanted, None).await?;
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let path = format!("/installation/repositories?per_page={PER_PAGE}&page={page}");
            let answer = self
                .caller
                .ask(Method::GET, &path, &minted.token, None)
                .await?;
            self.expect(&answer, StatusCode::OK, None)?;
            let body = answer.json()?;
            let items = body["repositories"]
                .as_array()
                .ok_or_else(|| answer.not_this_api())?;
            let names = items.iter().filter_map(|item| item["full_name"].as_str());
            all.extend(names.map(str::to_owned));
            if !answer.has_next() {
                break;
            }
        }
        Ok(all)
    }

    /// Has a token minted that is as narrow as its scope.
    pub(crate) async fn mint(&self, scope: &Scope) -> Result<Minted, GitHubError> {
        let wanted = json!({
            "repositories": [scope.repository.name()],
            "permissions": scope.permissions,
        });
        self.mint_with(scope.installation, &wanted, Some(scope))
            .await
    }

    async fn mint_with(
        &self,
        installation: u64,
        wanted: &Value,
        scope: Option<&Scope>,
    ) -> Result<Minted, GitHubError> {
        /// Borrowed, so that the token is in no text of its own.
        #[derive(serde::Deserialize)]
        struct Wire<'a> {
            token: &'a str,
            expires_at: Timestamp,
        }
        let path = format!("/app/installations/{installation}/access_tokens");
        let answer = self.ask(Method::POST, &path, Some(wanted)).await?;
        self.expect(&answer, StatusCode::CREATED, Some((installation, scope)))?;
        let wire: Wire<'_> =
            serde_json::from_slice(answer.body()).map_err(|_| answer.not_this_api())?;
        let now = answer.date().unwrap_or_else(Timestamp::now);
        Ok(Minted {
            token: SecretBytes::copy_from(wire.token.as_bytes()),
            lasts_s: wire.expires_at.as_second() - now.as_second(),
        })
    }

    /// Asks as the App.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, GitHubError> {
        let now = Timestamp::now().as_second();
        let claims = Claims {
            iat: now - ISSUED_BEFORE_S,
            exp: now + EXPIRES_AFTER_S,
            iss: self.id.to_string(),
        };
        let token = self
            .key
            .sign(&claims)
            .map_err(|error| GitHubError::Unusable {
                why: error.to_string(),
            })?;
        self.caller.ask(method, path, &token, body).await
    }

    /// Says what an answer other than the expected one means.
    fn expect(
        &self,
        answer: &Answer,
        status: StatusCode,
        mint: Option<(u64, Option<&Scope>)>,
    ) -> Result<(), GitHubError> {
        if answer.status == status {
            return Ok(());
        }
        if let Some(retry_after_s) = answer.retry_after_s() {
            return Err(GitHubError::RateLimited { retry_after_s });
        }
        let app = self.id.get();
        let Some(said) = answer.message() else {
            return Err(answer.not_this_api());
        };
        let skewed = answer
            .ahead_s()
            .filter(|ahead_s| ahead_s.unsigned_abs() > SKEW_S);
        let installation = mint
            .map(|(installation, _)| installation)
            .unwrap_or_default();
        Err(match (answer.status.as_u16(), mint) {
            (401, _) if said.contains("claim") => match skewed {
                Some(ahead_s) => GitHubError::Clock { ahead_s },
                None => GitHubError::Other { status: 401, said },
            },
            (401, _) => GitHubError::WrongKey { app },
            (404, _) if said.contains("Integration") => GitHubError::UnknownApp { app },
            (404, Some(_)) => GitHubError::NotInstalled { installation },
            (403, Some(_)) if said.contains("suspended") => GitHubError::Suspended { installation },
            (422, Some((_, Some(scope)))) if said.contains("repository") => {
                GitHubError::NotForRepository {
                    installation,
                    repository: scope.repository.to_string(),
                }
            }
            (422, Some((_, Some(scope)))) => {
                let wanted = scope.permissions.iter();
                let wanted: Vec<String> = wanted
                    .map(|(name, access)| format!("{name}: {access}"))
                    .collect();
                GitHubError::NotGranted {
                    installation,
                    wanted: wanted.join(", "),
                }
            }
            (status, _) => GitHubError::Other { status, said },
        })
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "App({} at {})", self.id, self.base())
    }
}

fn installation(item: &Value) -> Option<Installation> {
    let permissions = item["permissions"].as_object()?.iter();
    let permissions =
        permissions.filter_map(|(name, access)| Some((name.clone(), access.as_str()?.to_owned())));
    Some(Installation {
        id: item["id"].as_u64()?,
        account: item["account"]["login"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        all_repositories: item["repository_selection"] == "all",
        suspended: !item["suspended_at"].is_null(),
        permissions: permissions.collect(),
    })
}
