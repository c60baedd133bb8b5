//! What can be wrong with a call, in the words of whoever has to mend it.

/// Why a call did not do what it was to do. No variant holds a key; `said` is the provider's own message, redacted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The host's name is not known.
    #[error("the host {host} is not known: its name has no address here")]
    NoAddress {
        /// Its name.
        host: String,
    },
    /// Nobody listens.
    #[error("nothing listens at {at}: the connection was refused")]
    ConnectionRefused {
        /// Host and port.
        at: String,
    },
    /// There is no way there, or it broke off.
    #[error("{at} cannot be reached: {why}")]
    Unreachable {
        /// Host and port.
        at: String,
        /// The system's answer.
        why: String,
    },
    /// No answer came in time.
    #[error("{at} did not answer within {seconds} seconds")]
    Timeout {
        /// Host and port.
        at: String,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The encrypted connection was not made.
    #[error("the encrypted connection to {at} could not be made: {why}")]
    Tls {
        /// Host and port.
        at: String,
        /// The TLS library's answer.
        why: String,
    },
    /// The proxy did not let the call through.
    #[error("the proxy {proxy} did not connect to {at}: {why}")]
    ProxyRefused {
        /// The proxy's host and port.
        proxy: String,
        /// Where the call was to go.
        at: String,
        /// What it said.
        why: String,
    },
    /// A key would go over an open line.
    #[error("no key is sent to {at}: the connection would not be encrypted")]
    Unencrypted {
        /// Host and port.
        at: String,
    },
    /// A key that no request can carry.
    #[error("{name} holds characters that no API key has, such as a line break")]
    KeyShape {
        /// The key's name.
        name: String,
    },
    /// The key is not one, or not any more.
    #[error("the key was not accepted{}", quoted(said))]
    BadKey {
        /// What the provider said.
        said: String,
    },
    /// The key may not do this.
    #[error("the key is right, but it may not {action}{}", quoted(said))]
    NoPermission {
        /// What was tried: a verb, or the name of AWS's action.
        action: String,
        /// What the provider said.
        said: String,
    },
    /// The model is not there for this key.
    #[error("there is no model {model} for this key{}", quoted(said))]
    NoModel {
        /// The model that was asked for.
        model: String,
        /// What the provider said.
        said: String,
    },
    /// Too many requests.
    #[error("the rate limit is reached{}{}", after(*retry_after_s), quoted(said))]
    RateLimited {
        /// When to try again, in seconds, if the provider said so.
        retry_after_s: Option<u64>,
        /// What the provider said.
        said: String,
    },
    /// What was paid for, or allowed, is used up.
    #[error("the quota or credit of this key is used up{}", quoted(said))]
    QuotaExhausted {
        /// What the provider said.
        said: String,
    },
    /// The clock of this machine is wrong.
    #[error("this machine's clock is {} {}: it says another time than the server", duration(*ahead_s), if *ahead_s < 0 { "behind" } else { "ahead" })]
    ClockSkew {
        /// By how much it is ahead of the server's clock, in seconds.
        ahead_s: i64,
    },
    /// Something answers that is no such API.
    #[error("{at} answers, but not as {api} does: {found}")]
    NotThisApi {
        /// Host and port.
        at: String,
        /// What was expected.
        api: String,
        /// What came instead.
        found: String,
    },
    /// The server is somewhere else.
    #[error("{at} sends callers on to {to}, and keys are not sent on")]
    Redirected {
        /// Host and port.
        at: String,
        /// Host and port of the other one.
        to: String,
    },
    /// The server has trouble.
    #[error("{at} has trouble of its own (status {status}){}", quoted(said))]
    Trouble {
        /// Host and port.
        at: String,
        /// The HTTP status.
        status: u16,
        /// What the provider said.
        said: String,
    },
    /// Anything else that was refused.
    #[error("{at} refused the request (status {status}){}", quoted(said))]
    Refused {
        /// Host and port.
        at: String,
        /// The HTTP status.
        status: u16,
        /// What the provider said.
        said: String,
    },
    /// AWS does not know the access key.
    #[error(
        "AWS knows no such access key: the access key id is wrong, or the key was deleted or is inactive"
    )]
    UnknownAccessKey,
    /// The secret access key does not belong to the access key id.
    #[error(
        "the secret access key is wrong: AWS knows the access key id, and the signature does not match"
    )]
    WrongSecretKey,
    /// The session token has ended.
    #[error("the session token has expired")]
    ExpiredToken,
    /// The session token is none, or another key's.
    #[error(
        "AWS knows no such temporary key: the session token or the access key id is wrong, or they do not belong together"
    )]
    InvalidToken,
    /// The region has no Bedrock.
    #[error("there is no Bedrock in the region {region}")]
    NoBedrock {
        /// The region.
        region: String,
    },
}

