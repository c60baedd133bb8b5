//! Which settings are secrets: by their names, and by what their values look like.
//!
//! A guess, and shown to the person before anything is done by it. It errs on the side of taking a setting for a secret:
//! that costs a prompt, and the other way a leak.

/// Parts of names that say that the value is a secret.
const NAMES: &[&str] = &[
    "ACCESS_KEY",
    "ACCESSKEY",
    "API_KEY",
    "APIKEY",
    "AUTHORIZATION",
    "BEARER",
    "CLIENT_SECRET",
    "COOKIE",
    "CREDENTIAL",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PRIVATE_KEY",
    "SECRET",
    "TOKEN",
];

/// Last words of names that say so.
const LAST_WORDS: &[&str] = &["AUTH", "DSN", "KEY", "PASS", "PAT", "PWD"];

/// How values begin that their issuers mark as secrets.
const PREFIXES: &[&str] = &[
    "AIza",
    "AKIA",
    "ASIA",
    "ATATT",
    "EAAG",
    "SG.",
    "api_key",
    "dop_v1_",
    "eyJhbGci",
    "fc-",
    "fig_",
    "figd_",
    "figp_",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "gsk_",
    "hf_",
    "lin_api_",
    "ntn_",
    "npm_",
    "nvapi-",
    "pat-",
    "patAT",
    "pk_live_",
    "pplx-",
    "pul-",
    "pypi-",
    "r8_",
    "rk_live_",
    "sbp_",
    "secret_",
    "shpat_",
    "sk-",
    "sk_live_",
    "sk_test_",
    "sntrys_",
    "tvly-",
    "whsec_",
    "xai-",
    "xapp-",
    "xoxb-",
    "xoxp-",
];

/// A value with such a beginning is a secret from this length on.
const PREFIXED_BYTES_MIN: usize = 16;

/// A value of letters and digits without any sense is a secret from this length on.
const RANDOM_BYTES_MIN: usize = 24;

/// How many bits a character of such a value tells at least: English has under 3 in a text as short, hex about 3.5.
const RANDOM_BITS_MIN: f64 = 3.3;

/// Returns whether a value refers to something that the client looks up: `${input:key}`, `${env:KEY}`, `${KEY}`, `$KEY`.
#[must_use]
pub fn is_reference(value: &str) -> bool {
    let name = value.strip_prefix('$').unwrap_or_default();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    value.contains("${") || is_name
}

/// Returns whether a variable or header of this name and value is to be kept in the vault.
#[must_use]
pub fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    let named = NAMES.iter().any(|part| name.contains(part))
        || name
            .rsplit('_')
            .next()
            .is_some_and(|last| LAST_WORDS.contains(&last));
    !is_reference(value) && ((named && !is_plain(value)) || looks_secret(value))
}

/// Returns whether a value is a secret whatever it is called.
#[must_use]
pub fn looks_secret(value: &str) -> bool {
    // A header's value, and an argument such as `--key=...`, end in it.
    let bare = value.rsplit([' ', '=']).next().unwrap_or(value);
    let prefixed = |value: &str| {
        value.len() >= PREFIXED_BYTES_MIN && PREFIXES.iter().any(|prefix| value.starts_with(prefix))
    };
    (value.contains("-----BEGIN ") && value.contains("PRIVATE KEY-----"))
        || prefixed(value)
        || prefixed(bare)
        || has_password(value)
        || query_secret(value)
        || is_random(bare)
}

/// Returns whether a value says too little to be a secret, or says where something is.
fn is_plain(value: &str) -> bool {
    let is_place = ["/", "~", "./", "../", "\\\\"]
        .iter()
        .any(|begin| value.starts_with(begin))
        || matches!(value.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
        || (value.contains("://") && !has_password(value) && !query_secret(value));
    let is_word = ["true", "false", "yes", "no", "on", "off", "none", "null"]
        .contains(&value.to_ascii_lowercase().as_str());
    let is_small = value.len() <= 6 && value.bytes().all(|byte| byte.is_ascii_digit());
    value.trim().is_empty() || is_place || is_word || is_small
}

/// Returns whether a URL has a password in front of its host.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .and_then(|(user, _)| user.split_once(':'))
        .is_some_and(|(_, password)| !password.is_empty())
}

