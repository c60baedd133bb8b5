//! `mira run --gate`: what the program may call, and the secrets that go into its requests instead of into its environment.

use std::ffi::OsString;

use mira_gate::{Origin, Rule};
use mira_host::instances::Layout;
use mira_host::network::{Broker, CommandNetwork, Network, NetworkError, NetworkMode, Visible};
use mira_host::run::RunRoom;
use mira_package::manifest::{HostPattern, Hosts};
use mira_sandbox::Helper;
use mira_secret::{SecretName, SecretValue};
use mira_vault::home::Home;

use super::Chosen;
use crate::commands::serve::ROOM;
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
    allow: Vec<HostPattern>,

    /// Give it a placeholder for this secret, and put the value into its requests to these hosts; implies --gate.
    /// Each part of AWS credentials means all of them: its requests are signed again
    #[arg(
        long,
        value_name = "NAME=HOST[,HOST]",
        value_parser = parse_brokered,
        help_heading = "Network"
    )]
    broker: Vec<Brokered>,

    /// Do not start it where nothing but its good will keeps it from calling others
    #[arg(long, help_heading = "Network")]
    require_enforcement: bool,
}

/// A secret that is not given to the program, and the hosts that it is for.
#[derive(Clone, Debug)]
struct Brokered {
    name: SecretName,
    hosts: Vec<HostPattern>,
}

fn parse_brokered(text: &str) -> Result<Brokered, String> {
    let (name, hosts) = text
        .split_once('=')
        .ok_or("write NAME=HOST, such as OPENAI_API_KEY=api.openai.com")?;
    let host = |text: &str| {
        let host: HostPattern = text
            .parse()
            .map_err(|error: mira_package::manifest::HostError| error.to_string())?;
        match host.hosts {
            Hosts::Any => Err("a secret is for hosts that are named".to_owned()),
            _ => Ok(host),
        }
    };
    Ok(Brokered {
        // The text is not repeated: it may be a value in the wrong place.
        name: name
            .parse()
            .map_err(|_| "there is no name of a secret before the `=`")?,
        hosts: hosts.split(',').map(host).collect::<Result<_, _>>()?,
    })
}

impl GateArgs {
    /// Returns whether the program has a placeholder for this value.
    pub(super) fn brokers(&self, value: &Chosen) -> bool {
        self.hosts(value).next().is_some()
    }

    /// Returns the hosts whose requests may carry a value that the program has a placeholder for.
    fn hosts(&self, value: &Chosen) -> impl Iterator<Item = &HostPattern> {
        let meant = self.broker.iter();
        let meant = meant.filter(|brokered| value.is_meant_by(&brokered.name));
        meant.flat_map(|brokered| &brokered.hosts)
    }

    fn is_asked_for(&self) -> bool {
        self.gate || self.require_enforcement || !self.allow.is_empty() || !self.broker.is_empty()
    }
}

/// The gate of a program.
pub(crate) struct Gate {
    network: CommandNetwork,
    placeholders: Vec<(OsString, OsString)>,
}

/// Opens the gate, if there is to be one.
pub(super) fn open(
    args: &GateArgs,
    home: &Home,
    program: &str,
    chosen: &[Chosen],
    ui: &Ui,
) -> Result<Option<Gate>, CommandError> {
    if !args.is_asked_for() {
        return Ok(None);
    }
    let value = |name: &SecretName| {
        let chosen = chosen.iter().find(|chosen| chosen.name == *name);
        chosen.map(|chosen| &chosen.value)
    };
    let is_there = |name: &&SecretName| chosen.iter().any(|chosen| chosen.is_meant_by(name));
    let names = args.broker.iter().map(|brokered| &brokered.name);
    let missing: Vec<_> = names.filter(|name| !is_there(name)).collect();
    if !missing.is_empty() {
        return Err(CommandError::missing(
            "not among the secrets of this run:".to_owned(),
            missing,
        )
        .hint("`mira set NAME` saves one; --only, --except and --scope choose among them."));
    }
    let brokered = chosen.iter().filter(|chosen| args.brokers(chosen));
    let brokered: Vec<Broker> = brokered
        .map(|chosen| {
            let hosts = args.hosts(chosen).cloned().collect();
            Broker::new(&chosen.name, &chosen.value, hosts, Vec::new())
        })
        .collect();
    let allow = args.allow.iter();
    let (path, runtime) = (
        std::env::var_os("PATH"),
        std::env::var_os("XDG_RUNTIME_DIR"),
    );
    let network = Network {
        name: program.to_owned(),
        is_command: true,
        rules: allow
            .map(|hosts| Rule {
                hosts: hosts.clone(),
                allow: true,
                origin: Origin::CommandLine,
            })
            .collect(),
        record: Layout::net_of_runs(home.path()),
        require_enforcement: args.require_enforcement,
        visible: Visible::of_command(
            runtime.as_deref().map(std::path::Path::new),
            home.path(),
            path.as_deref(),
        ),
        brokered,
        has_tokens: false,
    };
    begin(&network, value, ui).map(Some)
}

/// Opens the gate of a network, and says if it is only recorded.
pub(crate) fn begin<'a>(
    network: &Network,
    value: impl Fn(&SecretName) -> Option<&'a SecretValue>,
    ui: &Ui,
) -> Result<Gate, CommandError> {
    let placeholders = network.brokered.iter().map(Broker::variable).collect();
    let opened = CommandNetwork::open(network, value, &Helper::this_program(ROOM));
    let (opened, mode) = opened.map_err(|error| not_opened(&error))?;
    if let NetworkMode::Recorded { why } = mode {
        ui.say(&format!(
            "the network is recorded, not enforced: {} is told to use the gate, and nothing keeps it from doing otherwise ({why})",
            network.name
        ));
    }
    Ok(Gate {
        network: opened,
        placeholders,
    })
}

fn not_opened(error: &NetworkError) -> CommandError {
    let refused = CommandError::failed(error.to_string());
    match error {
        NetworkError::NotEnforced(_) => {
            refused.hint("`mira doctor` says what is missing; without --require-enforcement it would be recorded only.")
        }
        _ => refused,
    }
}

impl Gate {
    /// Returns the program's variables: placeholders, and what leads to the gate.
    pub(crate) fn variables(&self) -> Vec<(OsString, OsString)> {
        let mut variables = self.placeholders.clone();
        variables.extend(self.network.variables());
        variables
    }

    /// Returns the room that the program runs in, if there is one.
    pub(crate) fn room(&self) -> Result<Option<RunRoom>, CommandError> {
        Ok(self.network.room()?)
    }

    /// Closes the gate, and says what it refused.
    pub(crate) fn close(self, ui: &Ui) {
        let refused = self.network.close();
        if refused.is_empty() {
            return;
        }
        let hosts = refused
            .iter()
            .map(|(host, port, times)| format!("{host}:{port} ({times})"));
        let hosts: Vec<String> = hosts.collect();
        ui.say(&format!(
            "refused, with how often: {}; --allow HOST lets it call one, `mira net log` has every try",
            hosts.join(", ")
        ));
    }
}
