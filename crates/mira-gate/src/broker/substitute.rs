//! Puts values in the place of their placeholders, in the head of a request.
//!
//! A placeholder counts where it stands as it is, where it is percent-encoded in the target, and inside of `Basic` credentials. Everything
//! that holds a value afterwards is marked sensitive and wiped when the request is gone; what TLS and HTTP make of it on the way out is theirs.

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode};
use zeroize::Zeroizing;

use super::{Broker, token};
use crate::policy::{Brokered, Policy, Reason};

/// What stays as it is in a query: the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The secrets that were put into a request, by their place in the policy.
pub(crate) type Used = Vec<usize>;

/// Bytes with a value in them.
type Wiped = Zeroizing<Vec<u8>>;

impl Broker {
    /// Puts values into the head of a request, of which `mine` (places in the policy) are those that the request's host may get.
    ///
    /// # Errors
    ///
    /// Returns why the request is refused, if a placeholder stands where its value may not go, or a value cannot stand where its placeholder does.
    pub(crate) fn substitute(
        &self,
        policy: &Policy,
        mine: &[usize],
        request: &mut Parts,
    ) -> Result<Used, Reason> {
        let mut used = Used::new();
        if !self.is_needed() {
            return Ok(used);
        }
        self.forbid(policy, request.method.as_str().as_bytes())?;
        for (name, value) in &mut request.headers {
            self.forbid_name(policy, name)?;
            self.forbid_token(token::stands_in(value.as_bytes()))?;
            if let Some(full) = self.header(policy, mine, value, &mut used)? {
                *value = full;
            }
        }
        self.target(policy, mine, request, &mut used)?;
        Ok(used)
    }

    /// Refuses a placeholder in trailers, which come when the head has gone.
    pub(crate) fn forbid_in(
        &self,
        policy: &Policy,
        trailers: &http::HeaderMap,
    ) -> Result<(), Reason> {
        trailers.iter().try_for_each(|(name, value)| {
            self.forbid_name(policy, name)?;
            self.forbid_token(token::stands_in(value.as_bytes()))?;
            self.forbid(policy, value.as_bytes())
        })
    }

    /// Header names have lost their case, so they are compared without it.
    fn forbid_name(&self, policy: &Policy, name: &HeaderName) -> Result<(), Reason> {
        self.forbid_token(token::find(name.as_str().as_bytes()).is_some())?;
        let in_name = |secret: &&Brokered| {
            secret.placeholder.len() <= name.as_str().len()
                && name
                    .as_str()
                    .contains(&secret.placeholder.to_ascii_lowercase())
        };
        match policy.secrets().iter().find(in_name) {
            Some(secret) => Err(Reason::Placeholder(secret.name.clone())),
            None => Ok(()),
        }
    }

    /// Returns what a header's value becomes, if it changes.
    fn header(
        &self,
        policy: &Policy,
        mine: &[usize],
        value: &HeaderValue,
        used: &mut Used,
    ) -> Result<Option<HeaderValue>, Reason> {
        let allowed = |_: &Brokered| true;
        let text = value.as_bytes();
        let full = match basic(text) {
            Some((scheme, credentials)) => {
                let filled = self.fill(policy, mine, &credentials, allowed, raw, used)?;
                filled.map(|plain| {
                    let mut full = Wiped::new(scheme.to_vec());
                    let encoded = Zeroizing::new(BASE64.encode(&plain));
                    full.extend_from_slice(encoded.as_bytes());
                    full
                })
            }
            None => self.fill(policy, mine, text, allowed, raw, used)?,
        };
        let Some(full) = full else { return Ok(None) };
        let full = HeaderValue::from_maybe_shared(Bytes::from_owner(full));
        let mut full = full.map_err(|_| self.unfit(policy, used))?;
        full.set_sensitive(true);
        Ok(Some(full))
    }

