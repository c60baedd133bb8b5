//! What one round of a snapshot finds out while the library runs, gathered from its threads.
//!
//! The library goes on after most errors and tells them to a log only; so whoever meets one writes it down here, and
//! `take` decides at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mira_redact::NeedleSet;

use crate::error::Findings;
use crate::model::{Finding, Place, Skipped, SkippedKind};
use crate::progress::Meter;
use crate::secrets::{Secrets, redacted};

/// One round's notes. Paths in it are as in the snapshot: `/<volume>/…`.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) needles: Arc<NeedleSet>,
    pub(crate) meter: Meter,
    /// What this round passes over, with all below it.
    pub(crate) left_out: BTreeSet<PathBuf>,
    notes: Mutex<Notes>,
    tainted: AtomicBool,
    listed: AtomicU64,
}

/// What was noted.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// By path, and then in the order of their place.
    found: BTreeMap<PathBuf, Vec<Finding>>,
    found_total: u64,
    pub(crate) unreadable: BTreeMap<PathBuf, io::Error>,
    pub(crate) busy: BTreeSet<PathBuf>,
    /// Shorter than they were when they were looked at: what was stored of them does not fit their size.
    pub(crate) unstable: BTreeSet<PathBuf>,
    pub(crate) changed: BTreeSet<PathBuf>,
    pub(crate) damaged: BTreeSet<PathBuf>,
    pub(crate) skipped: BTreeMap<PathBuf, SkippedKind>,
}

impl Watch {
    /// Begins a round.
    pub(crate) fn new(secrets: &Secrets, meter: Meter, left_out: BTreeSet<PathBuf>) -> Self {
        Self {
            needles: Arc::clone(secrets.needles()),
            meter,
            left_out,
            notes: Mutex::default(),
            tainted: AtomicBool::new(false),
            listed: AtomicU64::new(0),
        }
    }

    /// Returns whether a secret was found, so that nothing of this round will be kept.
    pub(crate) fn is_tainted(&self) -> bool {
        self.tainted.load(Ordering::Relaxed)
    }

    /// Counts something that the snapshot is to hold and that is no folder.
    pub(crate) fn list(&self) {
        self.listed.fetch_add(1, Ordering::Relaxed);
        self.meter.file();
    }

    /// Takes one back that is gone.
    pub(crate) fn gone(&self) {
        self.listed.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns how many the snapshot is to hold.
    pub(crate) fn listed(&self) -> u64 {
        self.listed.load(Ordering::Relaxed)
    }

    /// Writes down where a value is.
    pub(crate) fn found(&self, path: &Path, place: Place, finding: &mira_redact::Finding) {
        self.tainted.store(true, Ordering::Relaxed);
        let mut notes = self.notes();
        notes.found_total += 1;
        if notes.found_total <= Findings::LISTED_MAX as u64 {
            let finding = Finding {
                path: self.shown(path),
                place,
                name: finding.name.clone(),
                offset: finding.offset,
                form: finding.form,
            };
            notes
                .found
                .entry(path.to_owned())
                .or_default()
                .push(finding);
        } else {
            notes.found.entry(path.to_owned()).or_default();
        }
    }

    /// Searches a short text that belongs to a path; returns whether it is clean.
    pub(crate) fn search(&self, path: &Path, place: &Place, text: &[u8]) -> bool {
        let findings = self.needles.find(text);
        for finding in &findings {
            self.found(path, place.clone(), finding);
        }
        findings.is_empty()
    }

    /// Searches a path's last part, and what begins above it and ends in it; returns whether it is clean.
    pub(crate) fn search_name(&self, path: &Path, name: &OsStr) -> bool {
        let text = path.as_os_str().as_bytes();
        let known = text.len().saturating_sub(name.as_bytes().len());
        let mut clean = true;
        for finding in self.needles.find(text) {
            // What ends above was found there.
            if finding.offset + finding.len > known as u64 {
                self.found(path, Place::Name, &finding);
                clean = false;
            }
        }
        clean
    }

    /// Writes down what the system said of a file.
    pub(crate) fn failed(&self, path: &Path, error: io::Error) {
        self.notes().unreadable.insert(path.to_owned(), error);
    }

    /// Returns the notes, to add to them.
    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each change is one step, so the notes are whole after a panic too.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a path as it may be shown.
    pub(crate) fn shown(&self, path: &Path) -> String {
        redacted(&self.needles, path.as_os_str().as_bytes())
    }
}

impl Notes {
    /// Returns the findings in order, and the paths that they are at.
    pub(crate) fn findings(&mut self) -> (Findings, BTreeSet<PathBuf>) {
        let mut found = std::mem::take(&mut self.found);
        let mut listed = Vec::new();
        for findings in found.values_mut() {
            findings.sort_by(|a, b| (&a.place, a.offset).cmp(&(&b.place, b.offset)));
            listed.append(findings);
        }
        let findings = Findings {
            listed,
            total: self.found_total,
        };
        (findings, found.into_keys().collect())
    }
}

/// Returns the skipped things as they may be shown.
pub(crate) fn skipped(watch: &Watch, notes: &Notes) -> Vec<Skipped> {
    notes
        .skipped
        .iter()
        .map(|(path, kind)| Skipped {
            path: watch.shown(path),
            kind: *kind,
        })
        .collect()
}
