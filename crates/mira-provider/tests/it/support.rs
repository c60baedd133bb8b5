//! What the tests share: a caller, keys, and a way to wait.

use std::time::Duration;

use mira_provider::{Caller, Proxies, Reach, TIMEOUT};
use mira_secret::SecretBytes;
use mira_testkit::origin::AwsKeys;
use mira_vault::AwsCredentials;

// The examples of AWS's documentation.
pub(crate) const LONG: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const SHORT: &str = "ASIAIOSFODNN7EXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub(crate) const TOKEN: &str = "AQoDYXdzEJr1K8Ejd1ez+o/GLvgJ8l==";

/// Waits for a call.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

pub(crate) fn caller() -> Caller {
    caller_by(Proxies::default(), TIMEOUT)
}

pub(crate) fn caller_by(proxies: Proxies, timeout: Duration) -> Caller {
    Caller::new(Reach { proxies, timeout }).unwrap()
}

pub(crate) fn credentials(id: &str, secret: &str, token: Option<&str>) -> AwsCredentials {
    let bytes = |text: &str| SecretBytes::copy_from(text.as_bytes());
    AwsCredentials::new(bytes(id), bytes(secret), token.map(bytes), None).unwrap()
}

pub(crate) fn keys(id: &str, secret: &str, token: Option<&str>) -> AwsKeys {
    AwsKeys {
        access_key_id: id.to_owned(),
        secret_access_key: secret.to_owned(),
        session_token: token.map(str::to_owned),
    }
}
