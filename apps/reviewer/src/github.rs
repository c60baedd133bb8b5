//! GitHub's API, as far as a reviewer needs it, with the token that came with the delivery: a placeholder, which the gate replaces.
//!
//! What is asked again is asked with its tag, so that an unchanged answer costs nothing; a limit that GitHub names is waited for, here if it is
//! short, else by whoever comes again. INVARIANT: only the API host of the delivery is called, for the repository of the delivery; redirects are
//! not followed.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, ETAG, HeaderMap, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::output::encoded;
use crate::secret::Key;
pub(crate) use memory::Memory;

/// The longest answer that is read, in bytes.
// LIMIT: GitHub's longest lists have some MiB.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many pages of a list are read.
// LIMIT: GitHub lists at most 3,000 files of a pull request, by 100.
const PAGES_MAX: usize = 30;

/// How long one request may take.
// LIMIT: GitHub itself gives up after ten seconds.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a limit is waited for within a delivery.
// LIMIT: what takes longer is left to the deliverer, which has other work meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long nothing is asked after a limit that names no time.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
const WAIT_UNNAMED: Duration = Duration::from_secs(60);

const JSON: &str = "application/vnd.github+json";
const DIFF: &str = "application/vnd.github.diff";

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum GitHubError {
    #[error("GitHub cannot be reached or asks to wait ({0}); it is tried again later")]
    Later(String),
    #[error("GitHub has no {0}, or this App may not see it")]
    NotFound(String),
    #[error("GitHub refused {what} (status {status}): {said}")]
    Refused {
        what: String,
        status: u16,
        said: String,
    },
}

impl GitHubError {
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Later(_))
    }

    /// Returns whether it is a refusal with this status.
    pub(crate) fn is(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }
}

/// What became of one request.
enum Sent {
    Answer(Vec<u8>),
    Failed(GitHubError),
    /// GitHub wants to be left alone for so long.
    Limited(Duration),
}

/// The API, for one repository.
#[derive(Clone, Debug)]
pub(crate) struct GitHub {
    pub(crate) client: Client,
    pub(crate) base: String,
    pub(crate) token: Option<Key>,
    /// `owner/name`.
    pub(crate) repository: String,
    pub(crate) memory: Arc<Memory>,
}

impl GitHub {
    fn url(&self, path: &str) -> String {
        let base = self.base.trim_end_matches('/');
        let url = format!("{base}/repos/{}/{path}", self.repository);
        // The repository itself has no path.
        url.trim_end_matches('/').to_owned()
    }

