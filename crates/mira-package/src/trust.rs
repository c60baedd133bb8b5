//! Whether a package is to be trusted: a pure rule over its signature, the key that it names and the key that is remembered.
//!
//! INVARIANT: without a valid signature by the remembered key, nothing that was given to an instance goes to an update of it
//! unless the user has agreed.

use crate::signature::{PublisherKey, Signature};

/// What is known of a package's publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Signed by the publisher that is remembered.
    Trusted,
    /// Signed, by a publisher that is not remembered.
    NewPublisher,
    /// Not signed, or by a key that nobody here knows.
    Unsigned,
    /// Signed, and the signature does not hold; or signed by another key than the one that the package names.
    Tampered,
}

/// Whether a package may have the secrets of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Secrets {
    /// It may.
    Given,
    /// It may once the user has agreed to this very package.
    AfterAgreement,
    /// It may not, whatever the user says.
    Refused,
}

/// A judgement of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Judgement {
    /// What is known of its publisher.
    pub trust: Trust,
    /// Whether it may have the instance's secrets.
    pub secrets: Secrets,
}

impl Trust {
    /// Returns the word for it, as commands and documents have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::NewPublisher => "new publisher",
            Self::Unsigned => "unsigned",
            Self::Tampered => "tampered",
        }
    }
}

/// Judges a package.
///
/// `declared` is the publisher's key in its manifest; `remembered` the key that the instance, or else the app, was seen with.
/// With nothing remembered the user is opening this app for the first time, and sees what is opened: that is the agreement.
#[must_use]
pub fn judge(
    signature: &Signature,
    declared: Option<&PublisherKey>,
    remembered: Option<&PublisherKey>,
) -> Judgement {
    let trust = match signature {
        Signature::Invalid => Trust::Tampered,
        Signature::Missing => Trust::Unsigned,
        // It names a key, and is signed by one that is not that: somebody has signed a foreign package anew.
        Signature::UnknownKey { .. } if declared.is_some() => Trust::Tampered,
        Signature::UnknownKey { .. } => Trust::Unsigned,
        Signature::Valid { key } if Some(key) == remembered => Trust::Trusted,
        Signature::Valid { key } if declared.is_some_and(|declared| declared != key) => {
            Trust::Tampered
        }
        Signature::Valid { .. } => Trust::NewPublisher,
    };
    let secrets = match trust {
        Trust::Tampered => Secrets::Refused,
        Trust::Trusted => Secrets::Given,
        Trust::NewPublisher | Trust::Unsigned if remembered.is_none() => Secrets::Given,
        Trust::NewPublisher | Trust::Unsigned => Secrets::AfterAgreement,
    };
    Judgement { trust, secrets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_judged() {
        let [a, b] = [(); 2].map(|()| PublisherKey::dangerous_random());
        let valid = |key: &PublisherKey| Signature::Valid { key: key.clone() };
        let unknown = || Signature::UnknownKey { id: "0".into() };
        let check = |signature: Signature, declared, remembered, trust, secrets| {
            let found = judge(&signature, declared, remembered);
            assert_eq!(
                found,
                Judgement { trust, secrets },
                "{signature:?} {declared:?} {remembered:?}"
            );
        };
        let (none, a_, b_) = (None, Some(&a), Some(&b));
        use {Secrets::*, Trust::*};
        for declared in [none, a_, b_] {
            for remembered in [none, a_, b_] {
                check(Signature::Invalid, declared, remembered, Tampered, Refused);
            }
            check(Signature::Missing, declared, none, Unsigned, Given);
            check(Signature::Missing, declared, a_, Unsigned, AfterAgreement);
            // The remembered key may hand over to another one.
            check(valid(&a), declared, a_, Trusted, Given);
        }
        check(valid(&a), none, none, NewPublisher, Given);
        check(valid(&a), a_, none, NewPublisher, Given);
        check(valid(&a), b_, none, Tampered, Refused);
        check(valid(&a), none, b_, NewPublisher, AfterAgreement);
        check(valid(&a), a_, b_, NewPublisher, AfterAgreement);
        check(valid(&a), b_, b_, Tampered, Refused);
        check(unknown(), none, none, Unsigned, Given);
        check(unknown(), none, a_, Unsigned, AfterAgreement);
        check(unknown(), a_, none, Tampered, Refused);
        check(unknown(), a_, a_, Tampered, Refused);
    }
}
