//! A certificate authority that exists for a test, and servers' certificates by it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority. Its key is nowhere but in memory.
#[derive(Debug)]
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    bundle: PathBuf,
    /// Kept for the bundle.
    _folder: tempfile::TempDir,
}

impl Default for Ca {
    fn default() -> Self {
        Self::new()
    }
}

impl Ca {
    /// Makes one.
    ///
    /// # Panics
    ///
    /// If there is no folder for its certificate.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("it is well-formed");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bundle = folder.path().join("ca.pem");
        std::fs::write(&bundle, issuer.pem()).expect("a temporary folder can be written to");
        Self {
            issuer,
            bundle,
            _folder: folder,
        }
    }

    /// Returns its certificate, in DER.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// Returns a file that holds its certificate, in PEM: for `SSL_CERT_FILE` and the like.
    #[must_use]
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// Makes the TLS side of a server with these names or addresses, which speaks HTTP/2 and HTTP/1.1.
    ///
    /// # Panics
    ///
    /// If a name is none.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let (certificate, key) = self.issue(names);
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("the key is the certificate's");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Makes a certificate for these names or addresses, and its key, in PEM: for a server in another process.
    ///
    /// # Panics
    ///
    /// If a name is none.
    #[must_use]
    pub fn pem(&self, names: &[&str]) -> (String, String) {
        let (certificate, key) = self.issue(names);
        (certificate.pem(), key.serialize_pem())
    }

    fn issue(&self, names: &[&str]) -> (Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names or addresses");
        // Strict clients want both.
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer);
        (certificate.expect("it is well-formed"), key)
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system gives random bytes")
}
