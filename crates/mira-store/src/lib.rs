//! What Mira knows about instances and about people.
//!
//! [`Store`] has what belongs to one machine: one SQLite file in the home, `mira.db`, shared by any number of processes. [`Shared`]
//! has what the servers of a team share: in the same file, or in a Postgres. Both hold names, times, digests and numbers: no secret,
//! and no content of an app. Every operation is done wholly and is on the disk, or is not done.
//!
//! INVARIANT: a [`Store`] or a [`Shared`] in hand means that the database was ours, whole enough to be read, and of the schema that this
//! Mira knows. What is in its place is never replaced.

mod bindings;
mod database;
mod decisions;
mod error;
mod file;
mod guesses;
mod id;
mod instances;
mod ports;
mod publishers;
mod schema;
mod settings;
mod shared;
mod store;
mod text;

pub use bindings::Binding;
pub use decisions::Decision;
pub use error::{DatabaseError, OpenError, StoreError};
pub use file::FileError;
pub use guesses::GUESS_BYTES_MAX;
pub use id::{IdError, InstanceId, InstanceName, NameError};
pub use instances::{Desired, DesiredError, Instance, NewInstance, PackageFacts};
pub use ports::{Port, PortRequest};
pub use publishers::Publisher;
pub use settings::{SETTING_BYTES_MAX, Setting};
pub use shared::{
    Actor, ApiToken, ApiTokenEntry, ApiTokenId, AuditAction, AuditCursor, AuditEntry, AuditFilter,
    AuditPage, AuditRow, Bearer, ClaimedHook, CursorError, DatabaseUrl, DumpError, HookAcceptance,
    HookBacklog, HookClaim, HookCount, HookDelivery, HookEnd, HookEvent, HookEventId, HookFilter,
    HookMark, HookPurge, HookState, HookStats, Identity, LinkPurpose, LinkToken, Loaded, Location,
    Login, LoginAttempt, NewApiToken, NewHookDelivery, NewHookEvent, NewSession, NewUser, Outcome,
    PasswordHash, Role, RowIdError, SHARED_TABLES, ServerError, Session, SessionId, SessionKind,
    SessionOf, SessionToken, Shared, SharedError, SharedOpenError, SignedIn, TokenError,
    TokenScope, USER_NAME_CHARS_MAX, UrlError, User, UserId, UserName, UserNameError, Who,
    WordError,
};
pub use store::{FILE_NAME, Store};
