//! What an event says of itself: the little that is needed to find out who takes it, and in which order.
//!
//! INVARIANT: only a body that was signed gets here; whatever is in it, it is understood or refused, and takes no stack, however deep it is nested.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// An event that was accepted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The sender's id of it (`X-GitHub-Delivery`).
    pub sent_id: &'a str,
    /// What kind of event (`X-GitHub-Event`).
    pub name: &'a str,
    /// What happened.
    pub action: Option<&'a str>,
    /// The id of the App that it was sent to, if it was one.
    pub sent_to: Option<&'a str>,
    /// The installation that it is about.
    pub installation: Option<u64>,
    /// The repository that it is about.
    pub repository: Option<Repository<'a>>,
    /// The pull request or issue that it is about.
    pub number: Option<u64>,
    /// The content, as it was signed.
    pub body: &'a str,
}

/// A repository, as an event names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repository<'a> {
    /// Its id.
    pub id: u64,
    /// Its name, with its owner's.
    pub full_name: &'a str,
}

impl Event<'_> {
    /// Returns what events are kept in order by: all about one pull request or issue, else about one repository, else about one
    /// installation. Numbers are those of the sender, which do not change with a name.
    pub(crate) fn order_key(&self, target: &str) -> String {
        let about = match (self.repository, self.installation) {
            (Some(repository), _) => format!("repository {}", repository.id),
            (None, Some(installation)) => format!("installation {installation}"),
            (None, None) => "nothing".to_owned(),
        };
        match self.number {
            Some(number) => format!("{target} {about} {number}"),
            None => format!("{target} {about}"),
        }
    }
}

/// What is read of a body.
#[derive(Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) action: Option<Cow<'a, str>>,
    installation: Option<Thing<'a>>,
    repository: Option<Thing<'a>>,
    pull_request: Option<Thing<'a>>,
    issue: Option<Thing<'a>>,
}

/// What is read of an object that an event is about.
#[derive(Debug, Default)]
struct Thing<'a> {
    id: Option<u64>,
    number: Option<u64>,
    full_name: Option<Cow<'a, str>>,
}

/// Says that a body is no event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Facts<'a> {
    /// Reads a body: a JSON object, in UTF-8.
    pub(crate) fn read(body: &'a [u8]) -> Result<(Self, &'a str), Malformed> {
        let text = std::str::from_utf8(body).map_err(|_| Malformed)?;
        let facts: Self = serde_json::from_str(text).map_err(|_| Malformed)?;
        let has_id = |thing: &Option<Thing<'_>>| thing.as_ref().is_none_or(|one| one.id.is_some());
        let has_number =
            |thing: &Option<Thing<'_>>| thing.as_ref().is_none_or(|one| one.number.is_some());
        let is_named = facts.repository.is_none() || facts.repository().is_some();
        let is_whole = has_id(&facts.installation)
            && is_named
            && has_number(&facts.pull_request)
            && has_number(&facts.issue);
        is_whole.then_some((facts, text)).ok_or(Malformed)
    }

    /// The id of the installation.
    pub(crate) fn installation(&self) -> Option<u64> {
        self.installation.as_ref()?.id
    }

    /// The repository.
    pub(crate) fn repository(&self) -> Option<Repository<'_>> {
        let repository = self.repository.as_ref()?;
        Some(Repository {
            id: repository.id?,
            full_name: repository.full_name.as_deref()?,
        })
    }

    /// The number of the pull request or issue: they are counted together.
    pub(crate) fn number(&self) -> Option<u64> {
        self.pull_request.as_ref().or(self.issue.as_ref())?.number
    }
}

/// An object of which some members are read, each once. The others are checked to be JSON and skipped.
trait Members<'de>: Default {
    /// Reads the value of a member that counts; returns false where it does not count, and was not read.
    fn read<A: MapAccess<'de>>(&mut self, name: &str, from: &mut A) -> Result<bool, A::Error>;
}

