//! The Secret Service over D-Bus (freedesktop.org's Secret Service API, draft 0.2).
//!
//! Not a general client: it knows items of one service, in the default collection or wherever the user moved them. The
//! session is the encrypted one (`dh-ietf1024-sha256-aes128-cbc-pkcs7`), so no value is readable in the bus's buffers.
//!
//! INVARIANT: each exchange with the bus runs inside [`within`], so a mute peer ends as an error.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_io::{Timer, block_on};
use futures_lite::future;
use mira_secret::SecretBytes;
use secret_service::{Collection, EncryptionType, Error, Item, SecretService};
use zbus::fdo;

use super::{KeychainError, SERVICE, Waits};

const CONTENT_TYPE: &str = "application/octet-stream";

pub(super) struct Connection {
    service: SecretService<'static>,
    waits: Waits,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn open() -> Result<Self, KeychainError> {
        Self::open_with(zbus::connection::Builder::session(), Waits::default())
    }

    pub(super) fn open_at(address: &str, waits: Waits) -> Result<Self, KeychainError> {
        Self::open_with(zbus::connection::Builder::address(address), waits)
    }

    fn open_with(
        builder: zbus::Result<zbus::connection::Builder<'_>>,
        waits: Waits,
    ) -> Result<Self, KeychainError> {
        let builder = builder.map_err(|error| unreachable("no session bus", &error))?;
        let open = async {
            let bus = builder
                .build()
                .await
                .map_err(|error| unreachable("no session bus", &error))?;
            SecretService::connect_with_existing(EncryptionType::Dh, bus)
                .await
                .map_err(|error| unreachable("no Secret Service on the session bus", &error))
        };
        let service = block_on(within(waits.answer, open))?;
        Ok(Self { service, waits })
    }

    pub(super) fn store(
        &self,
        account: &str,
        label: &str,
        secret: &SecretBytes,
    ) -> Result<(), KeychainError> {
        block_on(async {
            // An item that the user moved to another collection is replaced where it is.
            if let Some(item) = self.item(account).await? {
                let replace = async {
                    // EXPOSE: to the Secret Service, encrypted for this session, because it is where the user keeps it.
                    item.set_secret(secret.expose(), CONTENT_TYPE).await?;
                    item.set_label(label).await
                };
                return within(self.waits.person, failing(account, replace)).await;
            }
            let collection = self.default_collection(account).await?;
            let create = async {
                collection
                    .create_item(
                        label,
                        attributes(account),
                        // EXPOSE: to the Secret Service, encrypted for this session, because it is where the user keeps it.
                        secret.expose(),
                        // Another process may have stored the account meanwhile.
                        true,
                        CONTENT_TYPE,
                    )
                    .await
                    .map(drop)
            };
            within(self.waits.person, failing(account, create)).await
        })
    }

