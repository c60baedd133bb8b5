//! The exchange of volumes for their restored ones, by a plan that survives a crash.
//!
//! INVARIANT: each volume's place holds the whole old or the whole new one at any instant. The plan is on disk
//! before anything else is; while its phase is `building`, the old ones stay, and from `exchanging` on, whoever comes next brings
//! in all new ones.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use crate::error::SnapshotError;
use crate::files;

/// How far a restore got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// New volumes are being written beside the old ones.
    Building,
    /// All new ones are whole and durable.
    Exchanging,
}

/// What a restore is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    phase: Phase,
    steps: Vec<Step>,
    #[serde(skip)]
    file: PathBuf,
}

/// One volume of it.
#[derive(Debug, Serialize, Deserialize)]
struct Step {
    place: PathBuf,
    new: PathBuf,
    /// Device and inode of the new one, by which it is known wherever it is.
    identity: Option<(u64, u64)>,
}

impl Plan {
    /// Begins one; the places for the new volumes are empty then.
    pub(crate) fn begin(file: &Path, places: &[PathBuf]) -> Result<Self, SnapshotError> {
        let plan = Self {
            phase: Phase::Building,
            steps: places
                .iter()
                .map(|place| Step {
                    place: place.clone(),
                    new: new_beside(place),
                    identity: None,
                })
                .collect(),
            file: file.to_owned(),
        };
        plan.write()?;
        for step in &plan.steps {
            files::remove_tree(&step.new).map_err(SnapshotError::io("remove", &step.new))?;
        }
        Ok(plan)
    }

    /// Returns where the new volumes are written.
    pub(crate) fn new_places(&self) -> Vec<PathBuf> {
        self.steps.iter().map(|step| step.new.clone()).collect()
    }

    /// Exchanges all of them; the new ones are whole and durable.
    pub(crate) fn exchange(mut self) -> Result<(), SnapshotError> {
        for step in &mut self.steps {
            let found = identity(&step.new).map_err(SnapshotError::io("look at", &step.new))?;
            step.identity = Some(found);
        }
        self.phase = Phase::Exchanging;
        self.write()?;
        self.run()
    }

    /// Gives it up; the old volumes stay.
    pub(crate) fn give_up(self) -> Result<(), SnapshotError> {
        self.run()
    }

    /// Does what is left to do in this phase, and ends the plan.
    fn run(self) -> Result<(), SnapshotError> {
        for step in &self.steps {
            if self.phase == Phase::Exchanging {
                step.exchange()
                    .map_err(SnapshotError::io("exchange", &step.place))?;
            }
        }
        for step in &self.steps {
            if !step.is_over(self.phase) {
                continue;
            }
            for left in [&step.new, &step.aside()] {
                files::remove_tree(left).map_err(SnapshotError::io("remove", left))?;
            }
        }
        files::remove_if_there(&self.file)
            .and_then(|()| files::sync_parent(&self.file))
            .map_err(SnapshotError::io("remove", &self.file))
    }

    fn write(&self) -> Result<(), SnapshotError> {
        serde_json::to_vec(self)
            .map_err(io::Error::from)
            .and_then(|text| {
                files::write_whole(
                    &self.file,
                    &files::beside(&self.file, ".new"),
                    [text.as_slice()],
                )
            })
            .map_err(SnapshotError::io("write", &self.file))
    }
}

impl Step {
    fn exchange(&self) -> io::Result<()> {
        let is_new = |path: &Path| identity(path).ok() == self.identity;
        if is_new(&self.place) || !is_new(&self.new) {
            // Done already, or changed by somebody else since.
            return Ok(());
        }
        let exchanged = renameat_with(CWD, &self.new, CWD, &self.place, RenameFlags::EXCHANGE);
        match exchanged {
            Ok(()) => {}
            Err(rustix::io::Errno::NOENT) => fs::rename(&self.new, &self.place)?,
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => self.exchange_slowly()?,
            Err(error) => return Err(error.into()),
        }
        files::sync_parent(&self.place)
    }

    /// For file systems that cannot exchange: there is an instant without a volume, which the next run ends.
    fn exchange_slowly(&self) -> io::Result<()> {
        match fs::rename(&self.place, self.aside()) {
            // Moved aside before a crash.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::rename(&self.new, &self.place),
        }
    }

    fn aside(&self) -> PathBuf {
        files::beside(&self.new, "-old")
    }

    /// Returns whether what is left beside the place is not needed any more.
    fn is_over(&self, phase: Phase) -> bool {
        match phase {
            Phase::Building => true,
            Phase::Exchanging => identity(&self.place).ok() == self.identity,
        }
    }
}

/// Ends what a crash left unfinished, if anything.
pub(crate) fn finish(file: &Path) -> Result<(), SnapshotError> {
    let unwritten = files::beside(file, ".new");
    files::remove_if_there(&unwritten).map_err(SnapshotError::io("remove", &unwritten))?;
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SnapshotError::io("read", file)(error)),
    };
    let mut plan: Plan = serde_json::from_slice(&text)
        .map_err(|error| SnapshotError::io("understand", file)(error.into()))?;
    plan.file = file.to_owned();
    plan.run()
}

/// Returns where a volume's new self is written: beside it, so that it can be moved.
fn new_beside(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.mira-restore"))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
