//! Snapshots, copies and diagnostics of instances, by the real program, restic and SQLite.

pub(crate) mod notes;

mod autosave;
mod commands;
mod copies;
mod diagnostics;
mod leaks;
mod restores;
