//! GitHub's REST API, as far as a reviewer needs it, with the token that came with the delivery: a placeholder, which the gate replaces.
//!
//! INVARIANT: only the API host of the delivery is called, for the repository of the delivery; redirects are not followed.

use data_encoding::BASE64;
use reqwest::{Client, Method};
use serde_json::Value;

use crate::output::encoded;
use crate::secret::Key;

/// The longest answer that is read, in bytes.
// LIMIT: GitHub's longest lists have some MiB.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many pages of a list are read.
// LIMIT: GitHub lists at most 3,000 files of a pull request, by 100.
const PAGES_MAX: usize = 30;

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
}

/// The API, for one repository.
#[derive(Clone, Debug)]
pub(crate) struct GitHub {
    pub(crate) client: Client,
    pub(crate) base: String,
    pub(crate) token: Option<Key>,
    /// `owner/name`.
    pub(crate) repository: String,
}

impl GitHub {
    /// Calls a path below the repository.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, GitHubError> {
        let what = format!("{method} {path}");
        let url = format!(
            "{}/repos/{}/{path}",
            self.base.trim_end_matches('/'),
            self.repository
        );
        let mut request = self
            .client
            .request(method, url)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        if let Some(token) = &self.token {
            // EXPOSE: to the code host that the delivery names; under Mira it is a placeholder.
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let later = |_: reqwest::Error| GitHubError::Later("no connection".to_owned());
        let mut response = request.send().await.map_err(later)?;
        let status = response.status();
        let wait = response.headers().contains_key("retry-after");
        let spent = response
            .headers()
            .get("x-ratelimit-remaining")
            .is_some_and(|left| left == "0");
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(later)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(GitHubError::Refused {
                    what,
                    status: 200,
                    said: "the answer is too long".to_owned(),
                });
            }
        }
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match status.as_u16() {
            200..=299 => Ok(value),
            404 => Err(GitHubError::NotFound(what)),
            // A token that ended is replaced by the gate before the next try.
            401 | 429 | 500.. => Err(GitHubError::Later(format!("status {}", status.as_u16()))),
            403 if wait || spent => Err(GitHubError::Later("rate limit".to_owned())),
            status => {
                let said = value["message"].as_str().unwrap_or("without a reason");
                Err(GitHubError::Refused {
                    what,
                    status,
                    said: said.chars().take(200).collect(),
                })
            }
        }
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
}

fn decoded(value: &Value) -> Option<Vec<u8>> {
    let text: String = value["content"].as_str()?.split_whitespace().collect();
    BASE64.decode(text.as_bytes()).ok()
}
