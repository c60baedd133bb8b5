//! Sealed secrets, also with the `age` of the system and with another reader of dotenv files.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Command;

use mira_age::{AgeError, Key, Recipients};
use mira_package::sealed::{DotenvError, Fault, SECRETS_MAX, Sealed, SealedError, seal};
use mira_secret::SecretBytes;
use mira_testkit::home::TestHome;
use mira_testkit::terminal::Terminal;
use proptest::prelude::*;

use crate::common::{Pair, cheap, passphrase, secret, secrets, shown};

/// From the age project's own test vectors: a key that anybody knows.
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

const TEXT: &str = "# made by hand\nexport A='one two'\nB=\"päss\\$word\nline 2\"\n";

fn pairs() -> Vec<(&'static str, &'static str)> {
    vec![("A", "one two"), ("B", "päss$word\nline 2")]
}

fn known() -> (Recipients, Key) {
    let recipients = Recipients::parse(&[RECIPIENT]).expect("a recipient");
    (recipients, Key::Identities(secret(IDENTITY)))
}

fn by_age_crate(content: &[u8]) -> Sealed {
    let recipient: age::x25519::Recipient = RECIPIENT.parse().expect("a recipient");
    Sealed::new(age::encrypt(&recipient, content).expect("it is sealed")).expect("it is sealed")
}

#[test]
fn what_is_sealed_is_opened_by_its_password_alone() {
    let given = secrets(&pairs());
    let sealed = seal(&given, &cheap("open sesame")).unwrap();
    assert!(sealed.asks_for_passphrase().unwrap());
    assert_eq!(sealed.open(&passphrase("open sesame")).unwrap(), given);
    for key in [passphrase("open simsim"), known().1] {
        let wrong = sealed.open(&key);
        assert!(
            matches!(wrong, Err(SealedError::Age(AgeError::WrongKey))),
            "{wrong:?}"
        );
    }
    let again = seal(&given, &cheap("open sesame")).unwrap();
    assert_ne!(again.blob(), sealed.blob());
}

#[test]
fn age_opens_what_was_sealed_and_what_it_sealed_is_opened() {
    let home = TestHome::new();
    let pair = Pair::make(&home);
    let identity = home.path().join("identity");
    fs::write(&identity, &pair.identity).unwrap();
    let sealed = seal(&secrets(&pairs()), &pair.recipients()).unwrap();
    let age = home.mira("age").arg("-d").arg("-i").arg(&identity);
    let opened = age.stdin_bytes(sealed.as_bytes()).run().assert_code(0);
    assert_eq!(
        opened.stdout_text(),
        "A=\"one two\"\nB=\"päss\\$word\nline 2\"\n"
    );
    for armor in [None, Some("-a")] {
        let age = home.mira("age").args(armor).args(["-r", &pair.recipient]);
        let file = age.stdin_bytes(TEXT).run().assert_code(0).stdout.clone();
        let opened = Sealed::new(file).unwrap().open(&pair.key()).unwrap();
        assert_eq!(opened, secrets(&pairs()));
    }
}

#[test]
fn a_key_of_ssh_opens_what_was_sealed_for_it() {
    let home = TestHome::new();
    let file = home.path().join("key");
    let keygen = home
        .mira("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "me", "-f"]);
    keygen.arg(&file).run().assert_code(0);
    let public = fs::read_to_string(file.with_extension("pub")).unwrap();
    let recipients = Recipients::parse(&[public.trim()]).unwrap();
    let sealed = seal(&secrets(&pairs()), &recipients).unwrap();
    let key = Key::Identities(SecretBytes::from_vec(fs::read(&file).unwrap()));
    assert_eq!(sealed.open(&key).unwrap(), secrets(&pairs()));
    let age = home.mira("age").arg("-d").arg("-i").arg(&file);
    age.stdin_bytes(sealed.as_bytes()).run().assert_code(0);
}

/// Passwords are typed: `age` takes them from nowhere else.
#[test]
fn a_password_typed_to_age_works_both_ways() {
    let home = TestHome::new();
    let [text, ours, theirs] = ["text", "ours", "theirs"].map(|name| home.path().join(name));
    fs::write(&text, TEXT).unwrap();
    let mut command = Command::new("age");
    command.arg("-p").arg("-o").arg(&theirs).arg(&text);
    let mut terminal = Terminal::start(command);
    for prompt in ["Enter passphrase", "Confirm passphrase"] {
        terminal.expect(prompt);
        terminal.send("open sesame\r");
    }
    assert!(terminal.wait().success(), "{}", terminal.transcript());
    let sealed = Sealed::new(fs::read(&theirs).unwrap()).unwrap();
    let opened = sealed.open(&passphrase("open sesame")).unwrap();
    assert_eq!(opened, secrets(&pairs()));

    let sealed = seal(&opened, &Recipients::passphrase(secret("open sesame"))).unwrap();
    // As much work for each guess as with `age -p`.
    let header = String::from_utf8_lossy(sealed.as_bytes()).into_owned();
    assert!(header.lines().nth(1).unwrap().ends_with(" 18"));
    fs::write(&ours, sealed.as_bytes()).unwrap();
    fs::remove_file(&text).unwrap();
    let mut command = Command::new("age");
    command.arg("-d").arg("-o").arg(&text).arg(&ours);
    let mut terminal = Terminal::start(command);
    terminal.expect("Enter passphrase");
    terminal.send("open sesame\r");
    assert!(terminal.wait().success(), "{}", terminal.transcript());
    assert!(
        fs::read_to_string(&text)
            .unwrap()
            .starts_with("A=\"one two\"\n")
    );
}

#[test]
fn absurd_work_is_refused_before_it_is_done() {
    let (salt, body) = ("A".repeat(22), "A".repeat(43));
    let text = format!("age-encryption.org/v1\n-> scrypt {salt} 30\n{body}\n--- {body}\n");
    let file = [text.as_bytes(), &[0; 64]].concat();
    let opened = Sealed::new(file).unwrap().open(&passphrase("any"));
    let expected = |error: &SealedError| {
        matches!(
            error,
            SealedError::Age(AgeError::ExcessiveWork { asked: 30 })
        )
    };
    assert!(opened.is_err_and(|error| expected(&error)));
}

#[test]
fn a_changed_file_is_refused() {
    let (recipients, key) = known();
    let sealed = seal(&secrets(&pairs()), &recipients).unwrap();
    let bytes = sealed.as_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        assert!(
            Sealed::new(changed)
                .and_then(|sealed| sealed.open(&key))
                .is_err(),
            "byte {at}"
        );
        let cut = Sealed::new(bytes[..at].to_vec()).and_then(|sealed| sealed.open(&key));
        assert!(cut.is_err(), "cut at {at}");
    }
}