    pub(super) fn load(&self, account: &str) -> Result<Option<SecretBytes>, KeychainError> {
        block_on(async {
            let Some(item) = self.item(account).await? else {
                return Ok(None);
            };
            let read = async {
                match item.get_secret().await {
                    Ok(bytes) => Ok(Some(SecretBytes::from_vec(bytes))),
                    Err(error) if is_gone(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            };
            within(self.waits.person, failing(account, read)).await
        })
    }

    pub(super) fn delete(&self, account: &str) -> Result<bool, KeychainError> {
        block_on(async {
            let Some(item) = self.item(account).await? else {
                return Ok(false);
            };
            let delete = async {
                match item.delete().await {
                    Ok(()) => Ok(true),
                    Err(error) if is_gone(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            };
            within(self.waits.person, failing(account, delete)).await
        })
    }

    /// Returns the account's item, unlocked.
    async fn item(&self, account: &str) -> Result<Option<Item<'_>>, KeychainError> {
        let search = self.service.search_items(attributes(account));
        let found = within(self.waits.answer, failing(account, search)).await?;
        let count = found.unlocked.len() + found.locked.len();
        if count > 1 {
            return Err(KeychainError::Ambiguous {
                account: account.to_owned(),
                count,
            });
        }
        if let Some(locked) = found.locked.into_iter().next() {
            within(self.waits.person, unlocking(locked.unlock())).await?;
            return Ok(Some(locked));
        }
        Ok(found.unlocked.into_iter().next())
    }

    /// Returns the collection that new items go to, unlocked. Never the session's: it forgets at logout.
    async fn default_collection(&self, account: &str) -> Result<Collection<'_>, KeychainError> {
        let look_up = async {
            match self.service.get_default_collection().await {
                Ok(collection) => {
                    let locked = collection.is_locked().await?;
                    Ok(Some((collection, locked)))
                }
                Err(Error::NoResult) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let (collection, locked) = within(self.waits.answer, failing(account, look_up))
            .await?
            .ok_or(KeychainError::NoCollection)?;
        if locked {
            within(self.waits.person, unlocking(collection.unlock())).await?;
        }
        Ok(collection)
    }
}

fn attributes(account: &str) -> HashMap<&str, &str> {
    HashMap::from([("service", SERVICE), ("account", account)])
}

async fn within<T>(
    limit: Duration,
    exchange: impl Future<Output = Result<T, KeychainError>>,
) -> Result<T, KeychainError> {
    let deadline = async {
        Timer::after(limit).await;
        Err(KeychainError::NoAnswer { waited: limit })
    };
    future::or(exchange, deadline).await
}

async fn failing<T>(
    account: &str,
    exchange: impl Future<Output = Result<T, Error>>,
) -> Result<T, KeychainError> {
    exchange.await.map_err(|error| explain(account, error))
}

/// Runs an unlocking: whatever goes wrong in it, other than the service going away, leaves the keychain locked.
async fn unlocking(exchange: impl Future<Output = Result<(), Error>>) -> Result<(), KeychainError> {
    exchange.await.map_err(|error| match explain("", error) {
        lost @ KeychainError::Unreachable { .. } => lost,
        _ => KeychainError::Locked,
    })
}

fn unreachable(what: &str, error: &dyn fmt::Display) -> KeychainError {
    KeychainError::Unreachable {
        reason: format!("{what} ({error})"),
    }
}

fn explain(account: &str, error: Error) -> KeychainError {
    match error {
        Error::Locked | Error::Prompt => KeychainError::Locked,
        Error::Unavailable | Error::PromptDisconnected => {
            unreachable("the Secret Service went away", &error)
        }
        Error::Zbus(zbus::Error::InputOutput(_)) => {
            unreachable("the session bus went away", &error)
        }
        error => match error_name(&error).as_deref() {
            Some("org.freedesktop.Secret.Error.IsLocked") => KeychainError::Locked,
            Some(
                // A restarted service knows the connection, but not its session.
                "org.freedesktop.Secret.Error.NoSession"
                | "org.freedesktop.DBus.Error.ServiceUnknown"
                | "org.freedesktop.DBus.Error.NameHasNoOwner"
                | "org.freedesktop.DBus.Error.NoReply"
                | "org.freedesktop.DBus.Error.Disconnected",
            ) => unreachable("the Secret Service went away", &error),
            _ => KeychainError::Failed {
                account: account.to_owned(),
                reason: error.to_string(),
            },
        },
    }
}

/// Returns whether the item was deleted between finding and using it.
fn is_gone(error: &Error) -> bool {
    matches!(
        error_name(error).as_deref(),
        Some(
            "org.freedesktop.Secret.Error.NoSuchObject"
                | "org.freedesktop.DBus.Error.UnknownObject"
        )
    )
}

fn error_name(error: &Error) -> Option<String> {
    use zbus::DBusError as _;
    match error {
        Error::Zbus(zbus::Error::MethodError(name, ..)) => Some(name.to_string()),
        Error::Zbus(zbus::Error::FDO(error)) => Some(error.name().to_string()),
        Error::ZbusFdo(fdo::Error::ZBus(zbus::Error::MethodError(name, ..))) => {
            Some(name.to_string())
        }
        Error::ZbusFdo(error) => Some(error.name().to_string()),
        _ => None,
    }
}
