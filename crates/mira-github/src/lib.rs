//! GitHub for Mira: signing in as an App, and installation tokens that no app ever holds.
//!
//! An [`App`] signs its own short tokens with the key that the vault keeps. [`Tokens`] has GitHub mint tokens for installations, narrowed to one
//! repository and to what a manifest asks for, and keeps them in memory while they last. [`Placeholders`] stand for them: an app gets a placeholder
//! with an event, and the gate asks here what a request that holds one may carry.
//!
//! It knows nothing of webhooks, of the gate, or of where the key comes from.
//!
//! INVARIANT: a token is in memory only, for at most 55 minutes and never to its end, and is given out for requests to the API of the App's own
//! GitHub alone. Nothing of a token or a key is in an error or in `Debug`.

mod app;
mod base;
mod call;
mod clock;
mod error;
mod placeholders;
mod scope;
mod tokens;

#[cfg(test)]
mod tests;

pub use app::{About, App, AppId, Installation};
pub use base::{ApiBase, ApiBaseError, DEFAULT_API};
pub use clock::Clock;
pub use error::GitHubError;
pub use placeholders::{
    PLACEHOLDER_CHARACTERS, PLACEHOLDER_PREFIX, Placeholders, Refusal, Wanted, make_webhook_secret,
};
pub use scope::{Permissions, Repository, RepositoryError, Scope};
pub use tokens::{Token, Tokens};
