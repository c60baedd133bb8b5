//! How requests get out: TLS with the system's authorities (`SSL_CERT_FILE` names others), by the proxy that the environment names.
//!
//! INVARIANT: redirects are not followed, so a key goes nowhere but to the address that was configured.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore};

/// How long a connection may take to be made.
// LIMIT: the slowest network answers within some seconds.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(15);

/// Returns what makes requests.
///
/// # Errors
///
/// Returns what the TLS library or the system says against it.
pub(crate) fn client() -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_WAIT_MAX)
        .user_agent("mira-reviewer")
        .build()?;
    Ok(client)
}
