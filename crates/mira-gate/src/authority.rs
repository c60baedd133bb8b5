//! The certificate authority of one gate, by which it speaks TLS with programs in the place of a host.
//!
//! Its key is made with the gate, is never written anywhere, and ends with the gate. It is not constrained to the hosts of brokered secrets: a
//! denial has to be readable whatever host was meant, and hosts are added while programs run that trust it already. Who trusts it is the
//! programs of one instance alone.
//!
//! On the way to a program there is loopback and nobody else, so what is offered there is what is fast: X25519, P-256, AES-128, and tickets by which
//! later connections need no signature.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use mira_package::manifest::Host;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite, kx_group};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::ProducesTickets;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ServerConfig, version};
use zeroize::Zeroize;

/// A certificate of a host is valid for so long, from an hour before it was made.
// LIMIT: a certificate that a program kept is worth nothing a day later.
const LEAF_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Clocks of programs may be wrong by so much.
const SKEW: Duration = Duration::from_secs(60 * 60);

/// The authority is valid for so long; it ends with the gate, which nobody runs for ten years.
const OWN_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// So many certificates of hosts are kept.
// LIMIT: a program that calls ever new names must not take memory without end.
const LEAVES_MAX: usize = 1024;

/// The certificate authority of a gate.
pub(crate) struct Authority {
    key: KeyPair,
    params: CertificateParams,
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
    /// One key for the certificates of all hosts: they are equally trusted.
    leaf_key: KeyPair,
    leaf_signer: Arc<dyn SigningKey>,
    leaves: Mutex<HashMap<Host, Leaf>>,
}

struct Leaf {
    config: Arc<ServerConfig>,
    renew: SystemTime,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// It could not be signed.
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS does not take it.
    #[error("TLS cannot be prepared: {0}")]
    Tls(#[from] rustls::Error),
    /// The system has no randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl Authority {
    /// Makes an authority with a new key, whose certificate says which instance it is of.
    pub(crate) fn new(instance: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let now = SystemTime::now();
        let mut params = CertificateParams::default();
        params.not_before = (now - SKEW).into();
        params.not_after = (now + OWN_TIME).into();
        params.serial_number = Some(serial()?);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = rcgen::DistinguishedName::new();
        let name = format!("Mira gate of {instance}");
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key)?.into();
        let leaf_key = KeyPair::generate()?;
        let der = PrivatePkcs8KeyDer::from(leaf_key.serialized_der());
        Ok(Self {
            leaf_signer: ring::sign::any_ecdsa_type(&der.into())?,
            leaf_key,
            key,
            params,
            certificate,
            provider: Arc::new(local_provider()),
            tickets: ring::Ticketer::new()?,
            leaves: Mutex::default(),
        })
    }

    /// Returns its own certificate, which programs have to trust.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns how to speak TLS with a program in the place of this host.
    pub(crate) fn server(&self, host: &Host) -> Result<Arc<ServerConfig>, AuthorityError> {
        let now = SystemTime::now();
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = leaves.get(host)
            && now < leaf.renew
        {
            return Ok(Arc::clone(&leaf.config));
        }
        let config = Arc::new(self.config(host, now)?);
        if leaves.len() >= LEAVES_MAX {
            leaves.clear();
        }
        let leaf = Leaf {
            config: Arc::clone(&config),
            renew: now + LEAF_TIME / 2,
        };
        leaves.insert(host.clone(), leaf);
        Ok(config)
    }

    fn config(&self, host: &Host, now: SystemTime) -> Result<ServerConfig, AuthorityError> {
        let chain = vec![self.leaf(host, now)?];
        let key = CertifiedKey::new(chain, Arc::clone(&self.leaf_signer));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ignore_client_order = true;
        config.ticketer = Arc::clone(&self.tickets);
        config.send_tls13_tickets = 1;
        Ok(config)
    }

    fn leaf(
        &self,
        host: &Host,
        now: SystemTime,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let mut params = CertificateParams::default();
        params.not_before = (now - SKEW).into();
        params.not_after = (now + LEAF_TIME).into();
        params.serial_number = Some(serial()?);
        params.subject_alt_names = vec![match host {
            Host::Name(name) => SanType::DnsName(name.to_string().try_into()?),
            Host::Ip(address) => SanType::IpAddress(*address),
        }];
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Mira");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_params(&self.params, &self.key);
        Ok(params.signed_by(&self.leaf_key, &issuer)?.into())
    }
}

/// Two certificates of one issuer with one number are an error to some clients.
fn serial() -> Result<SerialNumber, getrandom::Error> {
    let mut number = getrandom::u64()?.to_be_bytes();
    // A number of ASN.1 is negative if its first bit is set, and a certificate's may not be.
    number[0] = number[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&number))
}

fn local_provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        ..ring::default_provider()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.key.zeroize();
        self.leaf_key.zeroize();
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}
