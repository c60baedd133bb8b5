//! The files and variables by which programs trust the gate's certificates, beside those that the system trusts.
//!
//! They are for the programs of one instance alone: in a room they lie over the system's own files, for nobody outside; elsewhere only the
//! variables name them. The system's trust store is not touched.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use mira_gate::{JAVA_PASSWORD, Trust, TrustError};

/// Where systems have the certificates that they trust, as one file: of Debian, Fedora, SUSE, Alpine.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// Where systems have those that Java trusts.
const SYSTEM_JAVA_STORES: [&str; 2] = [
    "/etc/ssl/certs/java/cacerts",
    "/etc/pki/ca-trust/extracted/java/cacerts",
];

/// Variables that name a file with all certificates to trust.
const BUNDLE_VARIABLES: [&str; 9] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "DENO_CERT",
    "NIX_SSL_CERT_FILE",
];

/// Where the files are for the programs.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PathBuf,
    over_the_system: bool,
}

impl Files {
    /// In a room: in a folder of its own, and over the system's own files.
    pub(super) fn in_room() -> Self {
        Self {
            folder: "/run/mira".into(),
            over_the_system: true,
        }
    }

    /// In a folder that is there.
    pub(super) fn beside(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            over_the_system: false,
        }
    }

    fn bundle(&self) -> PathBuf {
        self.folder.join("bundle.pem")
    }

    fn java_store(&self) -> PathBuf {
        self.folder.join("java.p12")
    }

    /// Returns what is to be in which file.
    pub(super) fn contents(&self, trust: &Trust) -> Result<Vec<(PathBuf, Vec<u8>)>, TrustError> {
        let (bundle, java) = (trust.bundle(), trust.java_store()?);
        let mut files = vec![
            (self.bundle(), bundle.as_bytes().to_vec()),
            (self.java_store(), java.clone()),
        ];
        if self.over_the_system {
            let there = |path: &&str| Path::new(path).exists();
            let bundles = SYSTEM_BUNDLES.iter().filter(|path| there(path));
            files.extend(bundles.map(|path| (path.into(), bundle.as_bytes().to_vec())));
            let stores = SYSTEM_JAVA_STORES.iter().filter(|path| there(path));
            files.extend(stores.map(|path| (path.into(), java.clone())));
        }
        Ok(files)
    }

    /// Returns the variables that name the files.
    pub(super) fn variables(&self) -> Vec<(OsString, OsString)> {
        let bundle: OsString = self.bundle().into();
        let mut variables: Vec<(OsString, OsString)> = BUNDLE_VARIABLES
            .iter()
            .map(|name| (name.into(), bundle.clone()))
            .collect();
        // Node adds these to its own, which are not those of the system.
        variables.push(("NODE_EXTRA_CA_CERTS".into(), bundle));
        // The java launcher takes no variable that names a file of certificates.
        let store = self.java_store();
        variables.push((
            "JAVA_TOOL_OPTIONS".into(),
            format!(
                "-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword={}",
                store.display(),
                JAVA_PASSWORD
            )
            .into(),
        ));
        variables
    }
}
