//! The unpacked copies of packages: on disk for most, in memory for those that are encrypted, and gone when nobody needs them.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use mira_package::digest::Digest;
use mira_package::manifest::Manifest;
use mira_package::sealed::{SECRETS_PATH, Sealed};
use mira_package::unpacked::Packages;
use mira_store::Instance;

use super::folders::remove;
use super::{Candidate, InstanceError, Instances};
use crate::service::check_in_memory;

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
            true => {
                check_in_memory(&self.layout.packages_in_memory())?;
                self.in_memory()
            }
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

    /// Returns whether there is a copy of an instance's package; it is not looked at.
    ///
    /// # Errors
    ///
    /// The instance's package has no digest.
    pub fn has_copy(&self, instance: &Instance) -> Result<bool, InstanceError> {
        let digest = digest(instance)?;
        let folders = [self.on_disk(), self.in_memory()];
        Ok(folders
            .iter()
            .any(|packages| packages.folder_of(&digest).exists()))
    }

    /// Removes the copies of a package, unless an instance needs it.
    pub(super) async fn give_up_copy(&self, digest: &str) -> Result<(), InstanceError> {
        let _alone = self.removing_copies()?;
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

    /// Removes what was in memory for instances that do not run and are not about to: copies of encrypted packages, and
    /// secret files that a crash left. `running` returns the ids of those that run.
    ///
    /// # Errors
    ///
    /// Something cannot be removed, or it is not known what runs.
    pub async fn sweep_memory<E: From<InstanceError>>(
        &self,
        running: impl AsyncFnOnce() -> Result<BTreeSet<String>, E>,
    ) -> Result<(), E> {
        if self.copies_in_memory()?.is_empty() && self.secret_folders()?.is_empty() {
            return Ok(());
        }
        // Nobody claims an instance from here on. Whoever has done so before is asked for first: what is claimed no more
        // either runs or does not.
        let _alone = self.removing_copies()?;
        let (copies, secrets) = (self.copies_in_memory()?, self.secret_folders()?);
        let store = &self.store;
        let mut instances = store.instances().await.map_err(InstanceError::from)?;
        instances.extend(store.deleting().await.map_err(InstanceError::from)?);
        let ids = instances.iter().map(|instance| instance.id.as_str());
        let mut needed = BTreeSet::new();
        for id in ids.chain(secrets.iter().map(String::as_str)) {
            if self.try_claim(id)?.is_none() {
                needed.insert(id.to_owned());
            }
        }
        needed.extend(running().await?);
        for id in secrets.iter().filter(|id| !needed.contains(*id)) {
            remove(&self.layout.runtime_secrets().join(id))?;
        }
        for digest in copies {
            let text = digest.to_string();
            let needs = |instance: &Instance| {
                instance.package.digest == text && needed.contains(instance.id.as_str())
            };
            if !instances.iter().any(needs) {
                self.in_memory()
                    .remove(&digest)
                    .map_err(InstanceError::from)?;
            }
        }
        Ok(())
    }

    fn copies_in_memory(&self) -> Result<Vec<Digest>, InstanceError> {
        Ok(self.in_memory().list()?)
    }

    /// Returns the ids of the instances that have a folder of secret files.
    fn secret_folders(&self) -> Result<Vec<String>, InstanceError> {
        let folder = self.layout.runtime_secrets();
        let names = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names,
        };
        let names = names.and_then(|names| {
            names
                .map(|name| name.map(|name| name.file_name()))
                .collect::<io::Result<Vec<_>>>()
        });
        let names = names.map_err(|error| InstanceError::folder(&folder, error))?;
        // What is no text is none of ours.
        Ok(names
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect())
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
