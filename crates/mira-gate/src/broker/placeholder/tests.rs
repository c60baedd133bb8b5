//! Tests of what placeholders look like, and of what is not in them.

use mira_secret::SecretBytes;
use proptest::prelude::*;

use super::*;

fn made_for(value: &[u8]) -> Box<str> {
    let name: SecretName = "KEY_1".parse().unwrap();
    let value = SecretValue::new(&name, SecretBytes::copy_from(value)).unwrap();
    placeholder(&name, &value)
}

/// Checks that a value's placeholder is a prefix and that many characters of an alphabet.
#[track_caller]
fn check(value: &str, prefix: &str, count: usize, alphabet: &str) {
    let made = made_for(value.as_bytes());
    let rest = made
        .strip_prefix(prefix)
        .unwrap_or_else(|| panic!("{made}"));
    assert_eq!(rest.len(), count, "{made}");
    assert!(
        rest.chars().all(|character| alphabet.contains(character)),
        "{made}"
    );
    assert_ne!(made, made_for(value.as_bytes()));
}

const LETTERS_AND_DIGITS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

#[test]
fn a_key_keeps_its_vendors_prefix_its_length_and_its_alphabet() {
    let forty = "aZ0".repeat(20).split_at(40).0.to_owned();
    check(
        &format!("sk-proj-{forty}"),
        "sk-proj-",
        40,
        LETTERS_AND_DIGITS,
    );
    check(
        &format!("sk-ant-api03-{forty}"),
        "sk-ant-api03-",
        40,
        LETTERS_AND_DIGITS,
    );
    check(&format!("sk-{forty}"), "sk-", 40, LETTERS_AND_DIGITS);
    check(&format!("ghp_{forty}"), "ghp_", 40, LETTERS_AND_DIGITS);
    check(
        &format!("sk-or-v1-{}", "0af".repeat(20)),
        "sk-or-v1-",
        60,
        "0123456789abcdef",
    );
    check(&"0AF".repeat(11), "", 33, "0123456789ABCDEF");
    check(
        &"az09".repeat(8),
        "",
        32,
        "abcdefghijklmnopqrstuvwxyz0123456789",
    );
    check(
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "",
        40,
        LETTERS_AND_DIGITS,
    );
    check(
        "AKIAIOSFODNN7EXAMPLE",
        "AKIA",
        16,
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    );
    check(
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "",
        41,
        LETTERS_AND_DIGITS,
    );
}

#[test]
fn a_short_key_gets_enough_random_characters() {
    check("1234", "", 31, "0123456789");
    check("beef", "", 25, "0123456789abcdef");
    check("hunter2", "", 20, "abcdefghijklmnopqrstuvwxyz0123456789");
    check("sk-", "sk-", 31, "0123456789");
    check("AKIA234", "AKIA", 31, "0123456789");
}

#[test]
fn what_is_no_key_in_one_word_gets_a_text_that_says_so() {
    let values: [&[u8]; 4] = [
        b"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
        b"\xff\xfe",
        "schl\u{fc}ssel".as_bytes(),
        b"postgres://user:password@host/db",
    ];
    for value in values {
        let made = made_for(value);
        let random = made.strip_prefix("mira-placeholder-KEY_1-").unwrap();
        assert_eq!(random.len(), 24, "{made}");
    }
}

#[test]
fn every_character_of_an_alphabet_is_used_and_no_other() {
    for (alphabet, _) in ALPHABETS {
        let mut used = random(alphabet, 20_000).into_bytes();
        used.sort_unstable();
        used.dedup();
        let mut expected = alphabet.to_vec();
        expected.sort_unstable();
        assert_eq!(used, expected);
    }
}

proptest! {
    #[test]
    fn nothing_changes_a_placeholder_on_its_way(value in "[ -~]{1,80}|\\PC{1,40}|[A-Za-z0-9_-]{1,300}") {
        let made = made_for(value.as_bytes());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        prop_assert!(made.bytes().all(plain), "{}", made);
        prop_assert!(made.len() >= 20 && made.len() <= 5000);
    }

    #[test]
    fn nothing_of_the_value_is_in_it_but_the_prefix(
        prefix in prop::sample::select(PREFIXES),
        rest in "[A-Za-z0-9+/_-]{8,120}",
    ) {
        let value = format!("{prefix}{rest}");
        let made = made_for(value.as_bytes());
        // The prefix that is kept may be a longer one than was asked for.
        let kept = PREFIXES.iter().filter(|prefix| value.starts_with(**prefix)).map(|prefix| prefix.len()).max().unwrap();
        prop_assert_eq!(made.as_bytes().get(..kept), value.as_bytes().get(..kept));
        let (_, secret) = value.split_at(kept);
        let (_, random) = made.split_at(kept);
        for piece in secret.as_bytes().windows(8) {
            prop_assert!(!random.as_bytes().windows(8).any(|window| window == piece));
        }
    }

    #[test]
    fn a_value_of_few_digits_is_not_in_its_own_placeholder(value in "[0-9]{4,5}") {
        prop_assert!(!made_for(value.as_bytes()).contains(&value));
    }
}
