//! Who did what, from where, and whether it was done.
//!
//! INVARIANT: a row is never changed, and only the oldest are removed. It names things and never holds a value: what is
//! recorded is a word of a closed set, and the name of what it was done to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;

use crate::shared::Shared;
use crate::shared::backend::Row;
use crate::shared::error::SharedError;
use crate::shared::id::{self, UserId};
use crate::shared::name::UserName;
use crate::shared::sessions::Who;
use crate::shared::words::words;
use crate::text;

/// The most rows of one page.
// LIMIT: what a page or a script takes at once; there is a next one.
const PAGE_ROWS_MAX: u32 = 1_000;

words! {
    /// What was done.
    AuditAction {
        /// A secret was saved or changed.
        SecretSet = "secret.set",
        /// A secret was removed.
        SecretRemove = "secret.remove",
        /// A secret was handed to a program or an instance.
        SecretUse = "secret.use",
        /// A name of an instance was bound to a secret of the user.
        SecretBind = "secret.bind",
        /// Such a binding was taken away.
        SecretUnbind = "secret.unbind",
        /// The vault was unlocked.
        VaultUnlock = "vault.unlock",
        /// The vault was locked.
        VaultLock = "vault.lock",
        /// The vault got another root key.
        VaultRekey = "vault.rekey",
        /// A package was opened as a new instance.
        InstanceOpen = "instance.open",
        /// An instance was started.
        InstanceStart = "instance.start",
        /// An instance was stopped.
        InstanceStop = "instance.stop",
        /// An instance was started again.
        InstanceRestart = "instance.restart",
        /// An instance was copied.
        InstanceDuplicate = "instance.duplicate",
        /// An instance was deleted.
        InstanceDelete = "instance.delete",
        /// A package's new publisher, or its lack of one, was agreed to.
        InstanceTrust = "instance.trust",
        /// A setting of an instance was changed.
        InstanceSetting = "instance.setting",
        /// It was decided about a host that an instance calls.
        NetworkDecide = "network.decide",
        /// A snapshot was taken.
        SnapshotCreate = "snapshot.create",
        /// A snapshot was restored.
        SnapshotRestore = "snapshot.restore",
        /// A snapshot was removed.
        SnapshotForget = "snapshot.forget",
        /// A provider of models was added or changed.
        ProviderSet = "provider.set",
        /// A provider of models was removed.
        ProviderRemove = "provider.remove",
        /// A provider's connection was tested.
        ProviderTest = "provider.test",
        /// Credentials of AWS were saved or changed.
        AwsSet = "aws.set",
        /// Credentials of AWS were removed.
        AwsRemove = "aws.remove",
        /// Credentials of AWS were tested.
        AwsTest = "aws.test",
        /// An MCP server was added or changed.
        McpSet = "mcp.set",
        /// An MCP server was removed.
        McpRemove = "mcp.remove",
        /// An MCP server was tested.
        McpTest = "mcp.test",
        /// MCP servers were taken over from another program's configuration.
        McpImport = "mcp.import",
        /// MCP servers were put back into the configuration that they were taken from.
        McpUndo = "mcp.undo",
        /// Somebody signed in.
        SessionLogin = "session.login",
        /// Somebody tried to sign in, and was not let in.
        SessionLoginFailed = "session.login_failed",
        /// Somebody signed out.
        SessionLogout = "session.logout",
        /// A session was ended by somebody else, or from elsewhere.
        SessionRevoke = "session.revoke",
        /// A one-time link was made.
        LinkMake = "link.make",
        /// A one-time link was used.
        LinkUse = "link.use",
        /// A user was added.
        UserCreate = "user.create",
        /// A user was removed.
        UserRemove = "user.remove",
        /// A user got another role.
        UserRole = "user.role",
        /// A user got another password.
        UserPassword = "user.password",
        /// A user was kept out.
        UserDisable = "user.disable",
        /// A user was let in again.
        UserEnable = "user.enable",
        /// An API token was made.
        TokenCreate = "token.create",
        /// An API token was revoked.
        TokenRevoke = "token.revoke",
        /// A server was started.
        ServerStart = "server.start",
        /// A server was stopped.
        ServerStop = "server.stop",
        /// A setting of the server was changed.
        ServerSetting = "server.setting",
        /// A request that says to be a webhook was not accepted.
        HookReject = "hook.reject",
        /// A failed delivery of an event was queued again.
        HookReplay = "hook.replay",
        /// A backup was made.
        BackupCreate = "backup.create",
        /// A backup was restored.
        BackupRestore = "backup.restore",
        /// Old rows of the audit were removed.
        AuditPurge = "audit.purge",
    }
}

