//! The unpacked copies of packages: on disk for most, in memory for those that are encrypted, and gone when nobody needs them.

use std::path::PathBuf;

use mira_package::digest::Digest;
use mira_package::manifest::Manifest;
use mira_package::sealed::{SECRETS_PATH, Sealed};
use mira_package::unpacked::Packages;
use mira_store::Instance;

use super::{Candidate, InstanceError, Instances};

/// An unpacked package: verified, and not to be changed.
#[derive(Debug)]
pub struct Unpacked {
    /// Its folder.
    pub folder: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its sealed secrets, if it has any.
    pub sealed: Option<Sealed>,
}

impl Instances {
    fn on_disk(&self) -> Packages {
        Packages::new(self.layout.packages())
    }

    fn in_memory(&self) -> Packages {
        Packages::new(self.layout.packages_in_memory())
    }

    /// Unpacks a package, unless there is a copy already.
    pub(super) fn unpack(&self, candidate: &mut Candidate) -> Result<Unpacked, InstanceError> {
        let packages = match candidate.package.is_encrypted() {
            true => self.in_memory(),
            false => self.on_disk(),
        };
        let unpacked = packages.unpack(&mut candidate.package)?;
        read(unpacked.folder)
    }

    /// Returns the copy of an instance's package; `None` if the package is encrypted and has to be opened again.
    ///
    /// # Errors
    ///
    /// The copy was changed, or cannot be read.
    pub fn unpacked(&self, instance: &Instance) -> Result<Option<Unpacked>, InstanceError> {
        let digest = digest(instance)?;
        for packages in [self.on_disk(), self.in_memory()] {
            if let Some(found) = packages.find(&digest)? {
                return read(found.folder).map(Some);
            }
        }
        Ok(None)
    }

    /// Removes the copies of a package, unless an instance needs it.
    pub(super) async fn give_up_copy(&self, digest: &str) -> Result<(), InstanceError> {
        let needed = self.store.instances().await?;
        if needed.iter().any(|other| other.package.digest == digest) {
            return Ok(());
        }
        if let Ok(digest) = digest.parse() {
            self.on_disk().remove(&digest)?;
            self.in_memory().remove(&digest)?;
        }
        Ok(())
    }

    /// Removes copies of encrypted packages that no running instance needs.
    ///
    /// # Errors
    ///
    /// A copy cannot be removed.
    pub async fn sweep_memory(
        &self,
        runs: &dyn Fn(&Instance) -> bool,
    ) -> Result<(), InstanceError> {
        let instances = self.store.instances().await?;
        for digest in self.in_memory().list()? {
            let text = digest.to_string();
            let needed = |instance: &&Instance| instance.package.digest == text && runs(instance);
            if !instances.iter().any(|instance| needed(&instance)) {
                self.in_memory().remove(&digest)?;
            }
        }
        Ok(())
    }
}

fn digest(instance: &Instance) -> Result<Digest, InstanceError> {
    let parsed = instance.package.digest.parse();
    parsed.map_err(|_| InstanceError::NoCopy {
        instance: instance.name.to_string(),
        source_path: instance.package.source.clone(),
    })
}

fn read(folder: PathBuf) -> Result<Unpacked, InstanceError> {
    let file = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|error| InstanceError::folder(&path, error))
    };
    let manifest = Manifest::parse_bytes(&file(mira_package::archive::MANIFEST_PATH)?)?;
    let sealed = match folder.join(SECRETS_PATH).exists() {
        true => Some(Sealed::new(file(SECRETS_PATH)?)?),
        false => None,
    };
    Ok(Unpacked {
        folder,
        manifest,
        sealed,
    })
}