#[test]
fn what_cannot_be_sealed_is_told() {
    let (recipients, _) = known();
    let seal = |pairs: &[(&str, &[u8])]| seal(&secrets(pairs), &recipients);
    assert!(matches!(seal(&[]), Err(SealedError::Empty)));
    assert!(
        matches!(seal(&[("A", b"\xff")]), Err(SealedError::NotText { name }) if name.as_str() == "A")
    );
    assert!(matches!(
        seal(&[("A", b"1"), ("A", b"2")]),
        Err(SealedError::Twice { .. })
    ));
    let names: Vec<String> = (0..=SECRETS_MAX).map(|at| format!("A{at}")).collect();
    let many: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), &b"1"[..]))
        .collect();
    assert!(matches!(seal(&many), Err(SealedError::TooMany)));
    let long = vec![b'x'; 100_000];
    let long: Vec<(&str, &[u8])> = many
        .iter()
        .take(11)
        .map(|(name, _)| (*name, &long[..]))
        .collect();
    assert!(matches!(seal(&long), Err(SealedError::TooLong { .. })));
    assert!(seal(&many[1..]).is_ok());
}

#[test]
fn what_is_not_sealed_secrets_is_told_without_its_text() {
    let (_, key) = known();
    assert!(matches!(
        Sealed::new(b"A=canary".to_vec()),
        Err(SealedError::NotAge)
    ));
    let long = vec![0; usize::try_from(Sealed::BYTES_MAX).unwrap() + 1];
    assert!(matches!(
        Sealed::new(long),
        Err(SealedError::TooLong { .. })
    ));
    for (text, line, fault) in [
        ("{\"A\": \"canary\"}", 1, Fault::NotAssignment),
        ("A=1\ncanary=$canary", 2, Fault::NeedsQuotes),
        ("A=1\nA=canary", 2, Fault::Twice),
        ("A=\"canary", 1, Fault::OpenQuote),
    ] {
        let error = by_age_crate(text.as_bytes()).open(&key).unwrap_err();
        let expected = DotenvError { line, fault };
        assert!(
            matches!(&error, SealedError::Content(found) if *found == expected),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    assert!(by_age_crate(b"").open(&key).unwrap().is_empty());
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened_and_read_alike_by_others(
        given in proptest::collection::btree_map("[A-Z_][A-Z0-9_]{0,8}", "[^\0]{1,60}", 1..5),
    ) {
        let pairs: Vec<(&str, &str)> = given.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let (recipients, key) = known();
        let sealed = seal(&secrets(&pairs), &recipients).unwrap();
        prop_assert_eq!(shown(&sealed.open(&key).unwrap()), shown(&secrets(&pairs)));
        let identity: age::x25519::Identity = IDENTITY.parse().unwrap();
        let text = age::decrypt(&identity, sealed.as_bytes()).unwrap();
        let others: Vec<_> = dotenvy::from_read_iter(&text[..]).collect::<Result<_, _>>().unwrap();
        let expected: Vec<_> = given.into_iter().collect();
        prop_assert_eq!(others, expected);
    }

    #[test]
    fn what_is_read_at_all_is_read_alike_by_others(
        text in "((export )?[AB_]{1,3}=['\"]?[ab\\\\\"'$ #n\n\r\t=`é]{0,8}['\"]?[ #]{0,3}\n){0,3}[ #]{0,2}",
    ) {
        if let Ok(found) = mira_package::sealed::parse(&secret(&text)) {
            let others: Result<Vec<_>, _> = dotenvy::from_read_iter(text.as_bytes()).collect();
            let others = others.map(|pairs| pairs.into_iter().map(|(name, value)| (name, value.into_bytes())).collect::<Vec<_>>());
            prop_assert_eq!(others.ok(), Some(shown(&found)), "{:?}", text);
        }
    }
}

#[test]
fn a_stream_that_is_not_finished_is_no_file() {
    let (recipients, key) = known();
    let mut file = Vec::new();
    let mut writer = mira_age::seal(&mut file, &recipients).unwrap();
    writer.write_all(b"A=1\n").unwrap();
    drop(writer);
    assert!(Sealed::new(file.clone()).unwrap().open(&key).is_err());
    let mut none = Vec::new();
    let read = mira_age::open(&file[..], &key).map(|mut reader| reader.read_to_end(&mut none));
    assert!(!matches!(read, Ok(Ok(_))));
}
