//! What others tell and are told: who wants events and where they are, what stands for a token, who is told of each event.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::pin::Pin;

use http::HeaderValue;

use crate::event::Event;

/// An answer that may take its time.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where an instance takes an event.
#[derive(Debug)]
pub struct Endpoint {
    /// The instance's id on this server, by which its gate knows it.
    pub instance: String,
    /// The service's port on this machine.
    pub address: SocketAddr,
    /// The path there.
    pub path: String,
    /// What the service knows Mira by. Its debug form does not show it.
    pub authorization: HeaderValue,
    /// What it may do on GitHub, by the manifest.
    pub permissions: BTreeMap<String, String>,
}

/// The instances that take events. They are called by a name that is the same on every server of one database, as `app/name`.
pub trait Targets: Debug + Send + Sync {
    /// Returns who wants an event of this kind, whether it runs at the moment or not.
    fn wanting<'a>(&'a self, event: &'a str) -> Later<'a, Result<Vec<String>, String>>;

    /// Returns who runs on this machine, and could take an event now.
    fn here(&self) -> Later<'_, Result<Vec<String>, String>>;

    /// Returns where one takes an event of this kind; nothing if it does not run here any more, or wants no such event.
    fn endpoint<'a>(
        &'a self,
        target: &'a str,
        event: &'a str,
    ) -> Later<'a, Result<Option<Endpoint>, String>>;
}

/// What a placeholder is worth: a token of this installation, for this repository, with these permissions.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Grant<'a> {
    /// The instance whose requests it is put into, by its id on this server.
    pub instance: &'a str,
    /// The App, by the sender's id, if the event was sent to one.
    pub app: Option<&'a str>,
    /// The installation.
    pub installation: u64,
    /// The repository, by name, if the event is about one.
    pub repository: Option<&'a str>,
    /// The permissions of the manifest.
    pub permissions: &'a BTreeMap<String, String>,
}

/// What stands for a token in an app, which never has one.
pub trait Placeholders: Debug + Send + Sync {
    /// Returns the base of the API that the tokens are for.
    fn api(&self) -> String;

    /// Returns a placeholder; nothing where no token could be had for it.
    fn placeholder<'a>(&'a self, grant: &'a Grant<'a>) -> Later<'a, Option<String>>;
}

/// Somebody who is told of each event once it is durable, and before its sender knows.
pub trait Watcher: Debug + Send + Sync {
    /// An event was accepted. It is not told of again, also if this process ends meanwhile.
    fn accepted(&self, event: &Event<'_>);
}