impl Fault {
    /// Returns a word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoAddress { .. } => "no-address",
            Self::ConnectionRefused { .. } => "connection-refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::Tls { .. } => "tls",
            Self::ProxyRefused { .. } => "proxy-refused",
            Self::Unencrypted { .. } => "unencrypted",
            Self::KeyShape { .. } => "key-shape",
            Self::BadKey { .. } => "bad-key",
            Self::NoPermission { .. } => "no-permission",
            Self::NoModel { .. } => "no-model",
            Self::RateLimited { .. } => "rate-limited",
            Self::QuotaExhausted { .. } => "quota-exhausted",
            Self::ClockSkew { .. } => "clock-skew",
            Self::NotThisApi { .. } => "not-this-api",
            Self::Redirected { .. } => "redirected",
            Self::Trouble { .. } => "trouble",
            Self::Refused { .. } => "refused",
            Self::UnknownAccessKey => "unknown-access-key",
            Self::WrongSecretKey => "wrong-secret-key",
            Self::ExpiredToken => "expired-token",
            Self::InvalidToken => "invalid-token",
            Self::NoBedrock { .. } => "no-bedrock",
        }
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoAddress { .. } => {
                "Look for a slip in the address or the region, and whether this machine is online."
            }
            Self::ConnectionRefused { .. } => "Start the server, or look at its address and port.",
            Self::Unreachable { .. } => "Look at the network, a firewall or a VPN, and try again.",
            Self::Timeout { .. } => {
                "Try again; --timeout waits longer. A firewall may swallow the connection."
            }
            Self::Tls { .. } => {
                "A proxy that opens connections, a wrong clock or a missing authority is the usual cause; SSL_CERT_FILE names the authorities to trust."
            }
            Self::ProxyRefused { .. } => {
                "Look at HTTPS_PROXY; NO_PROXY names hosts that are called directly."
            }
            Self::Unencrypted { .. } => "Give an address that begins with https://.",
            Self::KeyShape { .. } => "Save it anew, without what was pasted around it.",
            Self::BadKey { .. } => {
                "Look whether it was copied whole and is not revoked, and save it anew with `mira set NAME`."
            }
            Self::NoPermission { .. } => {
                "Whoever manages the account can allow it, or make another key."
            }
            Self::NoModel { .. } => {
                "Look for a slip in its name, and ask for access to it where the provider wants that."
            }
            Self::RateLimited { .. } => "The key works; wait, and try again.",
            Self::QuotaExhausted { .. } => {
                "Look at the plan, the limits and the credit of the account."
            }
            Self::ClockSkew { .. } => "Set the clock, for example with: timedatectl set-ntp true",
            Self::NotThisApi { .. } => {
                "Look at the address: many APIs are below /v1, and a sign-in page answers for what is behind it."
            }
            Self::Redirected { .. } => "If that is the right host, give its address.",
            Self::Trouble { .. } => "Try again later; the provider's status page may say more.",
            Self::Refused { .. } => "The message is the provider's own.",
            Self::UnknownAccessKey => {
                "Look at the access key id in the IAM console, and save it with `mira aws set`."
            }
            Self::WrongSecretKey => {
                "AWS shows a secret access key only once: make a new access key if you do not have it, and save it with `mira aws set`."
            }
            Self::ExpiredToken => {
                "Get new temporary credentials, and save them with `mira aws set`."
            }
            Self::InvalidToken => {
                "Save all three parts of one set of temporary credentials with `mira aws set`."
            }
            Self::NoBedrock { .. } => {
                "Choose a region that has it, such as us-east-1 or eu-central-1: mira aws set --region REGION"
            }
        }
    }
}

fn quoted(said: &str) -> String {
    match said.is_empty() {
        true => String::new(),
        false => format!("; it says: {said}"),
    }
}

fn after(seconds: Option<u64>) -> String {
    seconds.map_or_else(String::new, |seconds| {
        format!("; it may be tried again in {} seconds", seconds)
    })
}

/// Renders a difference of clocks as a person says it.
fn duration(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    let unit = |number: u64, unit: &str| match number {
        1 => format!("1 {unit}"),
        _ => format!("{number} {unit}s"),
    };
    match seconds {
        0..120 => unit(seconds, "second"),
        120..7200 => unit(seconds / 60, "minute"),
        7200..172_800 => unit(seconds / 3600, "hour"),
        _ => unit(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_told_with_how_much() {
        let check = |ahead_s: i64, expect: &str| {
            let told = Fault::ClockSkew { ahead_s }.to_string();
            assert!(told.contains(expect), "{told}");
        };
        check(7 * 60 + 3, "7 minutes ahead");
        check(-3 * 3600, "3 hours behind");
        check(-86_400 * 400, "400 days behind");
    }

    #[test]
    fn what_the_provider_said_is_told_where_it_said_something() {
        let said = |said: &str| {
            Fault::BadKey {
                said: said.to_owned(),
            }
            .to_string()
        };
        assert_eq!(said(""), "the key was not accepted");
        assert_eq!(said("No."), "the key was not accepted; it says: No.");
    }
}
