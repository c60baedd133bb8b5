//! Instances: what is known of opened apps, where their parts are, and what they need to run.
//!
//! It brings package, vault and database together; it asks nobody and starts nothing. A command opens a package into a
//! [`Candidate`], lets the user agree, makes or updates an instance of it, fills in its secrets, and hands the
//! [`InstanceSpec`](crate::service::InstanceSpec) that comes of it to the supervisor.
//!
//! INVARIANT: an instance's package changes only to one that is trusted, or that the user agreed to; so whatever runs may have
//! the instance's secrets.

mod candidate;
mod claims;
mod copies;
pub(crate) mod delivery;
mod error;
mod folders;
mod guesses;
mod network;
mod removal;
mod secrets;
mod snapshots;
mod spec;
mod uploads;

use std::path::{Path, PathBuf};

use mira_package::signature::PublisherKey;
use mira_store::{Instance, InstanceName, NewInstance, Store};
use mira_vault::home::Home;

pub use candidate::{AskKey, Candidate, KeyWanted, NoKey};
pub use claims::Claim;
pub use copies::Unpacked;
pub use delivery::authorization;
pub use error::InstanceError;
pub use folders::Layout;
pub use guesses::GuessError;
pub use mira_age::Key;
pub use secrets::{Resolution, Source, Wanted};
pub use snapshots::{Content, SNAPSHOT_PASSWORD, autosaved, retention};
pub use spec::Surroundings;
pub use uploads::Upload;

/// An instance that was just made, and claimed by whoever made it.
#[derive(Debug)]
pub struct Created {
    /// The instance.
    pub instance: Instance,
    /// The copy of its package.
    pub unpacked: Unpacked,
    /// The right to bring it up.
    pub claim: Claim,
}

/// The instances of a home.
#[derive(Clone, Debug)]
pub struct Instances {
    home: Home,
    store: Store,
    layout: Layout,
}

impl Instances {
    /// Opens the home's database, and makes it where there is none. `runtime` is a private folder in memory.
    ///
    /// # Errors
    ///
    /// The home or the database cannot be used.
    pub async fn open(home: Home, runtime: PathBuf) -> Result<Self, InstanceError> {
        home.create()?;
        let store = Store::open(home.path()).await?;
        let layout = Layout::new(home.path(), runtime);
        layout.create()?;
        Ok(Self {
            home,
            store,
            layout,
        })
    }

    /// Returns the database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns where the parts of instances are.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the home.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Makes an instance of a package.
    ///
    /// `agreed` says that the user agreed to this package although its publisher is not the one that is remembered.
    ///
    /// # Errors
    ///
    /// The package is tampered with or needs the user's agreement, the name is taken, or the copy cannot be written.
    pub async fn create(
        &self,
        candidate: &mut Candidate,
        name: Option<InstanceName>,
        agreed: bool,
    ) -> Result<Created, InstanceError> {
        let app = candidate.manifest.id.to_string();
        let unsigned_agreed = candidate.may_have_secrets(&app, agreed)?;
        // Until the instance is known, nobody else knows that the copy is needed.
        let copies = self.making_copies()?;
        let unpacked = self.unpack(candidate)?;
        let new = NewInstance {
            name,
            app_id: app,
            package: candidate.facts(unsigned_agreed),
        };
        let instance = self.store.insert_instance(&new).await?;
        let claim = self.try_claim(instance.id.as_str())?;
        drop(copies);
        let claim = claim.ok_or_else(|| InstanceError::Busy {
            instance: instance.name.to_string(),
        })?;
        self.remember(candidate).await?;
        Ok(Created {
            instance,
            unpacked,
            claim,
        })
    }

    /// Has an instance run another package of the same app from now on, and gives up the copy of the one before. The caller
    /// holds its claim.
    ///
    /// `agreed` says that the user agreed to this package although its publisher is not the one that is remembered.
    ///
    /// # Errors
    ///
    /// It is another app's, tampered with, or needs the user's agreement.
    pub async fn update(
        &self,
        instance: &Instance,
        candidate: &mut Candidate,
        agreed: bool,
    ) -> Result<Unpacked, InstanceError> {
        if candidate.manifest.id.as_str() != instance.app_id {
            return Err(InstanceError::OtherApp {
                instance: instance.name.to_string(),
                app: instance.app_id.clone(),
                found: candidate.manifest.id.to_string(),
            });
        }
        let unsigned_agreed = candidate.may_have_secrets(instance.name.as_str(), agreed)?;
        let copies = self.making_copies()?;
        let unpacked = self.unpack(candidate)?;
        let facts = candidate.facts(unsigned_agreed);
        self.store.update_package(&instance.id, &facts).await?;
        drop(copies);
        self.remember(candidate).await?;
        if instance.package.digest != facts.digest {
            self.give_up_copy(&instance.package.digest).await?;
        }
        Ok(unpacked)
    }

    /// Returns the copy of an instance's package; one that is encrypted is opened again from where it was.
    ///
    /// # Errors
    ///
    /// No right key was given, or another package is there now.
    pub async fn reopen(
        &self,
        instance: &Instance,
        ask: &mut AskKey<'_>,
    ) -> Result<Unpacked, InstanceError> {
        if let Some(unpacked) = self.unpacked(instance)? {
            return Ok(unpacked);
        }
        let source = Path::new(&instance.package.source);
        let mut candidate = self.candidate(source, Some(instance), ask).await?;
        if candidate.digest() != instance.package.digest {
            return Err(InstanceError::OtherPackage {
                instance: instance.name.to_string(),
                source_path: source.to_owned(),
            });
        }
        let agreed = instance.package.unsigned_agreed;
        self.update(instance, &mut candidate, agreed).await
    }

    /// Keeps the file of an encrypted package beside its instance, which is opened from it each time.
    ///
    /// # Errors
    ///
    /// The file cannot be moved there.
    pub async fn keep_package(
        &self,
        instance: &Instance,
        candidate: &mut Candidate,
        upload: Upload,
    ) -> Result<(), InstanceError> {
        let folder = self.layout.instance(&instance.id);
        folders::make(&folder)?;
        let path = folder.join("package.mira");
        let kept = upload.keep(&path);
        kept.map_err(|error| InstanceError::folder(&path, error))?;
        candidate.source = path;
        let facts = candidate.facts(instance.package.unsigned_agreed);
        Ok(self.store.update_package(&instance.id, &facts).await?)
    }

    /// Remembers who signed a package, so that another publisher of the app is noticed.
    async fn remember(&self, candidate: &Candidate) -> Result<(), InstanceError> {
        if let Some(key) = candidate.signed_by() {
            let name = candidate.manifest.publisher.as_ref();
            let name = name.map_or("", |publisher| publisher.name.as_str());
            self.store
                .remember_publisher(candidate.manifest.id.as_str(), &key.to_string(), name)
                .await?;
        }
        Ok(())
    }

    /// Returns the keys by which an app's packages were signed: the instance's own first.
    async fn known_keys(
        &self,
        app_id: &str,
        instance: Option<&Instance>,
    ) -> Result<Vec<PublisherKey>, InstanceError> {
        let own = instance.and_then(|instance| instance.package.publisher_key.clone());
        let known = self.store.publishers(app_id).await?;
        let texts = own
            .into_iter()
            .chain(known.into_iter().map(|publisher| publisher.key));
        // One that cannot be read any more vouches for nobody.
        Ok(texts.filter_map(|text| text.parse().ok()).collect())
    }
}