impl<'de> Members<'de> for Facts<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, from: &mut A) -> Result<bool, A::Error> {
        match name {
            "action" => text(&mut self.action, from)?,
            "installation" => once(&mut self.installation, from)?,
            "repository" => once(&mut self.repository, from)?,
            "pull_request" => once(&mut self.pull_request, from)?,
            "issue" => once(&mut self.issue, from)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de> Members<'de> for Thing<'de> {
    fn read<A: MapAccess<'de>>(&mut self, name: &str, from: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => once(&mut self.id, from)?,
            "number" => once(&mut self.number, from)?,
            "full_name" => text(&mut self.full_name, from)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Reads a value that may be null into its place, once.
fn once<'de, T, A>(place: &mut Option<T>, from: &mut A) -> Result<(), A::Error>
where
    T: Deserialize<'de>,
    A: MapAccess<'de>,
{
    match place {
        None => *place = from.next_value()?,
        Some(_) => return Err(A::Error::custom("a member stands there twice")),
    }
    Ok(())
}

fn text<'de, A>(place: &mut Option<Cow<'de, str>>, from: &mut A) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
{
    let mut read = place.take().map(Text);
    once(&mut read, from)?;
    *place = read.map(|Text(text)| text);
    Ok(())
}

/// A text, borrowed where it stands in the body as it is.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Facts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Thing<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object(PhantomData))
    }
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Members<'de>> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<T, A::Error> {
        let mut read = T::default();
        while let Some(Text(name)) = members.next_key()? {
            if !read.read(&name, &mut members)? {
                let IgnoredAny = members.next_value()?;
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_of_known_form_is_malformed() {
        let deep = format!(
            "{{\"issue\":{}{}}}",
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        for wrong in [
            b"" as &[u8],
            b"Hello, World!",
            b"null",
            b"[]",
            b"7",
            b"{\"action\":\"opened\"",
            b"{\"action\":\"opened\"} x",
            b"payload=%7B%22action%22%3A%22opened%22%7D",
            b"{\"action\":\"\xff\"}",
            b"{\"other\":\"\xff\"}",
            b"{\"action\":7}",
            b"{\"installation\":\"x\"}",
            b"{\"installation\":{\"id\":-1}}",
            b"{\"installation\":{\"id\":1},\"installation\":{\"id\":2}}",
            b"{\"installation\":{\"id\":1,\"id\":2}}",
            b"{\"installation\":[1]}",
            b"{\"repository\":{}}",
            b"{\"repository\":{\"id\":1}}",
            b"{\"issue\":{\"id\":1}}",
            b"{\"pull_request\":{\"number\":null}}",
            b"{\"a\":\"\x00\"}",
            deep.as_bytes(),
        ] {
            let short = wrong.get(..40).unwrap_or(wrong);
            assert!(Facts::read(wrong).is_err(), "{short:?}");
        }
    }

    #[test]
    fn what_is_skipped_may_be_nested_as_deep_as_it_likes() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let body = format!(r#"{{"a":{deep},"issue":{{"b":{deep},"number":7}}}}"#);
        let (facts, _) = Facts::read(body.as_bytes()).unwrap();
        assert_eq!(facts.number(), Some(7));
    }

    #[test]
    fn what_is_null_or_absent_is_nothing() {
        let body = br#"{"action":null,"installation":null,"repository":null,"pull_request":null,"issue":null}"#;
        for body in [body.as_slice(), b"{}"] {
            let (facts, text) = Facts::read(body).unwrap();
            assert!(facts.action.is_none() && facts.installation().is_none());
            assert!(facts.repository().is_none() && facts.number().is_none());
            assert_eq!(text.as_bytes(), body);
        }
    }

    #[test]
    fn events_about_the_same_thing_have_the_same_key() {
        let key = |body: &str| {
            let (facts, body) = Facts::read(body.as_bytes()).unwrap();
            let event = Event {
                sent_id: "1",
                name: "x",
                action: facts.action.as_deref(),
                sent_to: None,
                installation: facts.installation(),
                repository: facts.repository(),
                number: facts.number(),
                body,
            };
            event.order_key("app/one")
        };
        let pull = key(r#"{"repository":{"id":5,"full_name":"a/b"},"pull_request":{"number":3}}"#);
        let comment =
            key(r#"{"repository":{"id":5,"full_name":"a\/renamed"},"issue":{"number":3}}"#);
        assert_eq!(pull, comment);
        let other = key(r#"{"repository":{"id":6,"full_name":"a/b"},"pull_request":{"number":3}}"#);
        assert_ne!(pull, other);
        let push = key(r#"{"repository":{"id":5,"full_name":"a/b"},"installation":{"id":3}}"#);
        let installed = key(r#"{"installation":{"id":5}}"#);
        assert_eq!(
            (push.as_str(), installed.as_str()),
            ("app/one repository 5", "app/one installation 5")
        );
    }
}
