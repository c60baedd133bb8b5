//! Tokens that change while a program runs: a placeholder stands for one, and its source is asked anew with each request.
//!
//! A placeholder counts as the credentials of `Authorization`, of scheme `Bearer` or `token`, or as the password of `Basic`. Anywhere else it ends the
//! request.
//!
//! INVARIANT: nothing is kept here that a request could carry: what was put into requests is known only so that it is taken out of answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{AUTHORIZATION, HeaderValue};
use http::request::Parts;
use mira_package::manifest::HostPattern;
use mira_secret::SecretBytes;
use zeroize::Zeroizing;

use super::substitute::basic;
use crate::policy::{Reason, Tokens};

/// What a placeholder begins with, and how many letters and digits follow.
const PREFIX: &[u8] = b"mira_ght_";
const RANDOM_CHARACTERS: usize = 40;

/// How long a placeholder is, in bytes.
pub(crate) const PLACEHOLDER_BYTES: usize = PREFIX.len() + RANDOM_CHARACTERS;

/// What a token is called in the record, and where it was taken out of an answer.
pub(crate) const NAME: &str = "GITHUB_TOKEN";

/// Knows tokens by their placeholders.
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// Returns the hosts whose requests may carry one.
    fn hosts(&self) -> Vec<HostPattern>;

    /// Returns the token that a request may carry, or why it may not. It is asked for each request, and decides each time.
    fn token<'a>(&'a self, asked: TokenRequest<'a>) -> Asking<'a>;

    /// Hears that an instance is gone, and its placeholders with it.
    fn ended(&self, instance: &str);
}

/// A token on its way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Result<Arc<SecretBytes>, Box<str>>> + Send + 'a>>;

/// A request that holds a placeholder.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// The placeholder.
    pub placeholder: &'a str,
    /// The id of the instance that sends it.
    pub instance: &'a str,
    /// The host that it is for, as the policy knows it.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// Whether it goes over TLS.
    pub secure: bool,
    /// Its path, without a query, as it was sent.
    pub path: &'a str,
}

/// Where a request with a placeholder goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) secure: bool,
}

/// Returns where a placeholder stands in a text.
pub(crate) fn find(text: &[u8]) -> Option<std::ops::Range<usize>> {
    let mut starts = text.windows(PLACEHOLDER_BYTES).enumerate();
    let is_one = |window: &[u8]| {
        let rest = window.strip_prefix(PREFIX);
        rest.is_some_and(|rest| rest.iter().all(u8::is_ascii_alphanumeric))
    };
    let (start, _) = starts.find(|(_, window)| is_one(window))?;
    Some(start..start + PLACEHOLDER_BYTES)
}

/// Returns whether a placeholder stands in a header's value, in `Basic` credentials too.
pub(crate) fn stands_in(value: &[u8]) -> bool {
    find(value).is_some()
        || basic(value).is_some_and(|(_, credentials)| find(&credentials).is_some())
}

/// Puts a token into the request's credentials, if they are a placeholder; returns the token.
///
/// # Errors
///
/// Returns why the request is refused.
pub(crate) async fn fill(
    tokens: &Tokens,
    to: Destination<'_>,
    request: &mut Parts,
) -> Result<Option<Arc<SecretBytes>>, Reason> {
    let mut values = request.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        // None; or several, of which each is refused if a placeholder is in it.
        return Ok(None);
    };
    let Some((before, placeholder, scheme)) = credentials(value.as_bytes()) else {
        return Ok(None);
    };
    let asked = TokenRequest {
        placeholder: &placeholder,
        instance: &tokens.instance,
        host: to.host,
        port: to.port,
        secure: to.secure,
        path: request.uri.path(),
    };
    let token = tokens.source.token(asked).await.map_err(Reason::Token)?;
    // Growing would leave copies behind that are not wiped.
    let room = before.len() + token.len();
    let mut full = Zeroizing::new(Vec::with_capacity(scheme.len() + 4 * room.div_ceil(3) + 4));
    full.extend_from_slice(&scheme);
    let mut plain = Zeroizing::new(Vec::with_capacity(room));
    plain.extend_from_slice(&before);
    // EXPOSE: to the request to the installation's own API host, in the place of its placeholder.
    plain.extend_from_slice(token.expose());
    match before.is_empty() {
        true => full.extend_from_slice(&plain),
        false => full.extend_from_slice(Zeroizing::new(BASE64.encode(&plain)).as_bytes()),
    }
    let full = HeaderValue::from_maybe_shared(Bytes::from_owner(full));
    let mut full = full.map_err(|_| Reason::Token("the token cannot stand in a header".into()))?;
    full.set_sensitive(true);
    request.headers.insert(AUTHORIZATION, full);
    Ok(Some(token))
}

