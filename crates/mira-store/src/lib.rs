//! What Mira knows about instances, in `mira.db`.
//!
//! One SQLite file in the home, shared by any number of processes. It holds names, times, digests and numbers: no secret,
//! and no content of an app. Every operation of [`Store`] is one transaction: it happened wholly and is on the disk, or it
//! did not happen.
//!
//! INVARIANT: a [`Store`] in hand means that the file was ours, whole enough to be read, and of the schema that this Mira
//! knows. What is in the file's place is never replaced.

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
pub use store::{FILE_NAME, Store};
