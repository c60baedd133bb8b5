//! The supervisor's process and its API: HTTP over a unix socket, and nothing else yet.
//!
//! A command finds the supervisor of its home, or starts one, and talks to it through [`Client`]. Instances run in the
//! supervisor's process, under keepers, until they are stopped.
//!
//! While an instance runs that asks for it, snapshots of its state are taken, and one more when it has stopped.
//!
//! INVARIANT: the supervisor never opens the vault. The values of an instance are handed to it when the instance is started,
//! and stay in its memory as long as the instance is there; no request reads them back.

mod client;
mod lines;
pub mod openapi;
mod server;
mod socket;
mod wire;

pub use client::{Attachment, Client, ClientError, Events, Spawn, Started, Starting};
pub use server::{Leaving, ServeError, ServeOptions, describe, serve};
pub use socket::{Place, PlaceError, Reserved};
pub use wire::{
    Autosave, AutosaveState, Event, Failure, Found, InstanceState, NotText, ServiceState, Stopped,
};
