//! There is no gate on this system.

use std::ffi::OsString;

use mira_host::run::RunRoom;
use mira_vault::home::Home;

use super::Chosen;
use crate::error::CommandError;
use crate::ui::Ui;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GateArgs {}

impl GateArgs {
    pub(super) fn brokers(&self, _value: &Chosen) -> bool {
        false
    }
}

/// There is none.
pub(super) enum Gate {}

pub(super) fn open(
    _args: &GateArgs,
    _home: &Home,
    _program: &str,
    _chosen: &[Chosen],
    _ui: &Ui,
) -> Result<Option<Gate>, CommandError> {
    Ok(None)
}

impl Gate {
    pub(super) fn variables(&self) -> Vec<(OsString, OsString)> {
        match *self {}
    }

    pub(super) fn room(&self) -> Result<Option<RunRoom>, CommandError> {
        match *self {}
    }

    pub(super) fn close(self, _ui: &Ui) {
        match self {}
    }
}
