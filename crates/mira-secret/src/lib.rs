//! Secret values as types, and the words that name them.
//!
//! This crate is the base of Mira: everything that touches a secret passes through [`SecretBytes`], which is wiped
//! when dropped, kept out of swap where the system allows it, compared in constant time and never printed. Beside
//! it stand the public words of the vault: [`SecretName`], [`Scope`] and [`Kind`], each with its one spelling.
//!
//! It does no I/O: it reads no files, no environment and no clock.
//!
//! ```
//! use mira_secret::{SecretBytes, SecretName, SecretValue};
//!
//! let name: SecretName = "OPENAI_API_KEY".parse()?;
//! let value = SecretValue::new(&name, SecretBytes::from_vec(b"sk-proj-1".to_vec()))?;
//! assert_eq!(format!("{value:?}"), "SecretValue");
//! assert_eq!(value.expose(), b"sk-proj-1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bytes;
mod kind;
mod name;
mod room;
mod scope;
mod value;

pub use bytes::SecretBytes;
pub use kind::{Kind, KindError};
pub use name::{NAME_BYTES_MAX, NameError, SecretName};
pub use scope::{SCOPE_ID_BYTES_MAX, Scope, ScopeError};
pub use value::{ENTRY_BYTES_MAX, SecretValue, ValueError};
