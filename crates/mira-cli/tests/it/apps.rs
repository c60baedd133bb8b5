//! Apps as their users have them: packages opened, instances run, stopped, killed and deleted, by the real program.

pub(crate) mod app;
pub(crate) mod house;

mod aws;
mod faults;
mod files;
mod guesses;
mod isolation;
mod killed;
mod leaks;
mod net;
mod own;
mod removal;
mod residents;
mod samples;
mod sealed;
mod supervisor;
mod trust;
