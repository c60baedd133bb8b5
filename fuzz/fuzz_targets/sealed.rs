//! Sealed secrets of any bytes: what is read at all, another reader of dotenv files reads alike, and it comes out again as
//! it was when it is sealed and opened. Files that are no whole age file are errors.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mira_age::{Key, Recipients};
use mira_package::sealed::{Sealed, parse, seal};
use mira_package::signature::{PublisherKey, check};
use mira_secret::SecretBytes;

const IDENTITY: &[u8] =
    b"AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

static PUBLISHER: LazyLock<PublisherKey> = LazyLock::new(|| {
    let key = "RWT3x4OIKmH4q1FI/X+a3WWF4LJho6fvOKZ7eP/pGKNlU1EB6fJiOU7a";
    key.parse().expect("minisign made it")
});

fuzz_target!(|data: &[u8]| {
    let key = || Key::Identities(SecretBytes::copy_from(IDENTITY));
    if let Ok(secrets) = parse(&SecretBytes::copy_from(data)) {
        let others: Vec<_> = dotenvy::from_read_iter(data)
            .collect::<Result<_, _>>()
            .expect("what is read here is read by others");
        assert_eq!(others.len(), secrets.len());
        for ((name, value), (other_name, other)) in secrets.iter().zip(&others) {
            assert_eq!(
                (name.as_str(), value.expose()),
                (other_name.as_str(), other.as_bytes())
            );
        }
        if !secrets.is_empty() {
            let recipients = Recipients::parse(&[RECIPIENT]).expect("a recipient");
            let sealed = seal(&secrets, &recipients).expect("it was read, so it can be written");
            assert!(sealed.open(&key()).expect("it was sealed for the key") == secrets);
        }
    }
    let file = [b"age-encryption.org/v1\n", data].concat();
    assert!(Sealed::new(file).is_ok_and(|sealed| sealed.open(&key()).is_err()));
    let found = check(std::io::empty(), Some(data), &[&PUBLISHER]);
    assert!(!matches!(
        found,
        Ok(mira_package::signature::Signature::Valid { .. })
    ));
});
