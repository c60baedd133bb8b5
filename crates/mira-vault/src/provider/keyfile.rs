//! The root key in a file: a line `mira-keyfile-1:` with the key in base64.
//!
//! The file is ours, or root's (a systemd credential, a container's secret), and closed to others. While keys are changed it holds
//! two lines, the new key's and the old one's; the document's key check says which is the document's.

use std::path::Path;

use data_encoding::BASE64;
use mira_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::crypto::{DIGEST_BYTES, KEY_BYTES, RootKey};
use crate::error::VaultError;
use crate::private_file::{self, FileError, Staged, Trust, WriteLock, read_secret};

const PREFIX: &[u8] = b"mira-keyfile-1:";

// LIMIT: two lines of 60 bytes, with room for blank ones.
const KEYFILE_BYTES_MAX: u64 = 1024;

/// Returns the key that passes the check.
pub(super) fn fetch(path: &Path, check: &[u8; DIGEST_BYTES]) -> Result<RootKey, VaultError> {
    let mut keys = read(path)?;
    // With none that passes, the first is as wrong as the others: the caller says so.
    let position = keys.iter().position(|key| key.passes(check)).unwrap_or(0);
    Ok(keys.swap_remove(position))
}

/// Returns the first key of the file, which is made if it is not there.
///
/// Our lock does not keep other vaults from a file outside of the home, so a new file never replaces one that came
/// meanwhile: that one may hold another vault's only key.
pub(super) fn provide(path: &Path) -> Result<RootKey, VaultError> {
    match read(path) {
        Ok(mut keys) => Ok(keys.swap_remove(0)),
        Err(VaultError::Keyfile(FileError::Missing { .. })) => {
            let key = RootKey::make_random()?;
            private_file::create(path, &text(&[&key])).map_err(VaultError::Keyfile)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// Puts a new key before the document's, and returns it.
pub(super) fn add(
    path: &Path,
    check: &[u8; DIGEST_BYTES],
    lock: &WriteLock,
) -> Result<RootKey, VaultError> {
    let old = fetch(path, check)?;
    let new = RootKey::make_random()?;
    write(path, &[&new, &old], lock)?;
    Ok(new)
}

/// Writes the keys, one a line, durably.
pub(super) fn write(path: &Path, keys: &[&RootKey], lock: &WriteLock) -> Result<(), VaultError> {
    Staged::write(lock, path, &text(keys))
        .and_then(Staged::commit)
        .map_err(VaultError::Keyfile)
}

fn text(keys: &[&RootKey]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(keys.len() * LINE_BYTES));
    for key in keys {
        let mut digits = Zeroizing::new([0; BASE64_BYTES]);
        // EXPOSE: to the key file, which is what this provider is.
        BASE64.encode_mut(key.as_secret().expose(), &mut *digits);
        text.extend_from_slice(PREFIX);
        text.extend_from_slice(&*digits);
        text.push(b'\n');
    }
    text
}

/// The length of a key in base64.
const BASE64_BYTES: usize = KEY_BYTES.div_ceil(3) * 4;
const LINE_BYTES: usize = PREFIX.len() + BASE64_BYTES + 1;

fn read(path: &Path) -> Result<Vec<RootKey>, VaultError> {
    let text =
        read_secret(path, Trust::OursOrRoots, KEYFILE_BYTES_MAX).map_err(VaultError::Keyfile)?;
    let wrong = || VaultError::KeyfileFormat {
        path: path.to_owned(),
    };
    // EXPOSE: to the reader of key files, which makes keys of it.
    let lines = text.expose().split(|&byte| byte == b'\n');
    let keys: Vec<_> = lines
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(|line| parse(line).ok_or_else(wrong))
        .collect::<Result<_, _>>()?;
    if keys.is_empty() {
        Err(wrong())
    } else {
        Ok(keys)
    }
}

fn parse(line: &[u8]) -> Option<RootKey> {
    let text = line.strip_prefix(PREFIX)?;
    // The decoder wants room for padding that a key of 32 bytes always has.
    let mut bytes = Zeroizing::new([0; BASE64_BYTES / 4 * 3]);
    let room = bytes.get_mut(..BASE64.decode_len(text.len()).ok()?)?;
    let len = BASE64.decode_mut(text, room).ok()?;
    RootKey::from_secret(SecretBytes::copy_from(bytes.get(..len)?))
}
