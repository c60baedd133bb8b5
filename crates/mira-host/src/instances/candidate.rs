//! A package that somebody wants to open: verified and judged, not yet an instance's.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mira_age::{AgeError, Key};
use mira_package::archive::{Encrypted, OpenError, Opened, PackOptions, Package, pack};
use mira_package::manifest::Manifest;
use mira_package::sealed::{Sealed, SealedError};
use mira_package::signature::{self, PublisherKey, SIGNATURE_BYTES_MAX, Signature};
use mira_package::trust::{Judgement, Secrets, judge};
use mira_secret::{SecretName, SecretValue};
use mira_store::{Instance, PackageFacts};

use super::{InstanceError, Instances};

/// A verified package, with the judgement of it.
#[derive(Debug)]
pub struct Candidate {
    /// Its manifest.
    pub manifest: Manifest,
    /// What is known of its publisher, and whether it may have secrets.
    pub judgement: Judgement,
    /// What was found of its signature.
    pub signature: Signature,
    /// Where it came from.
    pub source: PathBuf,
    pub(super) package: Package,
}

/// What a key is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWanted {
    /// The package is encrypted as a whole.
    Package {
        /// Whether a password opens it, rather than an identity.
        password: bool,
    },
    /// The package holds sealed secrets.
    Secrets {
        /// Whether a password opens them, rather than an identity.
        password: bool,
    },
}

impl KeyWanted {
    /// Returns whether a password is wanted.
    #[must_use]
    pub fn is_password(self) -> bool {
        match self {
            Self::Package { password } | Self::Secrets { password } => password,
        }
    }
}

/// Nobody gave a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoKey(pub String);

/// Asks for a password or an identity.
pub type AskKey<'a> = dyn FnMut(KeyWanted) -> Result<Key, NoKey> + 'a;

impl Candidate {
    /// Returns the package's digest.
    #[must_use]
    pub fn digest(&self) -> String {
        self.package.digest().to_string()
    }

    /// Returns whether the package is encrypted as a whole, where it came from.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.package.is_encrypted()
    }

    /// Returns the package itself.
    pub fn package(&mut self) -> &mut Package {
        &mut self.package
    }

    /// Returns the sealed secrets, if there are any.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn sealed(&mut self) -> Result<Option<Sealed>, InstanceError> {
        Ok(self.package.sealed()?)
    }

    /// Returns the key that signed it, if it is known and the signature holds.
    #[must_use]
    pub fn signed_by(&self) -> Option<&PublisherKey> {
        match &self.signature {
            Signature::Valid { key } => Some(key),
            _ => None,
        }
    }

    /// Returns whether it may have secrets only because the user agreed to it.
    pub(super) fn may_have_secrets(
        &self,
        asked_by: &str,
        agreed: bool,
    ) -> Result<bool, InstanceError> {
        let trust = self.judgement.trust;
        match self.judgement.secrets {
            Secrets::Given => Ok(false),
            Secrets::AfterAgreement if agreed => Ok(true),
            Secrets::AfterAgreement => Err(InstanceError::NeedsAgreement {
                instance: asked_by.to_owned(),
                trust,
            }),
            Secrets::Refused => Err(InstanceError::Refused(trust)),
        }
    }

    pub(super) fn facts(&self, unsigned_agreed: bool) -> PackageFacts {
        PackageFacts {
            app_name: self.manifest.name.clone(),
            app_version: self.manifest.version.to_string(),
            digest: self.digest(),
            source: self.source.display().to_string(),
            publisher_key: self.signed_by().map(ToString::to_string),
            unsigned_agreed,
        }
    }
}

