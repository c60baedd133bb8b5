//! The vault, opened for a request and closed with it.
//!
//! INVARIANT: no root key outlives a request here; what unlocks the vault is its key provider, asked each time. What is kept is a
//! listing without values, which is shown only while the key can be had.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use mira_run::lease::{Holder, Leases};
use mira_secret::SecretBytes;
use mira_vault::home::Home;
use mira_vault::{AskError, Listing, LockedVault, Passphrase, UnlockOptions, Vault, VaultError};
use prometheus_client::metrics::counter::Counter;

use crate::error::DeskError;

/// How long a passphrase that was given in the desk unlocks the vault.
// LIMIT: a working day, as on the command line.
const UNLOCK_TTL: Duration = Duration::from_secs(8 * 60 * 60);

/// The way to the vault of a home.
#[derive(Clone, Debug)]
pub struct Custody {
    home: Home,
    failures: Counter,
    /// What was listed last.
    listed: Arc<Mutex<Option<Arc<Listing>>>>,
}

impl Custody {
    /// Names the home; nothing is opened yet.
    #[must_use]
    pub fn new(home: Home) -> Self {
        Self {
            home,
            failures: Counter::default(),
            listed: Arc::default(),
        }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Returns how often the vault did not open.
    pub(crate) fn failures(&self) -> &Counter {
        &self.failures
    }

    /// Opens the vault. It may take its time.
    fn open(&self) -> Result<Vault, VaultError> {
        let mut ask = || Err(AskError::new("it is locked"));
        let opened = LockedVault::read(&self.home)
            .and_then(|locked| locked.unlock(&mut ask, &UnlockOptions::default()));
        self.counted(opened)
    }

    /// Returns what the vault lists; it is read only where it has changed since it was listed last. It may take its time.
    fn list(&self) -> Result<Arc<Listing>, VaultError> {
        let options = UnlockOptions::default();
        let mut ask = || Err(AskError::new("it is locked"));
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*listed
            && known.is_current(&mut ask, &options)?
        {
            return Ok(Arc::clone(known));
        }
        let fresh = Arc::new(Listing::read(&self.home, &mut ask, &options)?);
        *listed = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    /// Returns what the vault lists.
    pub(crate) async fn listing(&self) -> Result<Arc<Listing>, DeskError> {
        let custody = self.clone();
        blocking(move || Ok(custody.counted(custody.list())?)).await
    }

    /// Returns what the vault lists, if there is one.
    pub(crate) async fn listing_if_there(&self) -> Result<Option<Arc<Listing>>, DeskError> {
        let custody = self.clone();
        blocking(move || match custody.counted(custody.list()) {
            Err(VaultError::NoVault { .. }) => Ok(None),
            listing => Ok(Some(listing?)),
        })
        .await
    }

    /// Counts what did not open.
    fn counted<T>(&self, opened: Result<T, VaultError>) -> Result<T, VaultError> {
        opened.inspect_err(|error| {
            if !matches!(error, VaultError::NoVault { .. }) {
                self.failures.inc();
            }
        })
    }

    /// Opens the vault if there is one. It may take its time.
    pub(crate) fn open_if_there(&self) -> Result<Option<Vault>, VaultError> {
        match self.open() {
            Err(VaultError::NoVault { .. }) => Ok(None),
            vault => vault.map(Some),
        }
    }

    /// Opens the vault, and does something with it.
    pub(crate) async fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vault) -> Result<R, DeskError> + Send + 'static,
    ) -> Result<R, DeskError> {
        let custody = self.clone();
        blocking(move || work(&mut custody.open()?)).await
    }

    /// Opens the vault if there is one, and does something with it or without it.
    pub(crate) async fn with_if_there<R: Send + 'static>(
        &self,
        work: impl FnOnce(Option<&mut Vault>) -> Result<R, DeskError> + Send + 'static,
    ) -> Result<R, DeskError> {
        let custody = self.clone();
        blocking(move || work(custody.open_if_there()?.as_mut())).await
    }

    /// Unlocks the vault by its passphrase, for a while.
    pub(crate) async fn unlock(&self, passphrase: SecretBytes) -> Result<(), DeskError> {
        let home = self.home.clone();
        let options = UnlockOptions {
            cache_ttl: Some(UNLOCK_TTL),
            ..UnlockOptions::default()
        };
        blocking(move || {
            let mut passphrase = Some(passphrase);
            let mut ask = || {
                let given = passphrase.take().map(Passphrase::new);
                given.ok_or_else(|| AskError::new("the passphrase is wrong"))
            };
            let vault = LockedVault::read(&home)?.unlock(&mut ask, &options)?;
            match vault.cache_error() {
                Some(error) => Err(DeskError::failed(format!(
                    "the passphrase is right, and this machine cannot remember it: {error}"
                ))),
                None => Ok(()),
            }
        })
        .await
    }

    /// Returns who holds which secrets at the moment.
    pub(crate) async fn holders(&self) -> Result<Vec<Holder>, DeskError> {
        let leases = Leases::at(self.home.leases());
        blocking(move || {
            leases.holders().map_err(|error| {
                DeskError::failed(format!("who holds secrets cannot be read: {error}"))
            })
        })
        .await
    }
}

impl Custody {
    /// Returns when each secret was handed out last, by its id.
    pub(crate) async fn last_used(&self) -> Result<BTreeMap<String, Timestamp>, DeskError> {
        let leases = Leases::at(self.home.leases());
        blocking(move || {
            leases.last_used().map_err(|error| {
                DeskError::failed(format!("when secrets were used cannot be read: {error}"))
            })
        })
        .await
    }
}

/// Does what may take its time, beside the requests of others.
pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, DeskError> + Send + 'static,
) -> Result<R, DeskError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(DeskError::failed(
            "it was given up half-way; the server's log says why",
        ))
    })
}
