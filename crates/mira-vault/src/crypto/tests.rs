//! The published test vectors of each algorithm, through this module's own functions.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).unwrap()
}

fn secret(hex: &str) -> SecretBytes {
    SecretBytes::from_vec(bytes(hex))
}

#[test]
fn xchacha20_poly1305_of_the_draft() {
    // draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    let key = secret("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    let nonce: [u8; NONCE_BYTES] = bytes("404142434445464748494a4b4c4d4e4f5051525354555657")
        .try_into()
        .unwrap();
    let beside = AssociatedData(bytes("50515253c0c1c2c3c4c5c6c7"));
    let plain = SecretBytes::copy_from(
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
    );
    let sealed = seal_with_nonce(&key, nonce, &beside, &plain);
    assert_eq!(
        HEXLOWER.encode(&sealed.ciphertext),
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb\
         731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452\
         2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
         21f9664c97637da9768812f615c68b13b52e\
         c0875924c1c7987947deafd8780acf49"
    );
    assert_eq!(open(&key, &beside, &sealed), Ok(plain));
}

#[test]
fn every_flipped_byte_of_a_sealed_text_is_noticed() {
    let key = random_key().unwrap();
    let beside = || AssociatedData::default().field(b"beside");
    let sealed = seal(&key, &beside(), &SecretBytes::copy_from(b"value")).unwrap();
    assert!(open(&key, &beside(), &sealed).is_ok());
    for at in 0..sealed.ciphertext.len() {
        let mut changed = sealed.clone();
        changed.ciphertext[at] ^= 1;
        assert_eq!(open(&key, &beside(), &changed), Err(Forged));
    }
    for at in 0..NONCE_BYTES {
        let mut changed = sealed.clone();
        changed.nonce[at] ^= 1;
        assert_eq!(open(&key, &beside(), &changed), Err(Forged));
    }
    let other = AssociatedData::default().field(b"besidf");
    assert_eq!(open(&key, &other, &sealed), Err(Forged));
    let short = Sealed {
        ciphertext: vec![0; TAG_BYTES - 1],
        ..sealed
    };
    assert_eq!(open(&key, &beside(), &short), Err(Forged));
}

#[test]
fn hkdf_sha256_of_rfc_5869() {
    // Test case 1 of RFC 5869, appendix A; its 22-byte key is no root key, so the call is the one inside `expand`.
    let key = RootKey(secret("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"));
    let mut output = [0; 42];
    key.expand(
        &bytes("000102030405060708090a0b0c"),
        &bytes("f0f1f2f3f4f5f6f7f8f9"),
        &mut output,
    );
    assert_eq!(
        HEXLOWER.encode(&output),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
}

#[test]
fn hmac_sha256_of_rfc_4231() {
    // Test cases 1 and 2 of RFC 4231.
    let check = |key: SecretBytes, text: &[u8], mac: &str| {
        let key = MacKey(key);
        let mac: [u8; DIGEST_BYTES] = bytes(mac).try_into().unwrap();
        assert_eq!(key.authenticate(text), mac);
        assert!(key.verify(text, &mac));
        for at in 0..DIGEST_BYTES {
            let mut wrong = mac;
            wrong[at] ^= 0x80;
            assert!(!key.verify(text, &wrong));
        }
    };
    check(
        SecretBytes::from_vec(vec![0x0b; 20]),
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    );
    check(
        SecretBytes::copy_from(b"Jefe"),
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    );
}

#[test]
fn argon2id_of_the_reference_implementation() {
    // From the test program of the reference implementation (P-H-C/phc-winner-argon2, src/test.c, version 0x13).
    let cost = Argon2Cost {
        memory_kib: 65536,
        iterations: 2,
        parallelism: 1,
    };
    let passphrase = SecretBytes::copy_from(b"password");
    let key = RootKey::derive_from_passphrase(&passphrase, b"somesalt", cost).unwrap();
    assert_eq!(
        HEXLOWER.encode(key.as_secret().expose()),
        "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
    );
}

#[test]
fn purposes_and_vaults_have_keys_of_their_own() {
    let root = RootKey::make_random().unwrap();
    let (one, two) = (
        VaultId::make_random().unwrap(),
        VaultId::make_random().unwrap(),
    );
    let keys = [
        root.derive_mac_key(&one).0,
        root.derive_mac_key(&two).0,
        root.derive_wrapping_key(&one).0,
        root.derive_wrapping_key(&two).0,
        SecretBytes::copy_from(&root.check()),
        SecretBytes::copy_from(root.0.expose()),
    ];
    for (i, a) in keys.iter().enumerate() {
        for b in &keys[i + 1..] {
            assert_ne!(a, b);
        }
    }
    assert!(root.passes(&root.check()));
    assert!(!RootKey::make_random().unwrap().passes(&root.check()));
}

#[test]
fn no_two_lists_of_fields_encode_alike() {
    let encode = |fields: &[&str]| {
        fields
            .iter()
            .fold(AssociatedData::default(), |data, field| {
                data.field(field.as_bytes())
            })
            .0
    };
    assert_eq!(encode(&["ab", ""]), b"\0\0\0\x02ab\0\0\0\0");
    assert_ne!(encode(&["ab", "c"]), encode(&["a", "bc"]));
    assert_ne!(encode(&["a"]), encode(&["a", ""]));
    assert_ne!(encode(&["a", "b"]), encode(&["ab"]));
}

#[test]
fn keys_print_nothing() {
    let root = RootKey(secret(&"41".repeat(32)));
    let printed = format!(
        "{root:?} {:?}",
        root.derive_mac_key(&VaultId::make_random().unwrap())
    );
    assert_eq!(printed, "RootKey(SecretBytes) MacKey(SecretBytes)");
}
