//! The encrypted vault: `credentials.json`, scopes, key providers, recovery files.
//!
//! A vault rests in a private folder, the [home](home::Home). It is found [locked](LockedVault), unlocked with the key that its
//! provider gives, and then is a [`Vault`]: proof that every byte of the document is what Mira wrote. The format is specified in
//! `docs/formats/credentials.md`.
//!
//! The crate is synchronous, reads no environment, prints nothing and asks nobody: what it needs to know it is given.
//!
//! ```
//! use mira_secret::{Scope, SecretBytes, SecretName, SecretValue};
//! use mira_vault::home::Home;
//! use mira_vault::{Backend, KeychainLink, NewProvider, NewSecret, NewVault, Vault};
//!
//! # let folder = std::env::temp_dir().join(format!("mira-doc-{}", std::process::id()));
//! let home = Home::new(folder.clone());
//! let provider = NewProvider::Keyfile { path: None };
//! let new = NewVault { backend: Backend::File, provider, keychain: KeychainLink::default() };
//! let mut vault = Vault::create(&home, new)?;
//!
//! let name: SecretName = "OPENAI_API_KEY".parse()?;
//! let value = SecretValue::new(&name, SecretBytes::from_vec(b"sk-proj-1".to_vec()))?;
//! let new = NewSecret { value, label: None, kind: None, now: jiff::Timestamp::UNIX_EPOCH };
//! vault.update(|draft| draft.set(&Scope::User, &name, new).map(drop))?;
//! assert_eq!(vault.secrets().count(), 1);
//! # std::fs::remove_dir_all(folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aws;
mod crypto;
mod document;
mod entry;
mod error;
mod floor;
mod format;
pub mod home;
mod id;
pub mod os;
pub mod private_file;
mod provider;
pub mod recovery;
pub mod settings;
mod values;
mod vault;

pub use aws::{
    AWS_CREDENTIALS, AWS_REGION_VARIABLES, AWS_VARIABLES, AwsCredentials, AwsCredentialsError,
};
pub use crypto::NoRandomness;
pub use entry::{Entry, LABEL_BYTES_MAX, LabelError};
pub use error::{FaultKind, VaultError};
pub use format::FormatError;
pub use id::{EntryId, IdError, VaultId};
pub use provider::{AskError, NewProvider, Passphrase, ProviderKind, ProviderKindError};
pub use values::{Backend, BackendError, KeychainLink};
pub use vault::{
    Delivered, Draft, Listing, LockedVault, NewSecret, NewVault, UnlockOptions, Vault,
};
