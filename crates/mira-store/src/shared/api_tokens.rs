//! API tokens: what scripts sign in with, each on behalf of a user.
//!
//! INVARIANT: a token never reaches further than its user does at that moment.

use jiff::Timestamp;

use crate::shared::Shared;
use crate::shared::backend::Row;
use crate::shared::error::SharedError;
use crate::shared::id::{ApiTokenId, UserId};
use crate::shared::sessions::is_news;
use crate::shared::token::ApiToken;
use crate::shared::users::{User, user_columns};
use crate::shared::words::words;
use crate::text;

words! {
    /// What a token may be used for; each scope includes the ones before it.
    TokenScope {
        /// To look.
        Read = "read",
        /// To run apps too.
        Operate = "operate",
        /// For everything.
        Admin = "admin",
    }
}

/// An API token to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewApiToken<'a> {
    /// On whose behalf it acts.
    pub user: &'a UserId,
    /// What people call it.
    pub name: &'a str,
    /// What it may be used for.
    pub scope: TokenScope,
    /// When it ends, if ever.
    pub expires: Option<Timestamp>,
}

/// An API token as it is listed: all but the token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiTokenEntry {
    /// Its id, which is not the token.
    pub id: ApiTokenId,
    /// On whose behalf it acts.
    pub user: UserId,
    /// What people call it.
    pub name: String,
    /// What it may be used for, as far as its user may.
    pub scope: TokenScope,
    /// When it was made.
    pub created: Timestamp,
    /// When it was used last, to the minute.
    pub last_used: Option<Timestamp>,
    /// When it ends, if ever.
    pub expires: Option<Timestamp>,
}

/// What an API token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bearer {
    /// The token.
    pub token: ApiTokenEntry,
    /// On whose behalf it acts.
    pub user: User,
    /// What it may be used for now: its own scope, and not more than its user's role.
    pub scope: TokenScope,
}

impl ApiTokenEntry {
    fn of_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("api_token_id")?,
            user: row.parsed("user_id")?,
            name: row.text("label")?,
            scope: row.parsed("scope")?,
            created: row.time("created_ms")?,
            last_used: row.time_if_any("used_ms")?,
            expires: row.time_if_any("expires_ms")?,
        })
    }
}

impl Shared {
    /// Makes an API token, which is never returned again.
    ///
    /// # Errors
    ///
    /// Refuses a scope beyond the user's role, and a user who is gone or disabled.
    pub async fn create_api_token(
        &self,
        new: &NewApiToken<'_>,
        now: Timestamp,
    ) -> Result<(ApiToken, ApiTokenEntry), SharedError> {
        let work = async {
            text::line("the token's name", new.name)?;
            let (token, id) = (ApiToken::make_random()?, ApiTokenId::make_random()?);
            let hash = token.hash();
            let mut transaction = self.write().await?;
            let find = concat!(
                "SELECT ",
                user_columns!(),
                " FROM users WHERE user_id = $1 AND NOT disabled"
            );
            let row = transaction.row(find, &[new.user.as_str().into()]).await?;
            let user = User::of_row(&row.ok_or(SharedError::NoSuchUser)?)?;
            if new.scope > user.role.scope() {
                return Err(SharedError::ScopeAboveRole.into());
            }
            let values = [
                id.as_str().into(),
                hash.as_str().into(),
                user.id.as_str().into(),
                new.name.into(),
                new.scope.as_str().into(),
                now.into(),
                new.expires.into(),
            ];
            let sql = "INSERT INTO api_tokens
                    (api_token_id, api_token_hash, user_id, label, scope, created_ms, expires_ms)
                VALUES ($1, $2, $3, $4, $5, $6, $7)";
            transaction.execute(sql, &values).await?;
            transaction.commit().await?;
            let entry = ApiTokenEntry {
                id,
                user: user.id,
                name: new.name.to_owned(),
                scope: new.scope,
                created: now,
                last_used: None,
                expires: new.expires,
            };
            Ok((token, entry))
        };
        self.told(work).await
    }

    /// Returns the API tokens of a user, or of all, the oldest first.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn api_tokens(
        &self,
        user: Option<&UserId>,
    ) -> Result<Vec<ApiTokenEntry>, SharedError> {
        let work = async {
            let sql = "SELECT * FROM api_tokens WHERE user_id = $1 OR $1 IS NULL ORDER BY created_ms, api_token_id";
            let user = user.map(UserId::as_str).into();
            let rows = self.pools().rows(sql, &[user]).await?;
            let tokens: Result<_, sqlx::Error> = rows.iter().map(ApiTokenEntry::of_row).collect();
            Ok(tokens?)
        };
        self.told(work).await
    }

    /// Revokes an API token; returns which one that was, if there was one.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn revoke_api_token(
        &self,
        id: &ApiTokenId,
    ) -> Result<Option<ApiTokenEntry>, SharedError> {
        let work = async {
            let sql = "DELETE FROM api_tokens WHERE api_token_id = $1 RETURNING *";
            let row = self.pools().row(sql, &[id.as_str().into()]).await?;
            Ok(row.as_ref().map(ApiTokenEntry::of_row).transpose()?)
        };
        self.told(work).await
    }

    /// Returns what an API token stands for; nothing if it is unknown, revoked or too old, or if its user is disabled.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn find_api_token(
        &self,
        token: &ApiToken,
        now: Timestamp,
    ) -> Result<Option<Bearer>, SharedError> {
        let sql = concat!(
            "SELECT api_token_id, label, scope, created_ms, used_ms, expires_ms, ",
            user_columns!(),
            " FROM api_tokens JOIN users ON users.user_id = api_tokens.user_id
             WHERE api_token_hash = $2 AND (expires_ms IS NULL OR expires_ms > $1) AND NOT disabled"
        );
        let work = async {
            let hash = token.hash();
            let (hash, at) = (hash.as_str().into(), now.into());
            let Some(row) = self.pools().row(sql, &[at, hash]).await? else {
                return Ok(None);
            };
            let mut token = ApiTokenEntry::of_row(&row)?;
            if token.last_used.is_none_or(|used| is_news(used, now)) {
                let used = "UPDATE api_tokens SET used_ms = $1 WHERE api_token_hash = $2 AND (used_ms IS NULL OR used_ms < $1)";
                self.pools().execute(used, &[at, hash]).await?;
                token.last_used = Some(now);
            }
            let user = User::of_row(&row)?;
            let scope = token.scope.min(user.role.scope());
            Ok(Some(Bearer { token, user, scope }))
        };
        self.told(work).await
    }
}
