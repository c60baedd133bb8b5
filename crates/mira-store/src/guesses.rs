//! Wrong guesses: what the limiter remembers of a sealed blob. The rules are the limiter's; here its words are kept.
//!
//! INVARIANT: whoever tries at the same time sees what the others wrote, and what one wrote is on the disk before it goes on.

use jiff::Timestamp;

use crate::error::StoreError;
use crate::store::{Store, now_ms};
use crate::text;

/// The longest state of a limiter, in bytes.
// LIMIT: a few counters and times as JSON.
pub const GUESS_BYTES_MAX: usize = 4096;

/// The longest key of a blob, in bytes.
// LIMIT: 512 bits in hexadecimal digits.
const KEY_BYTES_MAX: usize = 128;

impl Store {
    /// Changes a limiter's state of a blob while nobody else reads or changes it; returns what `change` returns beside it.
    ///
    /// `change` gets the state that is stored, and says which is to be: JSON text, or nothing where it is to be forgotten. Only
    /// when that is on the disk, its result is returned. A panic in it changes nothing.
    ///
    /// # Errors
    ///
    /// Refuses a key that is not of lower-case hexadecimal digits, and a state that is no JSON or longer than
    /// [`GUESS_BYTES_MAX`].
    pub async fn update_guess<R: Send>(
        &self,
        key: &str,
        change: impl FnOnce(Option<&str>) -> (Option<String>, R) + Send,
    ) -> Result<R, StoreError> {
        let work = async {
            checked_key(key)?;
            let mut transaction = self.write().await?;
            let before: Option<String> =
                sqlx::query_scalar("SELECT state FROM guesses WHERE blob_key = $1")
                    .bind(key)
                    .fetch_optional(&mut *transaction)
                    .await?;
            let (after, result) = change(before.as_deref());
            match &after {
                Some(state) => {
                    checked_state(state)?;
                    sqlx::query(
                        "INSERT INTO guesses (blob_key, state, updated_ms) VALUES ($1, $2, $3)
                         ON CONFLICT (blob_key)
                         DO UPDATE SET state = excluded.state, updated_ms = excluded.updated_ms",
                    )
                    .bind(key)
                    .bind(state)
                    .bind(now_ms())
                    .execute(&mut *transaction)
                    .await?;
                }
                None => {
                    sqlx::query("DELETE FROM guesses WHERE blob_key = $1")
                        .bind(key)
                        .execute(&mut *transaction)
                        .await?;
                }
            }
            transaction.commit().await?;
            Ok(result)
        };
        self.told(work).await
    }

    /// Forgets states that were changed last before a time; returns how many.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn prune_guesses(&self, before: Timestamp) -> Result<u64, StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            let pruned = sqlx::query("DELETE FROM guesses WHERE updated_ms < $1")
                .bind(before.as_millisecond())
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(pruned.rows_affected())
        };
        self.told(work).await
    }
}

fn checked_key(key: &str) -> Result<(), StoreError> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(hex) {
        return Err(StoreError::Unfit {
            what: "the blob's key",
            bytes_max: KEY_BYTES_MAX,
        });
    }
    Ok(())
}

fn checked_state(state: &str) -> Result<(), StoreError> {
    let what = "the limiter's state";
    text::bounded(what, state, GUESS_BYTES_MAX)?;
    match serde_json::from_str::<serde::de::IgnoredAny>(state) {
        Ok(_) => Ok(()),
        Err(_) => Err(StoreError::Unfit {
            what,
            bytes_max: GUESS_BYTES_MAX,
        }),
    }
}
