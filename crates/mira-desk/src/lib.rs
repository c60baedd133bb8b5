//! The desk: pages and an API over HTTP, with users, sessions and roles.
//!
//! [`serve`] listens until it is told to end. What instances do is asked of the supervisor over its socket; the vault is opened
//! for a request and closed with it.
//!
//! INVARIANT: every route is in one table with the role that it needs, and is checked against it before its handler runs; no
//! answer holds a secret's value.

mod access;
mod account;
mod api;
mod assets;
mod custody;
mod error;
mod form;
mod guard;
mod hooks;
mod house;
mod launch;
mod listen;
mod mcp;
mod mcp_import;
mod metrics;
mod observe;
mod opened;
mod opening;
mod pace;
mod pages;
mod providers;
mod report;
mod routes;
mod shelf;
mod snapshots;
mod tls;
mod upkeep;
mod users;

#[cfg(test)]
mod tests;

pub use access::oidc::{Oidc, OidcError, OidcOptions};
pub use access::password::{
    AdminError, DEFAULT_PASSWORD, PasswordError, has_default_password, hash_password,
    make_first_admin,
};
pub use custody::Custody;
pub use hooks::{HookSecretsError, Hooks, WEBHOOK_SECRET, hook_secrets, hook_target};
pub use listen::{DeskOptions, ListenError, Proxies, Surroundings, serve};
pub use mira_server::describe as describe_supervisor;
pub use opened::Opened;
pub use routes::describe;
pub use tls::{Certificate, TlsError};
pub use upkeep::Keeping;

use std::sync::Arc;

use mira_hooks::Ingress;
use mira_store::Shared;

use access::Logins;
use house::House;
use mcp::Tests;
use metrics::Metrics;
use shelf::Shelf;

/// What requests work on.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) shared: Shared,
    pub(crate) custody: Custody,
    pub(crate) house: Arc<House>,
    /// Where webhooks are taken, if they are.
    pub(crate) ingress: Option<Arc<Ingress>>,
    pub(crate) logins: Logins,
    /// What came of tests of MCP servers.
    pub(crate) tests: Tests,
    /// Clients' configurations that somebody looks at before they are taken over.
    pub(crate) imports: Shelf<mcp_import::Source>,
    /// What clients' configurations were made into, until it is fetched.
    pub(crate) rewritten: Shelf<mcp_import::Given>,
    /// Packages that somebody looks at before they are opened.
    pub(crate) packages: Shelf<opening::Looked>,
    pub(crate) options: DeskOptions,
    pub(crate) metrics: Metrics,
    /// Hears of each value that comes in.
    pub(crate) opened: Opened,
}

pub(crate) type Handle = Arc<Desk>;