/// What stands before the placeholder in `Basic` credentials, the placeholder, and the scheme with its blank.
type Credentials = (Vec<u8>, String, Vec<u8>);

/// Returns the parts of credentials that are a placeholder and nothing else.
fn credentials(value: &[u8]) -> Option<Credentials> {
    let (scheme, before, rest) = match basic(value) {
        Some((scheme, decoded)) => {
            let colon = decoded.iter().position(|byte| *byte == b':')?;
            let (user, password) = decoded.split_at_checked(colon + 1)?;
            // Some have the token as the user, with no password, or with a word that means nothing.
            match find(user) {
                Some(_) => return None,
                None => (scheme, user.to_vec(), password.to_vec()),
            }
        }
        None => {
            let blank = value.iter().position(|byte| *byte == b' ')?;
            let (scheme, rest) = value.split_at_checked(blank + 1)?;
            let word = scheme.trim_ascii();
            let known = word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"token");
            known.then(|| (scheme, Vec::new(), rest.trim_ascii().to_vec()))?
        }
    };
    let is_all = find(&rest) == Some(0..rest.len());
    let placeholder = String::from_utf8(rest).ok().filter(|_| is_all)?;
    Some((before, placeholder, scheme.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACEHOLDER: &str = "mira_ght_abcdefghijABCDEFGHIJ0123456789abcdefghij";

    #[test]
    fn a_placeholder_is_found_by_its_form() {
        assert_eq!(find(PLACEHOLDER.as_bytes()), Some(0..PLACEHOLDER_BYTES));
        let inside = format!("x={PLACEHOLDER}&y");
        assert_eq!(find(inside.as_bytes()), Some(2..2 + PLACEHOLDER_BYTES));
        assert_eq!(
            find(b"mira_ght_ is what they begin with, and then come letters"),
            None
        );
        assert_eq!(find(b"mira_ght_short"), None);
        assert!(stands_in(
            format!("Basic {}", BASE64.encode(inside.as_bytes())).as_bytes()
        ));
    }

    #[test]
    fn credentials_are_a_placeholder_or_they_are_not() {
        let check = |value: &str, expect: bool| {
            let found = credentials(value.as_bytes());
            assert_eq!(found.is_some(), expect, "{value}");
            if let Some((_, placeholder, _)) = found {
                assert_eq!(placeholder, PLACEHOLDER);
            }
        };
        let pair = |text: String| format!("Basic {}", BASE64.encode(text.as_bytes()));
        check(&format!("Bearer {PLACEHOLDER}"), true);
        check(&format!("bearer  {PLACEHOLDER}"), true);
        check(&format!("token {PLACEHOLDER}"), true);
        check(&pair(format!("x-access-token:{PLACEHOLDER}")), true);
        check(&pair(format!("{PLACEHOLDER}:x-oauth-basic")), false);
        check(&format!("Bearer x{PLACEHOLDER}"), false);
        check(&format!("Bearer {PLACEHOLDER}x"), false);
        check(&format!("Digest {PLACEHOLDER}"), false);
        check(PLACEHOLDER, false);
        check("Bearer ghp_something", false);
    }
}