    /// Calls a path below the repository.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, GitHubError> {
        let bytes = self.send(&method, &self.url(path), JSON, body).await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, GitHubError> {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, GitHubError> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Value, GitHubError> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// Returns a pull request's diff; GitHub refuses one that is too large with 406.
    pub(crate) async fn diff(&self, pull: i64) -> Result<String, GitHubError> {
        let url = self.url(&format!("pulls/{pull}"));
        let bytes = self.send(&Method::GET, &url, DIFF, None).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Asks the GraphQL API, which stands beside the REST API, for the data of an operation.
    pub(crate) async fn graphql(
        &self,
        query: &str,
        variables: &Value,
    ) -> Result<Value, GitHubError> {
        let base = self.base.trim_end_matches('/');
        let url = format!("{}/graphql", base.strip_suffix("/v3").unwrap_or(base));
        let body = serde_json::json!({"query": query, "variables": variables});
        let bytes = self.send(&Method::POST, &url, JSON, Some(&body)).await?;
        let mut answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match answer["errors"][0]["message"].as_str() {
            None => Ok(answer["data"].take()),
            Some(said) => Err(GitHubError::Refused {
                what: "a GraphQL operation".to_owned(),
                status: 422,
                said: said.chars().take(200).collect(),
            }),
        }
    }

    /// Returns all entries of a list.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, GitHubError> {
        let mut all = Vec::new();
        for page in 1..=PAGES_MAX {
            let Value::Array(entries) = self
                .get(&format!("{path}?per_page=100&page={page}"))
                .await?
            else {
                break;
            };
            let full = entries.len() >= 100;
            all.extend(entries);
            if !full {
                break;
            }
        }
        Ok(all)
    }

    /// Returns a file as of a commit, if it is there and is text.
    pub(crate) async fn file(
        &self,
        path: &str,
        commit: &str,
    ) -> Result<Option<String>, GitHubError> {
        match self
            .get(&format!("contents/{}?ref={commit}", encoded(path)))
            .await
        {
            Ok(value) => Ok(decoded(&value).and_then(|bytes| String::from_utf8(bytes).ok())),
            Err(GitHubError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the content of a blob.
    pub(crate) async fn blob(&self, id: &str) -> Result<Vec<u8>, GitHubError> {
        let value = self.get(&format!("git/blobs/{id}")).await?;
        Ok(decoded(&value).unwrap_or_default())
    }

    /// Returns whether somebody may write to the repository.
    pub(crate) async fn may_write(&self, login: &str) -> Result<bool, GitHubError> {
        match self
            .get(&format!("collaborators/{}/permission", encoded(login)))
            .await
        {
            Ok(answer) => Ok(matches!(
                answer["permission"].as_str(),
                Some("admin" | "maintain" | "write")
            )),
            Err(GitHubError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn send(
        &self,
        method: &Method,
        url: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, GitHubError> {
        let limited = || GitHubError::Later("rate limit".to_owned());
        let mut waited = false;
        loop {
            if self.memory.is_quiet(&self.repository) {
                return Err(limited());
            }
            match self.once(method, url, accept, body).await {
                Sent::Answer(bytes) => return Ok(bytes),
                Sent::Failed(error) => return Err(error),
                Sent::Limited(wait) if wait <= WAIT_MAX && !waited => {
                    waited = true;
                    // Nothing else ends this wait: it is GitHub's own.
                    drop(tokio::time::timeout(wait, std::future::pending::<()>()).await);
                }
                Sent::Limited(wait) => {
                    self.memory.be_quiet(&self.repository, wait);
                    return Err(limited());
                }
            }
        }
    }

    async fn once(&self, method: &Method, url: &str, accept: &str, body: Option<&Value>) -> Sent {
        let no_connection =
            || Sent::Failed(GitHubError::Later("no connection, or too slow".to_owned()));
        let known = match *method {
            Method::GET => self.memory.answer(url, accept),
            _ => None,
        };
        let mut request = self
            .client
            .request(method.clone(), url)
            .timeout(TIMEOUT)
            .header(ACCEPT, accept)
            .header("x-github-api-version", "2022-11-28");
        if let Some(token) = &self.token {
            // EXPOSE: to the code host that the delivery names; under Mira it is a placeholder.
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if let Some((tag, _)) = &known {
            request = request.header(IF_NONE_MATCH, tag);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let Ok(mut response) = request.send().await else {
            return no_connection();
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let path = url.strip_prefix(self.base.as_str()).unwrap_or("/graphql");
        let what = format!("{method} {path}");
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) => return no_connection(),
            }
            if bytes.len() > ANSWER_BYTES_MAX {
                return Sent::Failed(GitHubError::Refused {
                    what,
                    status: 200,
                    said: "the answer is too long".to_owned(),
                });
            }
        }
        if let (StatusCode::NOT_MODIFIED, Some((_, bytes))) = (status, known) {
            return Sent::Answer(bytes);
        }
        if status.is_success() {
            let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
            if let Some(tag) = tag.filter(|_| *method == Method::GET) {
                self.memory.keep(url, accept, tag, &bytes);
            }
            return Sent::Answer(bytes);
        }
        refusal(status, &headers, what, &bytes)
    }
}

/// Tells refusals from limits, which come as 403 too.
fn refusal(status: StatusCode, headers: &HeaderMap, what: String, body: &[u8]) -> Sent {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = body["message"].as_str().unwrap_or("without a reason");
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
    let spent = number("x-ratelimit-remaining") == Some(0);
    let is_limit = spent || headers.contains_key(RETRY_AFTER) || said.contains("rate limit");
    Sent::Failed(match status.as_u16() {
        404 => GitHubError::NotFound(what),
        429 => return Sent::Limited(wait(&number, spent)),
        403 if is_limit => return Sent::Limited(wait(&number, spent)),
        // A token that ended is replaced by the gate before the next try.
        401 | 500.. => GitHubError::Later(format!("status {}", status.as_u16())),
        status => GitHubError::Refused {
            what,
            status,
            said: said.chars().take(200).collect(),
        },
    })
}

fn wait(number: &dyn Fn(&str) -> Option<i64>, spent: bool) -> Duration {
    let until = match spent {
        true => number("x-ratelimit-reset"),
        false => None,
    };
    let left = until.map(|until| until - Timestamp::now().as_second());
    let seconds = number("retry-after").or(left);
    seconds.map_or(WAIT_UNNAMED, |seconds| {
        Duration::from_secs(seconds.max(0).unsigned_abs())
    })
}

fn decoded(value: &Value) -> Option<Vec<u8>> {
    let text: String = value["content"].as_str()?.split_whitespace().collect();
    BASE64.decode(text.as_bytes()).ok()
}
