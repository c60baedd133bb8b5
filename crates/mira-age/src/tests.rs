//! Sealing and opening in memory; with the `age` of the system it is tested where files are made.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use super::*;
use mira_secret::SecretBytes;

const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

fn secret(text: &str) -> SecretBytes {
    SecretBytes::copy_from(text.as_bytes())
}

fn sealed(to: &Recipients, content: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = seal(&mut file, to).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap();
    file
}

fn for_key(content: &[u8]) -> Vec<u8> {
    sealed(&Recipients::parse(&[RECIPIENT]).unwrap(), content)
}

#[test]
fn a_passphrase_and_a_key_open_their_own_files_only() {
    let passphrase = |text| Recipients::dangerous_passphrase(secret(text), 1);
    let file = sealed(&passphrase("one"), b"content");
    assert!(is_age(&file) && asks_for_passphrase(&file[..]).unwrap());
    let mut read = Vec::new();
    let key = Key::Passphrase(secret("one"));
    open(&file[..], &key)
        .unwrap()
        .read_to_end(&mut read)
        .unwrap();
    assert_eq!(read, b"content");
    for key in [
        Key::Passphrase(secret("two")),
        Key::Identities(secret(IDENTITY)),
    ] {
        assert!(matches!(
            open(&file[..], &key).err(),
            Some(AgeError::WrongKey)
        ));
    }
    let file = for_key(b"content");
    assert!(!asks_for_passphrase(&file[..]).unwrap());
    let key = Key::Passphrase(secret("one"));
    assert!(matches!(
        open(&file[..], &key).err(),
        Some(AgeError::WrongKey)
    ));
}

#[test]
fn what_is_no_key_and_no_recipient_is_told() {
    let none: [&str; 0] = [];
    assert!(matches!(
        Recipients::parse(&none),
        Err(AgeError::NoRecipient)
    ));
    let refused = Recipients::parse(&[RECIPIENT, "age1nobody"]);
    assert!(matches!(refused, Err(AgeError::Recipient { text }) if text == "age1nobody"));
    let binary = Recipients::dangerous_passphrase(SecretBytes::copy_from(b"\xff"), 1);
    assert!(matches!(
        seal(Vec::new(), &binary).err(),
        Some(AgeError::PassphraseNotText)
    ));
    let file = for_key(b"content");
    for text in ["", "# no key\n", "-----BEGIN OPENSSH PRIVATE KEY-----\n"] {
        let opened = open(&file[..], &Key::Identities(secret(text)));
        assert!(matches!(opened.err(), Some(AgeError::Identity)), "{text}");
    }
}

#[test]
fn absurd_work_is_refused_before_it_is_done() {
    // 2^30 would take a TiB of memory and minutes.
    for factor in [WORK_FACTOR_MAX + 1, 30, 63] {
        let (salt, body) = ("A".repeat(22), "A".repeat(43));
        let text =
            format!("age-encryption.org/v1\n-> scrypt {salt} {factor}\n{body}\n--- {body}\n");
        let file = [text.as_bytes(), &[0; 64]].concat();
        let opened = open(&file[..], &Key::Passphrase(secret("any")));
        assert!(matches!(opened.err(), Some(AgeError::ExcessiveWork { asked }) if asked == factor));
    }
}

#[test]
fn a_sealed_file_can_be_read_from_anywhere_in_it() {
    const CHUNK: usize = 64 * 1024;
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7] {
        let content: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let file = for_key(&content);
        let key = Key::Identities(secret(IDENTITY));
        let mut reader = open_binary(std::io::Cursor::new(&file), &key).unwrap();
        assert_eq!(reader.seek(SeekFrom::End(0)).unwrap(), len as u64);
        for at in [0, len / 2, len, 0, len.saturating_sub(1), len / 3] {
            reader.seek(SeekFrom::Start(at as u64)).unwrap();
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, &content[at..], "{at} of {len}");
        }
    }
}