words! {
    /// What came of it.
    Outcome {
        /// It was done.
        Ok = "ok",
        /// It was not allowed.
        Denied = "denied",
        /// It was tried, and failed.
        Failed = "failed",
    }
}

impl From<bool> for Outcome {
    /// What came of something that was tried: whether it worked.
    fn from(worked: bool) -> Self {
        match worked {
            true => Self::Ok,
            false => Self::Failed,
        }
    }
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor<'a> {
    /// Who owns the home, on the machine itself.
    LocalOwner,
    /// Somebody who has not signed in.
    Nobody,
    /// A user.
    User {
        /// The user's id.
        id: &'a UserId,
        /// The user's name at that time.
        name: &'a UserName,
    },
}

impl<'a> Actor<'a> {
    /// Returns who is signed in as who does something.
    #[must_use]
    pub fn of(who: &'a Who) -> Self {
        match who {
            Who::LocalOwner => Self::LocalOwner,
            Who::User(user) => Self::User {
                id: &user.id,
                name: &user.name,
            },
        }
    }

    /// Returns the id and the name that are written down. No user has an empty id, so no user is taken for the owner.
    fn written(&self) -> (Option<&'a str>, &'a str) {
        match self {
            Self::LocalOwner => (None, "local"),
            Self::Nobody => (None, "nobody"),
            Self::User { id, name } => (Some(id.as_str()), name.as_str()),
        }
    }
}

/// Something that was done.
#[derive(Clone, Copy, Debug)]
pub struct AuditEntry<'a> {
    /// Who did it.
    pub actor: Actor<'a>,
    /// From where.
    pub address: Option<IpAddr>,
    /// What was done.
    pub action: AuditAction,
    /// To what: its name or id, never its value. Cut and cleaned, whatever it is.
    ///
    /// What somebody typed as a name at the sign-in page is no name unless there is such a user: it may be a password.
    pub subject: &'a str,
    /// What came of it.
    pub outcome: Outcome,
}

/// Which rows are wanted; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Those of this actor, by name: a user's, `local` or `nobody`.
    pub actor: Option<String>,
    /// Those of this action.
    pub action: Option<AuditAction>,
    /// Those about this subject.
    pub subject: Option<String>,
    /// Those at this time and later.
    pub since: Option<Timestamp>,
    /// Those before this time.
    pub until: Option<Timestamp>,
}

/// A row of the audit. Its words are text, since another version of Mira may know more of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditRow {
    /// When it was done.
    pub time: Timestamp,
    /// The id of the user who did it, if it was one.
    pub actor_id: Option<String>,
    /// Who did it, by the name of that time.
    pub actor: String,
    /// From where.
    pub address: Option<String>,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What came of it.
    pub outcome: String,
}

/// Where a page ends, and the next one begins. As text it is fit for a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCursor {
    time_ms: i64,
    id: String,
}

/// Says that a text is no place in the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no place in the audit; begin at its newest row, without one")]
pub struct CursorError;

impl fmt::Display for AuditCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.time_ms, self.id)
    }
}

impl FromStr for AuditCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (time_ms, id) = text.split_once('.').ok_or(CursorError)?;
        let time_ms = time_ms.parse().map_err(|_| CursorError)?;
        id::is_id(id)
            .then(|| Self {
                time_ms,
                id: id.to_owned(),
            })
            .ok_or(CursorError)
    }
}

