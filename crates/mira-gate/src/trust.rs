//! What is trusted: by the gate, when it calls a host; by programs, when the gate answers in the place of one.
//!
//! A program's settings replace its list of certificates rather than add to it, so what programs are given is always the system's and the gate's
//! together.

use std::fmt;
use std::sync::Arc;

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry};
use pem::Pem;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// The password of the Java trust store. It protects nothing: what is in there is public, and Java wants one.
pub const JAVA_PASSWORD: &str = "changeit";

/// The certificate authorities by which hosts are verified.
#[derive(Clone)]
pub struct Roots {
    certificates: Arc<[CertificateDer<'static>]>,
    /// For requests: HTTP/2 or 1.1, as the host likes.
    pub(crate) any: Arc<ClientConfig>,
    /// For what only HTTP/1.1 can do.
    pub(crate) one: Arc<ClientConfig>,
}

/// Why hosts cannot be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// There is none that could be used.
    #[error("no certificate authority was found on this system")]
    NoRoots,
    /// TLS does not take them.
    #[error("TLS cannot be prepared: {0}")]
    Tls(#[from] rustls::Error),
    /// The store for Java could not be written.
    #[error("the trust store for Java cannot be written: {0}")]
    Java(#[from] p12_keystore::error::Error),
}

impl Roots {
    /// Takes those of the system; `SSL_CERT_FILE` and `SSL_CERT_DIR` say where they are, if they are set.
    ///
    /// # Errors
    ///
    /// Returns an error if there is none.
    pub fn system() -> Result<Self, TrustError> {
        Self::only(rustls_native_certs::load_native_certs().certs)
    }

    /// Takes these and no others.
    ///
    /// # Errors
    ///
    /// Returns an error if none of them is a certificate.
    pub fn only(certificates: Vec<CertificateDer<'static>>) -> Result<Self, TrustError> {
        let mut store = RootCertStore::empty();
        let (used, _) = store.add_parsable_certificates(certificates.iter().cloned());
        if used == 0 {
            return Err(TrustError::NoRoots);
        }
        let mut any = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        any.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut one = any.clone();
        one.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            certificates: certificates.into(),
            any: Arc::new(any),
            one: Arc::new(one),
        })
    }
}

/// What the programs of an instance have to trust, in the forms in which they are told.
pub struct Trust {
    own: CertificateDer<'static>,
    roots: Arc<[CertificateDer<'static>]>,
}

impl Trust {
    pub(crate) fn new(own: CertificateDer<'static>, roots: &Roots) -> Self {
        Self {
            own,
            roots: Arc::clone(&roots.certificates),
        }
    }

    /// Returns the gate's own certificate as PEM.
    #[must_use]
    pub fn certificate(&self) -> String {
        pem::encode(&Pem::new("CERTIFICATE", self.own.as_ref()))
    }

    /// Returns the certificates of the system and the gate's own, as PEM.
    #[must_use]
    pub fn bundle(&self) -> String {
        let all = self.roots.iter().chain([&self.own]);
        let all: Vec<Pem> = all
            .map(|der| Pem::new("CERTIFICATE", der.as_ref()))
            .collect();
        pem::encode_many(&all)
    }

    /// Returns the same certificates as a trust store for Java (PKCS #12), under [`JAVA_PASSWORD`]. Those of the system that its format cannot hold are left out.
    ///
    /// # Errors
    ///
    /// Returns an error if the store cannot be written.
    pub fn java_store(&self) -> Result<Vec<u8>, TrustError> {
        let mut store = KeyStore::new();
        let own = Certificate::from_der(&self.own)?;
        store.add_entry("mira", KeyStoreEntry::Certificate(own));
        for (number, der) in self.roots.iter().enumerate() {
            if let Ok(certificate) = Certificate::from_der(der) {
                let alias = format!("system-{number}");
                store.add_entry(&alias, KeyStoreEntry::Certificate(certificate));
            }
        }
        Ok(store.writer(JAVA_PASSWORD).write()?)
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots")
            .field("certificates", &self.certificates.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("roots", &self.roots.len())
            .finish_non_exhaustive()
    }
}
