//! A passphrase that the kernel remembers.

use std::time::Duration;

use mira_vault::os::kernel_keyring::CacheError;
use mira_vault::{Backend, LockedVault, NewProvider, UnlockOptions, VaultError};

use crate::common::{Place, passphrase};

#[test]
fn a_remembered_key_is_used_without_asking() {
    let place = Place::new();
    let vault = place.create(
        Backend::File,
        NewProvider::Passphrase(passphrase("open sesame")),
    );
    drop(vault);
    let cache_ttl = Some(Duration::from_secs(3600));
    let remember = UnlockOptions {
        cache_ttl,
        ..place.options()
    };
    assert!(matches!(place.unlock(), Err(VaultError::Ask(_))));

    let wrong = place.unlock_with(&remember, Some("open simsim"));
    assert!(matches!(wrong, Err(VaultError::WrongPassphrase { .. })));
    assert!(
        matches!(place.unlock(), Err(VaultError::Ask(_))),
        "a wrong key was remembered"
    );

    let vault = place.unlock_with(&remember, Some("open sesame")).unwrap();
    match vault.cache_error() {
        None => {
            assert_eq!(place.unlock().unwrap().id(), vault.id());
            assert!(
                LockedVault::read(&place.home)
                    .unwrap()
                    .forget_unlock()
                    .unwrap()
            );
        }
        Some(error) => {
            let refused = matches!(error, CacheError::Forbidden | CacheError::Unsupported);
            assert!(refused, "{error}");
        }
    }
    assert!(matches!(place.unlock(), Err(VaultError::Ask(_))));
}