    /// Puts values into the parameters of the query that may have them.
    fn target(
        &self,
        policy: &Policy,
        mine: &[usize],
        request: &mut Parts,
        used: &mut Used,
    ) -> Result<(), Reason> {
        let path = request.uri.path();
        let escaped = path.contains('%') || request.uri.query().is_some_and(|q| q.contains('%'));
        self.forbid(policy, &decoded(path))?;
        let Some(query) = request.uri.query() else {
            return Ok(());
        };
        self.forbid_token(token::find(&decoded(query)).is_some())?;
        if !escaped && self.find(policy, query.as_bytes()).is_none() {
            return Ok(());
        }
        let mut pairs: Vec<(&str, Option<Wiped>)> = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain_name = decoded(name);
            self.forbid(policy, &plain_name)?;
            let allowed = |secret: &Brokered| {
                let mut names = secret.query.iter().map(|name| name.as_bytes());
                names.any(|name| name == &*plain_name)
            };
            match self.fill(policy, mine, &decoded(value), allowed, escape, used)? {
                Some(full) => pairs.push((name, Some(full))),
                None => pairs.push((pair, None)),
            }
        }
        let values = pairs.iter().filter_map(|(_, full)| full.as_ref());
        let grown: usize = values.map(|full| full.len() + 1).sum();
        if grown == 0 {
            return Ok(());
        }
        let room = path.len() + 1 + query.len() + grown;
        let mut full = Wiped::new(Vec::with_capacity(room));
        full.extend_from_slice(path.as_bytes());
        for (number, (text, value)) in pairs.iter().enumerate() {
            full.push(if number == 0 { b'?' } else { b'&' });
            full.extend_from_slice(text.as_bytes());
            if let Some(value) = value {
                full.push(b'=');
                full.extend_from_slice(value);
            }
        }
        let unfit = |_| self.unfit(policy, used);
        let target = PathAndQuery::from_maybe_shared(Bytes::from_owner(full)).map_err(unfit)?;
        let mut uri = std::mem::take(&mut request.uri).into_parts();
        uri.path_and_query = Some(target);
        request.uri = http::Uri::from_parts(uri).unwrap_or_default();
        Ok(())
    }

    /// Returns a text with values in the place of their placeholders, if there are any.
    fn fill(
        &self,
        policy: &Policy,
        mine: &[usize],
        text: &[u8],
        allowed: impl Fn(&Brokered) -> bool,
        write: fn(&[u8], &mut Wiped),
        used: &mut Used,
    ) -> Result<Option<Wiped>, Reason> {
        let Some(finder) = self.finder(text) else {
            return Ok(None);
        };
        let mut found = Vec::new();
        let mut room = text.len();
        for place in finder.find_iter(text) {
            let number = place.pattern().as_usize();
            let secret = policy.secrets().get(number);
            let secret = secret.expect("a pattern is a placeholder of the policy");
            if !mine.contains(&number) || !allowed(secret) {
                return Err(Reason::Placeholder(secret.name.clone()));
            }
            used.retain(|other| *other != number);
            used.push(number);
            room += secret.value.len();
            found.push((place.range(), secret));
        }
        if found.is_empty() {
            return Ok(None);
        }
        // Growing would leave copies behind that are not wiped, so there is room for everything at once, percent-encoded too.
        let mut full = Wiped::new(Vec::with_capacity(3 * room));
        let mut done = 0;
        for (place, secret) in found {
            write(text.get(done..place.start).unwrap_or_default(), &mut full);
            // EXPOSE: to the request to a host that the policy names for it, in the place of its placeholder.
            write(secret.value.expose(), &mut full);
            done = place.end;
        }
        write(text.get(done..).unwrap_or_default(), &mut full);
        Ok(Some(full))
    }

    /// Returns that the value which was put in last makes the request one that cannot be sent.
    fn unfit(&self, policy: &Policy, used: &Used) -> Reason {
        let last = used.last().and_then(|place| policy.secrets().get(*place));
        last.map_or(Reason::Malformed("request"), |secret| {
            Reason::Unfit(secret.name.clone())
        })
    }
}

fn raw(text: &[u8], to: &mut Wiped) {
    to.extend_from_slice(text);
}

fn escape(text: &[u8], to: &mut Wiped) {
    for piece in percent_encoding::percent_encode(text, ESCAPED) {
        to.extend_from_slice(piece.as_bytes());
    }
}

fn decoded(text: &str) -> std::borrow::Cow<'_, [u8]> {
    percent_decode(text.as_bytes()).into()
}

/// Returns the scheme with its blank, and what is in the credentials, if a header's value is `Basic` credentials.
pub(super) fn basic(value: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let (scheme, credentials) = value.split_at_checked(6)?;
    let is_basic = scheme.eq_ignore_ascii_case(b"basic ");
    let credentials = is_basic.then(|| credentials.trim_ascii())?;
    Some((scheme, BASE64.decode(credentials).ok()?))
}
