//! One-time links: what the command line prints so that somebody gets in without a password, once.
//!
//! INVARIANT: a link is used by one at most, whoever tries at the same time: it is removed in the step that reads it.

use jiff::Timestamp;

use crate::shared::Shared;
use crate::shared::error::SharedError;
use crate::shared::token::LinkToken;
use crate::shared::words::words;

words! {
    /// What a one-time link is for.
    LinkPurpose {
        /// Signs in who owns the home.
        LocalOwner = "local_owner",
        /// Lets the first admin choose a name and a password.
        FirstAdmin = "first_admin",
    }
}

impl Shared {
    /// Makes a one-time link's token, which is never returned again.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn make_link(
        &self,
        purpose: LinkPurpose,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<LinkToken, SharedError> {
        let work = async {
            let token = LinkToken::make_random()?;
            let hash = token.hash();
            let values = [
                hash.as_str().into(),
                purpose.as_str().into(),
                now.into(),
                expires.into(),
            ];
            let sql = "INSERT INTO links (link_hash, purpose, made_ms, expires_ms) VALUES ($1, $2, $3, $4)";
            self.pools().execute(sql, &values).await?;
            Ok(token)
        };
        self.told(work).await
    }

    /// Uses a link up; returns what it was for, or nothing if it is unknown, was used, or is too old.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn use_link(
        &self,
        token: &LinkToken,
        now: Timestamp,
    ) -> Result<Option<LinkPurpose>, SharedError> {
        let work = async {
            let hash = token.hash();
            let sql = "DELETE FROM links WHERE link_hash = $1 RETURNING purpose, expires_ms";
            let Some(row) = self.pools().row(sql, &[hash.as_str().into()]).await? else {
                return Ok(None);
            };
            let is_fresh = row.time("expires_ms")? > now;
            Ok(is_fresh.then(|| row.parsed("purpose")).transpose()?)
        };
        self.told(work).await
    }
}
