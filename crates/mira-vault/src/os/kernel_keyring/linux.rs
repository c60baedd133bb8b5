//! The user keyring through keyctl(2).
//!
//! A key may be read by who *possesses* it: who reaches it from a keyring of the own thread, process or session. Whether the session's
//! keyring leads to the user's depends on how the session began (PAM, cron, a unit with a private keyring), so the user keyring
//! is linked into the thread's own for the time of a call.

use linux_keyutils::{
    Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission,
};
use mira_secret::SecretBytes;

use super::CacheError;

const ENOSYS: i32 = 38;

pub(super) fn cache(name: &str, key: &SecretBytes, ttl_secs: u32) -> Result<(), CacheError> {
    let rings = Rings::open().map_err(explain)?;
    // INVARIANT: the key gets its deadline in the thread's keyring, which dies with the thread, and only then the link
    // from the user's. The link takes the place of the one to an older key of the name.
    // EXPOSE: to the kernel, because the user asked to keep the vault unlocked until the deadline.
    let new = rings.thread.add_key(name, key.expose()).map_err(explain)?;
    let share = || -> Result<(), KeyError> {
        new.set_perms(permissions())?;
        new.set_timeout(ttl_secs as usize)?;
        rings.user.link_key(new)
    };
    let shared = share();
    let unlinked = rings.thread.unlink_key(new);
    shared.and(unlinked).map_err(explain)
}

pub(super) fn cached(name: &str) -> Result<Option<SecretBytes>, CacheError> {
    let rings = Rings::open().map_err(explain)?;
    let Some(key) = rings.find(name).map_err(explain)? else {
        return Ok(None);
    };
    match read(key) {
        Ok(secret) => Ok(Some(secret)),
        Err(error) if is_over(error) => Ok(None),
        Err(error) => Err(explain(error)),
    }
}

pub(super) fn forget(name: &str) -> Result<bool, CacheError> {
    let rings = Rings::open().map_err(explain)?;
    let Some(key) = rings.find(name).map_err(explain)? else {
        return Ok(false);
    };
    match key.invalidate() {
        Ok(()) => Ok(true),
        Err(error) if is_over(error) => Ok(false),
        Err(error) => Err(explain(error)),
    }
}

fn read(key: Key) -> Result<SecretBytes, KeyError> {
    let len = key.read(&mut [])?;
    SecretBytes::try_fill(len, |mut buffer| {
        let read = key.read(&mut buffer)?;
        // A key is replaced as a whole, never changed, so its length stays.
        if read == len {
            Ok(())
        } else {
            Err(KeyError::InvalidArguments)
        }
    })
}

/// Reading and finding for who possesses the key; the user may see its name and deadline in `/proc/keys`.
fn permissions() -> linux_keyutils::KeyPermissions {
    KeyPermissionsBuilder::builder()
        .posessor(
            Permission::VIEW
                | Permission::READ
                | Permission::SEARCH
                | Permission::LINK
                | Permission::SETATTR,
        )
        .user(Permission::VIEW)
        .build()
}

/// The user's keyring, possessed through the thread's for as long as this lives.
struct Rings {
    user: KeyRing,
    thread: KeyRing,
}

impl Rings {
    fn open() -> Result<Self, KeyError> {
        let user = KeyRing::from_special_id(KeyRingIdentifier::User, true)?;
        let thread = KeyRing::from_special_id(KeyRingIdentifier::Thread, true)?;
        thread.link_keyring(user)?;
        Ok(Self { user, thread })
    }

    fn find(&self, name: &str) -> Result<Option<Key>, KeyError> {
        match self.user.search(name) {
            Ok(key) => Ok(Some(key)),
            Err(error) if is_over(error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        // Where it fails, the link ends with the thread.
        self.thread.unlink_keyring(self.user).unwrap_or_default();
    }
}

fn is_over(error: KeyError) -> bool {
    matches!(
        error,
        KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked
    )
}

fn explain(error: KeyError) -> CacheError {
    match error {
        KeyError::Unknown(ENOSYS) | KeyError::OperationNotSupported => CacheError::Unsupported,
        KeyError::PermissionDenied | KeyError::AccessDenied => CacheError::Forbidden,
        KeyError::QuotaExceeded => CacheError::Full,
        error => CacheError::Failed {
            reason: error.to_string(),
        },
    }
}
