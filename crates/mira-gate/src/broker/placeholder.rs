//! What a program has instead of a brokered secret: a random text of the same shape.
//!
//! Clients look at a key before they send it: at its prefix, its length, its characters. A placeholder passes such looks, and is found again in
//! whatever the program sends. It consists of letters, digits and what a vendor's prefix holds, so no URL, JSON text or shell changes it.
//!
//! INVARIANT: nothing of the value is in its placeholder but a prefix from the table below, which tells the vendor and nothing else.

use mira_secret::{SecretName, SecretValue};

/// Prefixes of keys that vendors publish.
const PREFIXES: &[&str] = &[
    "AIza",
    "AKIA",
    "ASIA",
    "GOCSPX-",
    "SG.",
    "dckr_pat_",
    "dop_v1_",
    "e2b_",
    "fc-",
    "gho_",
    "ghp_",
    "ghr_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "gsk_",
    "hf_",
    "lin_api_",
    "lsv2_pt_",
    "npm_",
    "ntn_",
    "nvapi-",
    "phc_",
    "phx_",
    "pplx-",
    "pypi-",
    "r8_",
    "rk_live_",
    "rk_test_",
    "shpat_",
    "sk-",
    "sk-admin-",
    "sk-ant-admin01-",
    "sk-ant-api03-",
    "sk-ant-oat01-",
    "sk-lf-",
    "sk-or-v1-",
    "sk-proj-",
    "sk-svcacct-",
    "sk_live_",
    "sk_test_",
    "tvly-",
    "whsec_",
    "xai-",
    "xapp-",
    "xoxb-",
    "xoxp-",
];

/// Letters and digits, and how many of them at random are 100 bits and at least 20 characters: so that no two placeholders are the same, and none is
/// found where it was not put.
type Alphabet = (&'static [u8], usize);

const BASE32: Alphabet = (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 20);
const LOWER: Alphabet = (b"abcdefghijklmnopqrstuvwxyz0123456789", 20);
const ALPHANUMERIC: Alphabet = (
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    20,
);

/// The alphabets of keys, the narrower ones first.
const ALPHABETS: &[Alphabet] = &[
    (b"0123456789", 31),
    (b"0123456789abcdef", 25),
    (b"0123456789ABCDEF", 25),
    BASE32,
    LOWER,
    (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 20),
    ALPHANUMERIC,
];

/// The random characters of an access key id, after `AKIA`: 80 bits, but services and clients take no longer one.
const ACCESS_KEY_ID_CHARACTERS: usize = 16;

// LIMIT: the longest tokens in use have some thousand characters; a header with a longer one is refused by most servers.
const RANDOM_CHARACTERS_MAX: usize = 4096;

/// Makes a placeholder for a secret: of its shape where it is a key in one word, else one that says what it is.
///
/// # Panics
///
/// If the system gives no random bytes, as it does on no system that has started.
#[must_use]
pub fn placeholder(name: &SecretName, value: &SecretValue) -> Box<str> {
    // EXPOSE: to its own shape: the vendor's prefix, which characters there are, and how many.
    let Some(key) = key_in_one_word(value.expose()) else {
        return format!("mira-placeholder-{name}-{}", random(LOWER.0, 24)).into();
    };
    let prefix = PREFIXES.iter().filter(|prefix| key.starts_with(**prefix));
    let prefix = prefix.max_by_key(|prefix| prefix.len()).copied();
    let prefix = prefix.unwrap_or_default();
    let rest = key.strip_prefix(prefix).unwrap_or(key);
    let is_access_key_id = matches!(prefix, "AKIA" | "ASIA")
        && rest.len() == ACCESS_KEY_ID_CHARACTERS
        && rest.bytes().all(|byte| BASE32.0.contains(&byte));
    if is_access_key_id {
        return format!("{prefix}{}", random(BASE32.0, ACCESS_KEY_ID_CHARACTERS)).into();
    }
    let (alphabet, count_min) = alphabet_of(rest);
    let count = rest.len().clamp(count_min, RANDOM_CHARACTERS_MAX);
    loop {
        let made = random(alphabet, count);
        // A value of a few digits may well be in as many random digits as this.
        if rest.len() < 4 || !made.contains(rest) {
            return format!("{prefix}{made}").into();
        }
    }
}

/// Returns the value as a key: characters of the base64 alphabets, and those that tokens are put together with.
fn key_in_one_word(value: &[u8]) -> Option<&str> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_.~".contains(byte);
    let key = std::str::from_utf8(value).ok()?;
    value.iter().all(fits).then_some(key)
}

/// Returns the narrowest alphabet that has all of these characters. Where there is a sign among them, all letters and digits do: no client
/// wants a `+` to be there.
fn alphabet_of(text: &str) -> Alphabet {
    let holds = |(alphabet, _): &&Alphabet| text.bytes().all(|byte| alphabet.contains(&byte));
    ALPHABETS
        .iter()
        .find(holds)
        .copied()
        .unwrap_or(ALPHANUMERIC)
}

/// Makes a random text, each of its characters as likely as every other.
fn random(alphabet: &[u8], count: usize) -> String {
    let mut text = String::with_capacity(count);
    let mut bytes = [0; 64];
    // A byte beyond the last whole repetition of the alphabet would make its first characters likelier.
    let usable = 256 - 256 % alphabet.len();
    while text.len() < count {
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        let usable = bytes
            .iter()
            .map(|byte| usize::from(*byte))
            .filter(|byte| *byte < usable);
        let characters = usable.filter_map(|byte| alphabet.get(byte % alphabet.len()));
        text.extend(
            characters
                .take(count - text.len())
                .map(|byte| char::from(*byte)),
        );
    }
    text
}

#[cfg(test)]
mod tests;
