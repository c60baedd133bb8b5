//! Addresses of APIs: no secret in them, and no key over an open line.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ::url::Url;

/// The address that the paths of an API are below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why a text is no address of an API. No variant repeats it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseUrlError {
    /// It is no URL of the web.
    #[error("an address of an API is a URL such as https://api.example.com/v1")]
    Form,
    /// It has a user, a password, a query or a fragment.
    #[error(
        "an address of an API holds no user, password or query: it is kept as a setting, in plain; a key is saved with `mira set NAME`"
    )]
    Secret,
    /// It would send keys in plain.
    #[error(
        "keys are sent encrypted, or to this machine itself: give an address that begins with https://"
    )]
    Plain,
}

impl BaseUrl {
    /// Returns the address itself if keys may be sent there.
    ///
    /// # Errors
    ///
    /// [`BaseUrlError::Plain`].
    pub fn for_keys(self) -> Result<Self, BaseUrlError> {
        match self.may_have_keys() {
            true => Ok(self),
            false => Err(BaseUrlError::Plain),
        }
    }

    /// Returns the URL of a path below it; `path` begins with a slash.
    #[must_use]
    pub fn below(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{base}{path}"));
        url.set_query(query);
        url
    }

    /// Returns whether a key may be sent there: the line is encrypted, or leads nowhere but to this machine.
    #[must_use]
    pub fn may_have_keys(&self) -> bool {
        self.0.scheme() == "https" || self.is_loopback()
    }

    /// Returns whether it is an address of this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }
}

/// Returns whether a URL leads to this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        // RFC 6761, section 6.3: these names are never looked up elsewhere.
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let url: Url = text.parse().map_err(|_| BaseUrlError::Form)?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        if !is_web {
            return Err(BaseUrlError::Form);
        }
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        match is_plain {
            true => Ok(Self(url)),
            false => Err(BaseUrlError::Secret),
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_no_secret() {
        let check = |text: &str, expect: Result<&str, BaseUrlError>| {
            let parsed = text.parse::<BaseUrl>().map(|url| url.to_string());
            assert_eq!(parsed, expect.map(str::to_owned), "{text}");
        };
        check(
            "https://api.openai.com/v1/",
            Ok("https://api.openai.com/v1"),
        );
        check("http://localhost:11434", Ok("http://localhost:11434"));
        check("api.openai.com", Err(BaseUrlError::Form));
        check("file:///etc/passwd", Err(BaseUrlError::Form));
        check("https://me:pw@host/v1", Err(BaseUrlError::Secret));
        check("https://host/v1?api-key=1", Err(BaseUrlError::Secret));
        check("https://host/v1#k", Err(BaseUrlError::Secret));
    }

    #[test]
    fn keys_go_over_encrypted_lines_or_stay_here() {
        let check = |text: &str, expect: bool| {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!(url.may_have_keys(), expect, "{text}");
        };
        check("https://api.example.com", true);
        check("http://127.0.0.1:8080", true);
        check("http://127.9.9.9", true);
        check("http://[::1]:1", true);
        check("http://localhost", true);
        check("http://api.example.com", false);
        check("http://192.168.0.2:11434", false);
        check("http://127.0.0.1.example.com", false);
        check("http://localhost.example.com", false);
    }

    #[test]
    fn paths_are_below_the_address() {
        let check = |base: &str, path: &str, expect: &str| {
            let base: BaseUrl = base.parse().unwrap();
            assert_eq!(base.below(path).as_str(), expect);
        };
        check(
            "https://a.example/v1",
            "/models",
            "https://a.example/v1/models",
        );
        check(
            "https://a.example/v1/",
            "/models?limit=1",
            "https://a.example/v1/models?limit=1",
        );
        check("https://a.example", "/", "https://a.example/");
    }
}
