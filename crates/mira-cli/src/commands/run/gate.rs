//! `mira run --gate`: its words, and what the gate is to a program that runs behind one.
//!
//! The gate itself is in `mira-apps`, which `mira` becomes when these words ask for one.

use std::ffi::OsString;

use mira_run::RunRoom;
use mira_secret::SecretName;
use mira_vault::home::Home;

use super::Chosen;
use crate::error::CommandError;
use crate::ui::Ui;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GateArgs {
    /// Let the program call nothing but what --allow and --broker name, and record every try
    #[arg(long, help_heading = "Network")]
    gate: bool,

    /// Let it call this host (may be repeated, or a list with commas); implies --gate
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        value_delimiter = ',',
        help_heading = "Network"
    )]
    pub(crate) allow: Vec<String>,

    /// Give it a placeholder for this secret, and put the value into its requests to these hosts; implies --gate.
    /// Each part of AWS credentials means all of them: its requests are signed again
    #[arg(
        long,
        value_name = "NAME=HOST[,HOST]",
        value_parser = parse_brokered,
        help_heading = "Network"
    )]
    pub(crate) broker: Vec<Brokered>,

    /// Do not start it where nothing but its good will keeps it from calling others
    #[arg(long, help_heading = "Network")]
    pub(crate) require_enforcement: bool,
}

/// A secret that is not given to the program, and the hosts that it is for.
#[derive(Clone, Debug)]
pub(crate) struct Brokered {
    pub(crate) name: SecretName,
    hosts: Vec<String>,
}

fn parse_brokered(text: &str) -> Result<Brokered, String> {
    let (name, hosts) = text
        .split_once('=')
        .ok_or("write NAME=HOST, such as OPENAI_API_KEY=api.openai.com")?;
    Ok(Brokered {
        // The text is not repeated: it may be a value in the wrong place.
        name: name
            .parse()
            .map_err(|_| "there is no name of a secret before the `=`")?,
        hosts: hosts.split(',').map(str::to_owned).collect(),
    })
}

impl GateArgs {
    /// Returns whether the program has a placeholder for this value.
    pub(crate) fn brokers(&self, value: &Chosen) -> bool {
        self.hosts(value).next().is_some()
    }

    /// Returns the hosts whose requests may carry a value that the program has a placeholder for.
    pub(crate) fn hosts(&self, value: &Chosen) -> impl Iterator<Item = &str> {
        let meant = self.broker.iter();
        let meant = meant.filter(|brokered| value.is_meant_by(&brokered.name));
        meant.flat_map(|brokered| brokered.hosts.iter().map(String::as_str))
    }

    /// Returns whether the program is to run behind a gate.
    pub(super) fn is_asked_for(&self) -> bool {
        self.gate || self.require_enforcement || !self.allow.is_empty() || !self.broker.is_empty()
    }
}

/// What opens gates.
pub(crate) trait Gates {
    /// Opens the gate of a program.
    fn open(
        &self,
        args: &GateArgs,
        home: &Home,
        program: &str,
        chosen: &[Chosen],
        ui: &Ui,
    ) -> Result<Box<dyn Gate>, CommandError>;
}

/// The gate of a program.
pub(crate) trait Gate {
    /// Returns the program's variables: placeholders, and what leads to the gate.
    fn variables(&self) -> Vec<(OsString, OsString)>;

    /// Returns the room that the program runs in, if there is one.
    fn room(&self) -> Result<Option<RunRoom>, CommandError>;

    /// Closes the gate, and says what it refused.
    fn close(self: Box<Self>, ui: &Ui);
}
