//! Brokered secrets: put into requests that may carry them, and taken out of what comes back.
//!
//! INVARIANT: a value goes into a header, or into a parameter of a query that the policy names, of a request to a host that the policy names for it, and
//! nowhere else. A placeholder that stands anywhere else ends the request before it is sent, or before it is sent whole.

pub(crate) mod aws;
mod placeholder;
mod scrub;
mod substitute;
pub(crate) mod token;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aho_corasick::{AhoCorasick, MatchKind};
use arc_swap::ArcSwap;
use mira_redact::NeedleSet;
use mira_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::policy::{Brokered, Policy, Reason};

pub use placeholder::placeholder;
pub(crate) use scrub::{Encoding, Scrubbed, encoding, last_of, scrub_headers, scrub_whole};

/// The secrets of a policy, ready to be looked for.
pub(crate) struct Broker {
    /// Finds placeholders: a pattern's number is the secret's place in the policy. There is none without secrets.
    placeholders: Option<AhoCorasick>,
    /// How long the shortest placeholder is, in bytes, and the longest.
    shortest: usize,
    longest: usize,
    /// Whether there are placeholders of tokens too.
    has_tokens: bool,
    /// Finds values.
    needles: ArcSwap<NeedleSet>,
    /// The tokens that went out, which are among those values.
    gone_out: Mutex<Vec<(Instant, Arc<SecretBytes>)>>,
}

/// So many tokens that went out are looked for in answers, the latest.
// LIMIT: a service works on fewer repositories at once.
const TOKENS_LOOKED_FOR: usize = 64;

/// For so long a token is looked for.
// LIMIT: after an hour it is worth nothing to anybody.
const TOKENS_LAST: Duration = Duration::from_secs(60 * 60);

impl Broker {
    pub(crate) fn new(policy: &Policy) -> Self {
        let placeholders = || policy.secrets().iter().map(|secret| &*secret.placeholder);
        let has_tokens = policy.tokens().is_some();
        let longest = placeholders().map(str::len).max().unwrap_or(0);
        Self {
            placeholders: (!policy.secrets().is_empty()).then(|| {
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(placeholders())
                    .expect("placeholders are few and short")
            }),
            shortest: placeholders().map(str::len).min().unwrap_or(0),
            longest: match has_tokens {
                true => longest.max(token::PLACEHOLDER_BYTES),
                false => longest,
            },
            has_tokens,
            needles: ArcSwap::from_pointee(needles(policy, [])),
            gone_out: Mutex::default(),
        }
    }

    /// Takes note of a token that is about to go out, so that it is taken out of answers from now on.
    pub(crate) fn goes_out(&self, policy: &Policy, token: &Arc<SecretBytes>) {
        let mut gone_out = self.gone_out.lock().unwrap_or_else(PoisonError::into_inner);
        if gone_out.iter().any(|(_, known)| Arc::ptr_eq(known, token)) {
            return;
        }
        gone_out.retain(|(since, _)| since.elapsed() < TOKENS_LAST);
        if gone_out.len() >= TOKENS_LOOKED_FOR {
            gone_out.remove(0);
        }
        gone_out.push((Instant::now(), Arc::clone(token)));
        let tokens = gone_out.iter().map(|(_, token)| &**token);
        self.needles.store(Arc::new(needles(policy, tokens)));
    }

    /// Returns whether there is anything to be looked for.
    fn is_needed(&self) -> bool {
        self.placeholders.is_some() || self.has_tokens
    }

    /// Refuses a placeholder of a token where none may stand.
    fn forbid_token(&self, is_there: bool) -> Result<(), Reason> {
        match self.has_tokens && is_there {
            true => Err(Reason::Token(
                "the placeholder of a token in a wrong place".into(),
            )),
            false => Ok(()),
        }
    }

    /// Returns what answers are searched for.
    pub(crate) fn needles(&self) -> Arc<NeedleSet> {
        self.needles.load_full()
    }

    /// Begins to look for placeholders where none belongs: in a body.
    pub(crate) fn watch(&self) -> Option<Watch> {
        self.is_needed().then(Watch::default)
    }

    /// Returns what finds placeholders in a text, if it is long enough for one.
    fn finder(&self, text: &[u8]) -> Option<&AhoCorasick> {
        let finder = self.placeholders.as_ref();
        finder.filter(|_| text.len() >= self.shortest)
    }

    /// Returns the secret whose placeholder stands in a text.
    fn find<'a>(&self, policy: &'a Policy, text: &[u8]) -> Option<&'a Brokered> {
        let found = self.finder(text)?.find(text)?;
        policy.secrets().get(found.pattern().as_usize())
    }

    /// Refuses a text that a placeholder stands in.
    fn forbid(&self, policy: &Policy, text: &[u8]) -> Result<(), Reason> {
        self.forbid_token(self.has_tokens && token::find(text).is_some())?;
        let found = self.find(policy, text);
        found.map_or(Ok(()), |secret| {
            Err(Reason::Placeholder(secret.name.clone()))
        })
    }
}

/// Returns what is taken out of answers.
fn needles<'a>(policy: &Policy, tokens: impl IntoIterator<Item = &'a SecretBytes>) -> NeedleSet {
    let mut needles = NeedleSet::builder();
    let mut add = |name: &str, value: &[u8]| {
        needles.add(name, value);
        // As the name of a header it is in lower case.
        let lowered = Zeroizing::new(value.to_ascii_lowercase());
        if *lowered != value {
            needles.add(name, &lowered);
        }
    };
    for secret in policy.secrets() {
        // EXPOSE: to the set of what is taken out of answers, which locks and wipes it.
        add(secret.name.as_str(), secret.value.expose());
    }
    for token in tokens {
        // EXPOSE: to the same set.
        add(token::NAME, token.expose());
    }
    needles.build()
}

/// So much of a body is searched for placeholders.
// LIMIT: a program that puts a placeholder into a body is told so by its first attempts; what is sent on is no secret.
const WATCHED_BYTES_MAX: usize = 64 * 1024;

/// What was seen of a body that is searched for placeholders.
#[derive(Default)]
pub(crate) struct Watch {
    seen: usize,
    /// The end of what was seen, in which a placeholder may have begun.
    tail: Vec<u8>,
}

impl Watch {
    /// Looks at the next piece of the body.
    ///
    /// # Errors
    ///
    /// Returns why the request ends here, if a placeholder is in there.
    pub(crate) fn look(
        &mut self,
        broker: &Broker,
        policy: &Policy,
        piece: &[u8],
    ) -> Result<(), Reason> {
        let left = WATCHED_BYTES_MAX.saturating_sub(self.seen);
        let (piece, _) = piece.split_at(piece.len().min(left));
        if piece.is_empty() {
            return Ok(());
        }
        self.seen += piece.len();
        broker.forbid(policy, piece)?;
        if !self.tail.is_empty() {
            let (head, _) = piece.split_at(piece.len().min(broker.longest));
            self.tail.extend_from_slice(head);
            broker.forbid(policy, &self.tail)?;
        }
        if piece.len() >= broker.longest {
            self.tail.clear();
        }
        let (_, end) = piece.split_at(piece.len().saturating_sub(broker.longest));
        if self.tail.is_empty() {
            self.tail.extend_from_slice(end);
        }
        let excess = self.tail.len().saturating_sub(broker.longest);
        self.tail.drain(..excess);
        Ok(())
    }
}
