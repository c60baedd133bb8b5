//! Taking a snapshot: rounds, until one was read whole, searched and found clean.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use rustic_core::repofile::SnapshotFile;
use rustic_core::{BackupOptions, ParentOptions, SnapshotGroupCriterion, StringList};

use crate::error::{Findings, SnapshotError};
use crate::marks::Marks;
use crate::model::{Options, Progress, Report, Volume};
use crate::progress::{Bytes, Meter, watched};
use crate::repository::{Repository, describe, id_of};
use crate::secrets::Secrets;
use crate::stage::Stage;
use crate::walk::{Previous, Volumes};
use crate::watch::{Notes, Watch, skipped};

/// How many rounds there are at most.
// LIMIT: one to find what is to be left out, one to store the rest, and a few for files that change meanwhile.
const ROUNDS_MAX: usize = 5;

/// The longest name of a volume, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// What came of a round.
enum Round {
    /// The snapshot is in the repository.
    Stored(Box<Report>),
    /// Values were found at these paths; nothing is stored.
    Tainted(Findings, BTreeSet<PathBuf>),
    /// Files changed while they were read; nothing is stored.
    Unstable(Vec<String>),
}

impl Repository {
    /// Takes a snapshot of volumes, and looks for secrets in all that goes into it.
    ///
    /// Files that did not change since the last snapshot are not read again, unless there are secrets that it was not
    /// searched for. Nothing of a snapshot that does not come about is left in the repository.
    ///
    /// # Errors
    ///
    /// Returns [`SnapshotError::SecretsFound`] with every place, unless `leave_out` is set; and what else there is to
    /// say, each with what to do.
    pub fn snapshot(
        &self,
        volumes: &[Volume],
        secrets: &Secrets,
        options: &Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, SnapshotError> {
        let volumes = sorted(volumes)?;
        let _lock = self.alone()?;
        watched(progress, |meter| {
            self.rounds(&volumes, secrets, options, &meter)
        })
    }

    fn rounds(
        &self,
        volumes: &[Volume],
        secrets: &Secrets,
        options: &Options,
        meter: &Meter,
    ) -> Result<Report, SnapshotError> {
        let mut left_out = BTreeSet::new();
        let mut findings = Findings::default();
        let mut unstable = Vec::new();
        for _ in 0..ROUNDS_MAX {
            match self.round(volumes, secrets, options, meter, &left_out)? {
                Round::Stored(mut report) => {
                    report.left_out = findings;
                    return Ok(*report);
                }
                Round::Tainted(found, paths) => {
                    findings.listed.extend(found.listed);
                    findings.listed.truncate(Findings::LISTED_MAX);
                    findings.total += found.total;
                    if !options.leave_out {
                        return Err(SnapshotError::SecretsFound(findings));
                    }
                    left_out.extend(paths);
                }
                Round::Unstable(files) => unstable = files,
            }
        }
        if unstable.is_empty() {
            // Secrets in other files each time.
            return Err(SnapshotError::SecretsFound(findings));
        }
        Err(SnapshotError::Unstable { files: unstable })
    }

    fn round(
        &self,
        volumes: &[Volume],
        secrets: &Secrets,
        options: &Options,
        meter: &Meter,
        left_out: &BTreeSet<PathBuf>,
    ) -> Result<Round, SnapshotError> {
        let folder = self.staging();
        let stage = Arc::new(Stage::new(Arc::clone(&self.backend), folder.clone())?);
        // SQLite refuses links anywhere in a path.
        let staging = std::fs::canonicalize(&folder).map_err(SnapshotError::io("open", &folder))?;
        let library = self
            .reopen(Arc::clone(&stage) as _, Bytes(meter.clone()))?
            .to_indexed_ids()
            .map_err(|error| self.failed(error))?;
        let library = Arc::new(library);

        let marks = self.marks.marks(secrets);
        let parent = self.parent(&marks, options)?;
        let watch = Arc::new(Watch::new(secrets, meter.clone(), left_out.clone()));
        let source = Volumes {
            watch: Arc::clone(&watch),
            volumes: volumes.to_vec(),
            staging,
            previous: parent.as_ref().map(|parent| Previous {
                repository: Arc::clone(&library),
                tree: parent.tree,
            }),
        };
        let mut parents = ParentOptions::default().group_by(SnapshotGroupCriterion::new());
        parents = match &parent {
            Some(parent) => parents.parents(vec![parent.id.to_hex().as_str().to_owned()]),
            None => parents.force(true),
        };
        let archived = library.archive(
            &BackupOptions::default().no_scan(true).parent_opts(parents),
            &source,
            described(options, &marks)?,
            &source.volumes.iter().map(path_of).collect::<Vec<_>>(),
        );
        drop((source, library));

        let mut notes = std::mem::take(&mut *watch.notes());
        if let Some(round) = verdict(&watch, &mut notes)? {
            return Ok(round);
        }
        let stored = archived.map_err(|error| self.failed(error))?;
        let summary = stored.summary.clone().unwrap_or_default();
        if summary.total_files_processed != watch.listed() {
            return Err(SnapshotError::Incomplete {
                expected: watch.listed(),
                stored: summary.total_files_processed,
            });
        }
        // Of what is as it was, only the time and the tags would be new.
        let same = parent.as_ref().filter(|parent| {
            options.skip_unchanged && left_out.is_empty() && parent.tree == stored.tree
        });
        if same.is_none() {
            stage.commit()?;
        }
        let shown = |paths: &BTreeSet<PathBuf>| paths.iter().map(|p| watch.shown(p)).collect();
        Ok(Round::Stored(Box::new(Report {
            snapshot: describe(same.unwrap_or(&stored)),
            unchanged: same.is_some(),
            parent: parent.as_ref().map(id_of),
            files_read: summary.files_new + summary.files_changed,
            bytes_added: summary.data_added_packed,
            left_out: Findings::default(),
            skipped: skipped(&watch, &notes),
            changed: shown(&notes.changed),
            damaged: shown(&notes.damaged),
            not_looked_for: secrets.not_looked_for().to_vec(),
        })))
    }

    /// Returns the newest snapshot of this instance that was searched for all these secrets.
    fn parent(
        &self,
        marks: &Marks,
        options: &Options,
    ) -> Result<Option<SnapshotFile>, SnapshotError> {
        let mut stored = self.stored()?;
        stored.retain(|stored| {
            stored.hostname == options.instance
                && Marks::from_description(stored.description.as_deref())
                    .is_some_and(|searched| searched.cover(marks))
        });
        Ok(stored.pop())
    }
}

/// Returns why a round cannot be stored, if it cannot.
fn verdict(watch: &Watch, notes: &mut Notes) -> Result<Option<Round>, SnapshotError> {
    let shown = |paths: &BTreeSet<PathBuf>| paths.iter().map(|p| watch.shown(p)).collect();
    let (findings, paths) = notes.findings();
    if findings.total > 0 {
        return Ok(Some(Round::Tainted(findings, paths)));
    }
    if !notes.unreadable.is_empty() {
        let files = notes.unreadable.iter();
        return Err(SnapshotError::Unreadable {
            files: files
                .map(|(path, error)| format!("{} ({error})", watch.shown(path)))
                .collect(),
        });
    }
    if !notes.busy.is_empty() {
        return Err(SnapshotError::DatabaseBusy {
            files: shown(&notes.busy),
        });
    }
    if !notes.unstable.is_empty() {
        return Ok(Some(Round::Unstable(shown(&notes.unstable))));
    }
    Ok(None)
}

fn described(options: &Options, marks: &Marks) -> Result<SnapshotFile, SnapshotError> {
    let mut tags = StringList::default();
    for tag in &options.tags {
        tags.add(tag.clone());
    }
    Ok(SnapshotFile {
        program_version: concat!("mira ", env!("CARGO_PKG_VERSION")).into(),
        hostname: options.instance.clone(),
        username: "mira".into(),
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        label: options.label.clone(),
        tags,
        description: Some(marks.to_description()?),
        ..SnapshotFile::default()
    })
}

fn path_of(volume: &Volume) -> PathBuf {
    PathBuf::from("/").join(&volume.name)
}

/// Returns the volumes by name, if their names are good ones.
fn sorted(volumes: &[Volume]) -> Result<Vec<Volume>, SnapshotError> {
    let mut sorted = volumes.to_vec();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    check_names(&sorted)?;
    Ok(sorted)
}

/// Checks the names of volumes, sorted by them.
pub(crate) fn check_names(sorted: &[Volume]) -> Result<(), SnapshotError> {
    let bad = |name: &str| {
        Err(SnapshotError::VolumeName {
            name: name.to_owned(),
        })
    };
    if sorted.is_empty() {
        return bad("");
    }
    let twice = sorted
        .windows(2)
        .find(|pair| matches!(pair, [a, b] if a.name == b.name));
    if let Some([volume, _]) = twice {
        return bad(&volume.name);
    }
    for Volume { name, .. } in sorted {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let good = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && !name.starts_with('.')
            && name.bytes().all(allowed);
        if !good {
            return bad(name);
        }
    }
    Ok(())
}
