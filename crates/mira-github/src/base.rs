//! Where GitHub's API is, and what is asked there: `https://api.github.com`, or `https://HOST/api/v3` of GitHub Enterprise Server.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// The API of github.com.
pub const DEFAULT_API: &str = "https://api.github.com";

/// The base of an API's addresses: over TLS, or on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBase(Url);

/// Why a text is no base of GitHub's API. No variant repeats it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiBaseError {
    /// It is no URL with a host, or holds more than that and a path.
    #[error(
        "GitHub's API is at a URL such as https://api.github.com, or https://github.example.org/api/v3 for Enterprise, without user, password or query"
    )]
    Form,
    /// What is sent there could be read on the way.
    #[error("GitHub's API is called over TLS alone: its URL begins with https://")]
    Unencrypted,
}

impl ApiBase {
    /// Returns the host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// Returns whether it is called over TLS; if not, it is on this machine.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns the host that repositories are cloned from: `github.com` beside `api.github.com`, and the same one for Enterprise.
    #[must_use]
    pub fn git_host(&self) -> &str {
        match self.host() {
            "api.github.com" => "github.com",
            host => host,
        }
    }

    /// Returns the path that all paths of the REST API are below: nothing, or `/api/v3`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }

    /// Returns the path of the GraphQL API.
    #[must_use]
    pub fn graphql(&self) -> String {
        let prefix = self.prefix();
        format!("{}/graphql", prefix.strip_suffix("/v3").unwrap_or(prefix))
    }

    /// Returns the URL of a path, which begins with a slash and may have a query.
    pub(crate) fn below(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        url.set_path(&format!("{}{path}", self.prefix()));
        url.set_query(query);
        url
    }

    fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        match address.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            // RFC 6761, section 6.3: it is never looked up elsewhere.
            Err(_) => host == "localhost",
        }
    }
}

impl FromStr for ApiBase {
    type Err = ApiBaseError;

    fn from_str(text: &str) -> Result<Self, ApiBaseError> {
        let url: Url = text.trim().parse().map_err(|_| ApiBaseError::Form)?;
        let is_plain = url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_plain {
            return Err(ApiBaseError::Form);
        }
        let base = Self(url);
        match base.0.scheme() {
            "https" => Ok(base),
            "http" if base.is_loopback() => Ok(base),
            _ => Err(ApiBaseError::Unencrypted),
        }
    }
}

impl fmt::Display for ApiBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_is_called_over_tls_or_on_this_machine() {
        let check = |text: &str, expect: Result<&str, ApiBaseError>| {
            let parsed = text.parse::<ApiBase>().map(|base| base.to_string());
            assert_eq!(parsed, expect.map(str::to_owned), "{text}");
        };
        check(DEFAULT_API, Ok(DEFAULT_API));
        check(
            "https://git.example.org/api/v3/",
            Ok("https://git.example.org/api/v3"),
        );
        check("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080"));
        check(
            "http://git.example.org/api/v3",
            Err(ApiBaseError::Unencrypted),
        );
        check(
            "http://127.0.0.1.example.org",
            Err(ApiBaseError::Unencrypted),
        );
        check("ftp://git.example.org", Err(ApiBaseError::Unencrypted));
        check("https://me:pw@git.example.org", Err(ApiBaseError::Form));
        check("https://git.example.org/?a=b", Err(ApiBaseError::Form));
        check("api.github.com", Err(ApiBaseError::Form));
    }

    #[test]
    fn enterprise_has_everything_on_one_host() {
        let base: ApiBase = "https://Git.Example.org/api/v3".parse().unwrap();
        assert_eq!(
            (base.host(), base.git_host()),
            ("git.example.org", "git.example.org")
        );
        assert_eq!(base.graphql(), "/api/graphql");
        assert_eq!(
            base.below("/app?x=1").as_str(),
            "https://git.example.org/api/v3/app?x=1"
        );
        let base: ApiBase = DEFAULT_API.parse().unwrap();
        assert_eq!(
            (base.git_host(), base.graphql()),
            ("github.com", "/graphql".to_owned())
        );
    }
}
