//! The keychain and the kernel's keyring against the real thing.

use mira_secret::SecretBytes;
use mira_testkit::secret_service::SecretService;
use mira_vault::os::keychain::{Keychain as _, OsKeychain, Waits};

fn connect(service: &SecretService) -> OsKeychain {
    OsKeychain::connect_to_bus(service.bus_address(), Waits::default()).expect("the keyring runs")
}

#[test]
fn a_secret_comes_back_as_it_was_stored() {
    let service = SecretService::start();
    let keychain = connect(&service);
    let secret = SecretBytes::copy_from(b"\x00\xff not UTF-8 \xc3\x28");
    assert_eq!(keychain.load("user/KEY"), Ok(None));
    assert_eq!(keychain.store("user/KEY", "A key", &secret), Ok(()));
    assert_eq!(keychain.load("user/KEY"), Ok(Some(secret)));
    assert_eq!(keychain.delete("user/KEY"), Ok(true));
    assert_eq!(keychain.delete("user/KEY"), Ok(false));
    assert_eq!(keychain.load("user/KEY"), Ok(None));
}

mod kernel {
    use super::*;
    use mira_vault::os::kernel_keyring::{cache, cached, forget};
    use std::time::Duration;

    #[test]
    fn a_key_is_remembered_until_it_is_forgotten() {
        let id = "it-remembered";
        let key = SecretBytes::copy_from(&[7; 32]);
        assert_eq!(cached(id), Ok(None));
        assert_eq!(cache(id, &key, Duration::from_secs(300)), Ok(()));
        assert_eq!(cached(id), Ok(Some(key)));
        assert_eq!(forget(id), Ok(true));
        assert_eq!(forget(id), Ok(false));
        assert_eq!(cached(id), Ok(None));
    }
}