/// Returns whether a URL has a parameter that is called as a secret.
fn query_secret(value: &str) -> bool {
    if !value.contains("://") {
        return false;
    }
    let query = value.split_once('?').map_or("", |(_, query)| query);
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .any(|(name, value)| {
            let name = name.to_ascii_uppercase().replace('-', "_");
            let named = NAMES
                .iter()
                .chain(&["KEY"])
                .any(|part| name.ends_with(part));
            named && !is_plain(value) && !is_reference(value)
        })
}

/// Returns whether a value is one long word of letters and digits, as evenly spread as chance spreads them.
fn is_random(value: &str) -> bool {
    let is_word = value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-+/=.".contains(&byte));
    let has = |test: fn(&u8) -> bool| value.as_bytes().iter().any(test);
    value.len() >= RANDOM_BYTES_MIN
        && is_word
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
        && !value.starts_with(['/', '.'])
        && !is_uuid(value)
        // A path, a package, a model or a date in words: short parts, each with a sense.
        && value.split(['/', '.', '-', '_']).any(|part| part.len() >= 16)
        && bits_per_character(value) >= RANDOM_BITS_MIN
}

/// Returns whether a value is a UUID (RFC 9562), which more often names a thing than opens one.
fn is_uuid(value: &str) -> bool {
    let lens = value.split('-').map(str::len);
    lens.eq([8, 4, 4, 4, 12]) && value.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// Returns the entropy of a text's characters, as they are spread in itself.
fn bits_per_character(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let len = text.len() as f64;
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f64::from(count) / len)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name_or_value_and_settings_are_not_taken_for_them() {
        let check = |name: &str, value: &str, expect: bool| {
            assert_eq!(is_secret(name, value), expect, "{name}={value}");
        };
        check("GITHUB_PERSONAL_ACCESS_TOKEN", "abc123xyz", true);
        check("BRAVE_API_KEY", "BSAx", true);
        check("apiKey", "s3cret-word", true);
        check("X-Api-Key", "word", true);
        check("Authorization", "Bearer word", true);
        check("DB_PASSWORD", "hunter2", true);
        check("MY_PAT", "word-1", true);
        check("DATABASE_URL", "postgres://app:pass@db/x", true);
        check("THING", "ghp_4fXq81LmZ0pTw7RkAbCdEfGh", true);
        check("THING", "Bearer sk-proj-7Fq2mXv9LrT4bWc8ZnYd", true);
        check("THING", "7Fq2mXv9LrT4bWc8ZnYd0pQs", true);
        check("THING", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", true);
        check(
            "ENDPOINT",
            "https://mcp.example/mcp/?tavilyApiKey=abc-1",
            true,
        );

        check("GITHUB_TOKEN", "", false);
        check("GITHUB_TOKEN", "${env:GITHUB_TOKEN}", false);
        check("API_KEY", "$API_KEY", false);
        check("Authorization", "Bearer ${input:key}", false);
        check("MAX_TOKENS", "4096", false);
        check("USE_TOKEN", "true", false);
        check("GOOGLE_APPLICATION_CREDENTIALS", "/home/a/key.json", false);
        check("SSH_KEY", "~/.ssh/id_ed25519", false);
        check("TOKEN_URL", "https://login.example/oauth/token", false);
        check("DATABASE_URL", "postgres://localhost/x", false);
        check("LOG_LEVEL", "debug", false);
        check("MODEL", "claude-sonnet-4-5-20250929", false);
        check("PACKAGE", "@modelcontextprotocol/server-github", false);
        check("PROJECT", "123e4567-e89b-12d3-a456-426614174000", false);
        check("KEYBOARD", "german", false);
        check(
            "ROOT",
            "/usr/lib/node_modules/server1/dist/index0000.js",
            false,
        );
    }
}