impl Instances {
    /// Opens a package file, or packs and opens a folder, for an instance that is there already or a new one.
    ///
    /// Guesses at the password of an encrypted package are limited.
    ///
    /// # Errors
    ///
    /// It is no package, its content is not what it says, its manifest is wrong, or no right key was given.
    pub async fn candidate(
        &self,
        source: &Path,
        instance: Option<&Instance>,
        ask: &mut AskKey<'_>,
    ) -> Result<Candidate, InstanceError> {
        let path = source
            .canonicalize()
            .map_err(|error| InstanceError::source(source, error))?;
        let scratch = self.layout.packages();
        let opened = if path.is_dir() {
            // What cannot be removed now is no reason not to open this one.
            self.sweep_incoming().ok();
            let packing = self.packing()?;
            pack(&path, &packing.file(), &PackOptions::default())?;
            Package::open(&packing.file(), &scratch)?
        } else {
            Package::open(&path, &scratch)?
        };
        let mut package = match opened {
            Opened::Package(package) => *package,
            Opened::Encrypted(encrypted) => self.decrypt(&encrypted, ask).await?,
            _ => {
                return Err(InstanceError::source(
                    source,
                    io::ErrorKind::Unsupported.into(),
                ));
            }
        };
        let manifest = Manifest::parse_bytes(&package.manifest()?)?;
        let declared = declared_key(&manifest);
        let known = self.known_keys(manifest.id.as_str(), instance).await?;
        let keys: Vec<&PublisherKey> = declared.iter().chain(&known).collect();
        let beside = read_signature(&path)?;
        let signature = signature::check(package.file(), beside.as_deref(), &keys)?;
        let judgement = judge(&signature, declared.as_ref(), known.first());
        Ok(Candidate {
            manifest,
            judgement,
            signature,
            source: path,
            package,
        })
    }

    /// Judges a package anew, by what an instance remembers: so that it need not be opened, and its password asked for, twice.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub async fn judge_for(
        &self,
        candidate: &mut Candidate,
        instance: &Instance,
    ) -> Result<(), InstanceError> {
        let known = self
            .known_keys(candidate.manifest.id.as_str(), Some(instance))
            .await?;
        let declared = declared_key(&candidate.manifest);
        candidate.judgement = judge(&candidate.signature, declared.as_ref(), known.first());
        Ok(())
    }

    async fn decrypt(
        &self,
        encrypted: &Encrypted,
        ask: &mut AskKey<'_>,
    ) -> Result<Package, InstanceError> {
        let password = encrypted.asks_for_passphrase()?;
        let wanted = KeyWanted::Package { password };
        let blob = encrypted.blob();
        self.limited(&blob, wanted, ask, |key| match encrypted.open(key) {
            Err(OpenError::Age(AgeError::WrongKey)) => Ok(None),
            other => Ok(Some(other?)),
        })
        .await
    }

    /// Opens sealed secrets. Guesses at their password are limited.
    ///
    /// # Errors
    ///
    /// No right key was given, or there were too many wrong ones.
    pub async fn unseal(
        &self,
        sealed: &Sealed,
        ask: &mut AskKey<'_>,
    ) -> Result<Vec<(SecretName, SecretValue)>, InstanceError> {
        let password = sealed.asks_for_passphrase()?;
        let wanted = KeyWanted::Secrets { password };
        self.limited(&sealed.blob(), wanted, ask, |key| match sealed.open(key) {
            Err(SealedError::Age(AgeError::WrongKey)) => Ok(None),
            other => Ok(Some(other?)),
        })
        .await
    }
}

fn declared_key(manifest: &Manifest) -> Option<PublisherKey> {
    manifest.publisher.as_ref()?.key.parse().ok()
}

/// Reads the signature beside a package file; a folder has none.
fn read_signature(package: &Path) -> Result<Option<Vec<u8>>, InstanceError> {
    let path = signature::signature_path(package);
    let failed = |error| InstanceError::source(&path, error);
    match std::fs::File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
        Ok(file) => {
            let mut bytes = Vec::new();
            // One that is too long is none, and is told to be that.
            file.take(SIGNATURE_BYTES_MAX + 1)
                .read_to_end(&mut bytes)
                .map_err(failed)?;
            Ok(Some(bytes))
        }
    }
}