/// Some rows of the audit, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditPage {
    /// The rows.
    pub rows: Vec<AuditRow>,
    /// Where the next page begins, if there may be one.
    pub next: Option<AuditCursor>,
}

impl AuditRow {
    fn of_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            time: row.time("time_ms")?,
            actor_id: row.text_if_any("actor_id")?,
            actor: row.text("actor")?,
            address: row.text_if_any("address")?,
            action: row.text("action")?,
            subject: row.text("subject")?,
            outcome: row.text("outcome")?,
        })
    }
}

impl Shared {
    /// Writes down what was done.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn record(&self, entry: &AuditEntry<'_>, now: Timestamp) -> Result<(), SharedError> {
        let work = async {
            let id = id::make_random()?;
            let (actor_id, actor) = entry.actor.written();
            let address = entry
                .address
                .map(|address| address.to_canonical().to_string());
            let subject = text::cleaned(entry.subject);
            let values = [
                id.as_str().into(),
                now.into(),
                actor_id.into(),
                actor.into(),
                address.as_deref().into(),
                entry.action.as_str().into(),
                subject.as_str().into(),
                entry.outcome.as_str().into(),
            ];
            let sql = "INSERT INTO audit (audit_id, time_ms, actor_id, actor, address, action, subject, outcome)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
            self.pools().execute(sql, &values).await?;
            Ok(())
        };
        self.told(work).await
    }

    /// Returns a page of what was done, the newest first: the first page, or the one after another.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        after: Option<&AuditCursor>,
        rows_max: u32,
    ) -> Result<AuditPage, SharedError> {
        let work = async {
            let rows_max = rows_max.clamp(1, PAGE_ROWS_MAX);
            // Nobody's name and nothing's holds a NUL, which Postgres would not take.
            let wanted = |text: &Option<String>| text.as_deref().map(text::cleaned);
            let (actor, subject) = (wanted(&filter.actor), wanted(&filter.subject));
            let values = [
                after.map_or(i64::MAX, |after| after.time_ms).into(),
                after.map_or("", |after| after.id.as_str()).into(),
                actor.as_deref().into(),
                filter.action.map(AuditAction::as_str).into(),
                subject.as_deref().into(),
                filter.since.unwrap_or(Timestamp::MIN).into(),
                filter.until.unwrap_or(Timestamp::MAX).into(),
                i64::from(rows_max).into(),
            ];
            let sql = "SELECT * FROM audit
                WHERE (time_ms, audit_id) < ($1, $2)
                    AND (actor = $3 OR $3 IS NULL) AND (action = $4 OR $4 IS NULL) AND (subject = $5 OR $5 IS NULL)
                    AND time_ms >= $6 AND time_ms < $7
                ORDER BY time_ms DESC, audit_id DESC LIMIT $8";
            let found = self.pools().rows(sql, &values).await?;
            let rows: Result<Vec<_>, sqlx::Error> = found.iter().map(AuditRow::of_row).collect();
            let is_full = found.len() == rows_max as usize;
            let last = found.last().filter(|_| is_full);
            let next = last.map(|row| {
                Ok::<_, sqlx::Error>(AuditCursor {
                    time_ms: row.int("time_ms")?,
                    id: row.text("audit_id")?,
                })
            });
            Ok(AuditPage {
                rows: rows?,
                next: next.transpose()?,
            })
        };
        self.told(work).await
    }

    /// Removes the rows before a time, and the oldest of those beyond a number; returns how many.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn purge_audit(&self, before: Timestamp, rows_max: u32) -> Result<u64, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let old = "DELETE FROM audit WHERE time_ms < $1";
            let mut removed = transaction.execute(old, &[before.into()]).await?;
            let beyond = "DELETE FROM audit WHERE audit_id NOT IN
                (SELECT audit_id FROM audit ORDER BY time_ms DESC, audit_id DESC LIMIT $1)";
            removed += transaction
                .execute(beyond, &[i64::from(rows_max).into()])
                .await?;
            transaction.commit().await?;
            Ok(removed)
        };
        self.told(work).await
    }
}
