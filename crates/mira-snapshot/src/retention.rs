//! Which snapshots are kept, and how what no snapshot needs any more is removed.

use rustic_core::jiff::Zoned;
use rustic_core::repofile::SnapshotFile;
use rustic_core::{KeepOptions, PruneOptions};

use crate::error::SnapshotError;
use crate::files;
use crate::model::{SnapshotId, TAG_AUTOSAVE, TAG_SAFETY};
use crate::repository::{Repository, id_of};

/// How many snapshots are kept; one that fits any of the rules stays.
///
/// While there are not as many as a rule asks for, the oldest one stays too, as with restic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The newest ones.
    pub last: u16,
    /// The last of each day, for this many days with a snapshot.
    pub daily: u16,
    /// The last of each week.
    pub weekly: u16,
    /// The last of each month.
    pub monthly: u16,
}

impl Retention {
    fn keep(self) -> KeepOptions {
        let some = |number: u16| (number > 0).then(|| i32::from(number));
        KeepOptions::default()
            .keep_last(some(self.last))
            .keep_daily(some(self.daily))
            .keep_weekly(some(self.weekly))
            .keep_monthly(some(self.monthly))
    }
}

impl Repository {
    /// Removes snapshots, and what no other one needs.
    ///
    /// # Errors
    ///
    /// Returns [`SnapshotError::NoSuchSnapshot`], with nothing removed, where one is not there.
    pub fn forget(&self, ids: &[SnapshotId]) -> Result<(), SnapshotError> {
        let _lock = self.alone()?;
        let stored = self.stored()?;
        let mut chosen = Vec::new();
        for id in ids {
            let found = stored.iter().find(|stored| id_of(stored) == *id);
            chosen.push(found.ok_or_else(|| SnapshotError::NoSuchSnapshot {
                id: id.as_str().to_owned(),
            })?);
        }
        self.remove(&chosen)
    }

    /// Removes the snapshots that a retention does not keep, and what no other one needs. Returns the removed ones.
    ///
    /// Snapshots with the tag [`TAG_SAFETY`] are counted apart, so that restores do not push out the others: as many of
    /// them stay as `last` says, and one at least.
    ///
    /// # Errors
    ///
    /// Returns [`SnapshotError::RetentionEmpty`] where it would keep nothing.
    pub fn apply_retention(&self, retention: &Retention) -> Result<Vec<SnapshotId>, SnapshotError> {
        let few = Retention {
            last: retention.last.max(1),
            ..Retention::default()
        };
        self.retain(retention, |stored| {
            let (safety, usual) = stored
                .into_iter()
                .partition(|stored| stored.tags.contains(TAG_SAFETY));
            vec![(usual, *retention), (safety, few)]
        })
    }

    /// As [`apply_retention`](Self::apply_retention), but among the snapshots with the tag [`TAG_AUTOSAVE`] alone: what
    /// somebody took on purpose is not removed without being asked.
    ///
    /// # Errors
    ///
    /// As [`apply_retention`](Self::apply_retention).
    pub fn apply_retention_to_autosaves(
        &self,
        retention: &Retention,
    ) -> Result<Vec<SnapshotId>, SnapshotError> {
        self.retain(retention, |mut stored| {
            stored.retain(|stored| stored.tags.contains(TAG_AUTOSAVE));
            vec![(stored, *retention)]
        })
    }

    /// Removes what is not kept of each group.
    fn retain(
        &self,
        retention: &Retention,
        group: impl FnOnce(Vec<SnapshotFile>) -> Vec<(Vec<SnapshotFile>, Retention)>,
    ) -> Result<Vec<SnapshotId>, SnapshotError> {
        if *retention == Retention::default() {
            return Err(SnapshotError::RetentionEmpty);
        }
        let _lock = self.alone()?;
        let mut removed = Vec::new();
        for (snapshots, retention) in group(self.stored()?) {
            let decided = retention
                .keep()
                .apply(snapshots, &Zoned::now())
                .map_err(|error| self.failed(error))?;
            removed.extend(decided.into_iter().filter(|one| !one.keep));
        }
        let removed: Vec<_> = removed.iter().map(|one| &one.snapshot).collect();
        self.remove(&removed)?;
        Ok(removed.into_iter().map(id_of).collect())
    }

    /// Removes snapshots first, then what only they needed: a crash in between costs space, which the next time frees.
    fn remove(&self, snapshots: &[&SnapshotFile]) -> Result<(), SnapshotError> {
        let ids: Vec<_> = snapshots.iter().map(|stored| stored.id).collect();
        // Our lock keeps others of ours away, so what is not needed can go at once.
        let options = PruneOptions::default().instant_delete(true);
        let removed = (|| {
            self.library.delete_snapshots(&ids)?;
            let plan = self.library.prune_plan(&options)?;
            self.library.prune(&options, plan)
        })();
        let staging = self.staging();
        files::remove_tree(&staging).map_err(SnapshotError::io("remove", &staging))?;
        removed.map_err(|error| self.failed(error))
    }
}
