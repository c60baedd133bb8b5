//! Guesses at passwords, limited by what the database remembers of each encrypted file.

use mira_age::Key;
use mira_package::digest::Digest;
use mira_package::guess::{Clock, FAILURES_MAX, Guesses, Wait};

use super::candidate::{AskKey, KeyWanted};
use super::{InstanceError, Instances};

/// Why a password was not tried, or did not open anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuessError {
    /// No guess is taken at the moment.
    #[error(transparent)]
    Wait(#[from] Wait),
    /// That was not it.
    #[error("{}", wrong(*is_password, *failures))]
    Wrong {
        /// Whether it was a password, rather than an identity.
        is_password: bool,
        /// How many guesses in a row were wrong.
        failures: u32,
    },
}

impl GuessError {
    /// Returns whether the file is locked after too many wrong guesses, or is now.
    #[must_use]
    pub fn is_lock(&self) -> bool {
        match self {
            Self::Wait(wait) => wait.locked,
            Self::Wrong { failures, .. } => *failures >= FAILURES_MAX,
        }
    }
}

fn wrong(is_password: bool, failures: u32) -> String {
    match (is_password, FAILURES_MAX.saturating_sub(failures)) {
        (false, _) => "the identity does not open it: it is encrypted to somebody else".to_owned(),
        (true, 0) => format!(
            "wrong password, {failures} times in a row: it is locked for {} minutes now, for the right password too",
            mira_package::guess::LOCK.as_secs() / 60
        ),
        (true, left) => format!("wrong password; after {left} more there is a lock"),
    }
}

impl Instances {
    /// Asks for a key and tries it; `open` returns nothing for a wrong one.
    ///
    /// A guess at a password is reserved before anything is asked or derived, so that a locked file is told before
    /// somebody types, and counts as wrong until it turned out to be right.
    pub(super) async fn limited<T>(
        &self,
        blob: &Digest,
        wanted: KeyWanted,
        ask: &mut AskKey<'_>,
        open: impl FnOnce(&Key) -> Result<Option<T>, InstanceError>,
    ) -> Result<T, InstanceError> {
        if !wanted.is_password() {
            let wrong = GuessError::Wrong {
                is_password: false,
                failures: 1,
            };
            return open(&ask(wanted)?)?.ok_or_else(|| wrong.into());
        }
        self.may_guess(blob).await?;
        let key = ask(wanted)?;
        self.reserve(blob).await?;
        let opened = open(&key);
        // A damaged file is no wrong guess, but who can tell: it stays counted.
        let found = matches!(opened, Ok(Some(_)));
        let failures = self.conclude(blob, found).await?;
        opened?.ok_or_else(|| {
            GuessError::Wrong {
                is_password: true,
                failures,
            }
            .into()
        })
    }

    /// Says whether a guess would be taken now, and counts none.
    async fn may_guess(&self, blob: &Digest) -> Result<(), InstanceError> {
        let now = Clock::now()?;
        let checked = self
            .store
            .update_guess(&blob.to_string(), |before| {
                let checked = kept(before).map(|state| state.reserve(&now).map(drop));
                let after = match &checked {
                    Ok(Err(wait)) => Some(wait.state.to_json()),
                    _ => before.map(ToOwned::to_owned),
                };
                (after, checked)
            })
            .await??;
        Ok(checked.map_err(GuessError::Wait)?)
    }

    async fn reserve(&self, blob: &Digest) -> Result<(), InstanceError> {
        let now = Clock::now()?;
        let reserved = self
            .store
            .update_guess(&blob.to_string(), |before| match kept(before) {
                Ok(state) => match state.reserve(&now) {
                    Ok(reserved) => (Some(reserved.to_json()), Ok(Ok(()))),
                    Err(wait) => (Some(wait.state.to_json()), Ok(Err(wait))),
                },
                Err(error) => (before.map(ToOwned::to_owned), Err(error)),
            })
            .await??;
        Ok(reserved.map_err(GuessError::Wait)?)
    }

    /// Says how a reserved guess came out; returns how many have failed in a row.
    ///
    /// What others have reserved or concluded meanwhile stays counted: a guess takes longer than the first delays.
    async fn conclude(&self, blob: &Digest, found: bool) -> Result<u32, InstanceError> {
        let now = Clock::now()?;
        self.store
            .update_guess(&blob.to_string(), |before| match kept(before) {
                Ok(_) if found => (None, Ok(0)),
                Ok(state) => {
                    let state = match state.failures() {
                        // Somebody else's was right meanwhile; this one was not.
                        0 => state.reserve(&now).unwrap_or_else(|wait| wait.state),
                        _ => state.on_failure(&now),
                    };
                    (Some(state.to_json()), Ok(state.failures()))
                }
                Err(error) => (before.map(ToOwned::to_owned), Err(error)),
            })
            .await?
    }
}

fn kept(state: Option<&str>) -> Result<Guesses, InstanceError> {
    match state {
        Some(text) => Ok(Guesses::from_json(text)?),
        None => Ok(Guesses::default()),
    }
}
