//! The root key in the OS keyring.
//!
//! The item's account names the key as well as the vault, so that during a change of keys the old and the new one stand
//! beside each other, and a crash between the two leaves the one that the document needs.

use data_encoding::HEXLOWER;

use super::KeyOf;
use crate::crypto::RootKey;
use crate::error::VaultError;
use crate::values::KeychainLink;

/// How much of the key check is in the account, in bytes.
const CHECK_BYTES: usize = 8;

fn account(of: KeyOf<'_>) -> String {
    let check = of.check.get(..CHECK_BYTES).unwrap_or_default();
    format!("root-key/{}/{}", of.vault, HEXLOWER.encode(check))
}

pub(super) fn fetch(of: KeyOf<'_>, link: &KeychainLink) -> Result<RootKey, VaultError> {
    let account = account(of);
    let loaded = link
        .connect()
        .and_then(|keychain| keychain.load(&account))
        .map_err(VaultError::Keyring)?;
    loaded
        .and_then(RootKey::from_secret)
        .ok_or(VaultError::KeyringItemMissing { account })
}

pub(super) fn store(of: KeyOf<'_>, root: &RootKey, link: &KeychainLink) -> Result<(), VaultError> {
    let label = format!("Mira: key of vault {}", of.vault);
    link.connect()
        .and_then(|keychain| keychain.store(&account(of), &label, root.as_secret()))
        .map_err(VaultError::Keyring)
}

pub(super) fn remove(of: KeyOf<'_>, link: &KeychainLink) -> Result<(), VaultError> {
    link.connect()
        .and_then(|keychain| keychain.delete(&account(of)))
        .map(drop)
        .map_err(VaultError::Keyring)
}
