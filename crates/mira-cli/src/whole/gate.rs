//! `mira run --gate`: what the program may call, and the secrets that go into its requests instead of into its environment.

use std::ffi::OsString;

use mira_gate::{Origin, Rule};
use mira_host::instances::Layout;
use mira_host::network::{Broker, CommandNetwork, Network, NetworkError, NetworkMode, Visible};
use mira_package::manifest::{HostError, HostPattern, Hosts};
use mira_run::{RoomError, RunRoom};
use mira_sandbox::Helper;
use mira_secret::{SecretName, SecretValue};
use mira_vault::home::Home;

use crate::commands::run::{Chosen, Gate, GateArgs, Gates};
use crate::error::CommandError;
use crate::programs::ROOM;
use crate::ui::Ui;
use crate::whole::apps::place;

/// Opens gates of programs.
pub(super) struct Gatekeeper;

impl Gates for Gatekeeper {
    fn open(
        &self,
        args: &GateArgs,
        home: &Home,
        program: &str,
        chosen: &[Chosen],
        ui: &Ui,
    ) -> Result<Box<dyn Gate>, CommandError> {
        let value = |name: &SecretName| {
            let chosen = chosen.iter().find(|chosen| chosen.name == *name);
            chosen.map(|chosen| &chosen.value)
        };
        let brokered = chosen.iter().filter(|chosen| args.brokers(chosen));
        let brokered = brokered.map(|chosen| {
            let hosts = args.hosts(chosen).map(named_host);
            let hosts = hosts.collect::<Result<_, CommandError>>()?;
            Ok(Broker::new(&chosen.name, &chosen.value, hosts, Vec::new()))
        });
        let rules = args.allow.iter().map(|text| {
            Ok(Rule {
                hosts: host("--allow", text)?,
                allow: true,
                origin: Origin::CommandLine,
            })
        });
        let [path, runtime] = ["PATH", "XDG_RUNTIME_DIR"].map(std::env::var_os);
        let place = place(home)?;
        let network = Network {
            name: program.to_owned(),
            is_command: true,
            rules: rules.collect::<Result<_, CommandError>>()?,
            record: Layout::net_of_runs(home.path()),
            require_enforcement: args.require_enforcement,
            visible: Visible::of_command(
                runtime.as_deref().map(std::path::Path::new),
                [home.path(), place.folder()],
                path.as_deref(),
            ),
            brokered: brokered.collect::<Result<_, CommandError>>()?,
            has_tokens: false,
        };
        begin(&network, value, ui)
    }
}

/// Parses a host; the error does not repeat the text, which may be a value in the wrong place.
fn host(option: &str, text: &str) -> Result<HostPattern, CommandError> {
    text.parse()
        .map_err(|error: HostError| CommandError::usage(format!("{option} takes a host: {error}")))
}

/// Parses a host that a secret is for.
fn named_host(text: &str) -> Result<HostPattern, CommandError> {
    let host = host("--broker", text)?;
    match host.hosts {
        Hosts::Any => Err(CommandError::usage(
            "--broker: a secret is for hosts that are named",
        )),
        _ => Ok(host),
    }
}

/// The gate of a program, and the placeholders that the program has.
struct Opened {
    network: CommandNetwork,
    /// What lets a host be called.
    remedy: String,
    placeholders: Vec<(OsString, OsString)>,
}

/// Opens the gate of a network, and says if it is only recorded.
pub(super) fn begin<'a>(
    network: &Network,
    value: impl Fn(&SecretName) -> Option<&'a SecretValue>,
    ui: &Ui,
) -> Result<Box<dyn Gate>, CommandError> {
    let placeholders = network.brokered.iter().map(Broker::variable).collect();
    let opened = CommandNetwork::open(network, value, &Helper::this_program(ROOM));
    let (opened, mode) = opened.map_err(|error| not_opened(&error))?;
    if let NetworkMode::Recorded { why } = mode {
        ui.say(&format!(
            "the network is recorded, not enforced: {} is told to use the gate, and nothing keeps it from doing otherwise ({why})",
            network.name
        ));
    }
    Ok(Box::new(Opened {
        network: opened,
        remedy: match network.is_command {
            true => "--allow HOST".to_owned(),
            false => format!("`mira net allow {} HOST`", network.name),
        },
        placeholders,
    }))
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

impl Gate for Opened {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        let mut variables = self.placeholders.clone();
        variables.extend(self.network.variables());
        variables
    }

    fn room(&self) -> Result<Option<RunRoom>, CommandError> {
        self.network.room().map_err(|error| match &error {
            RoomError::Stream { instead, .. } => CommandError::usage(error.to_string())
                .hint(format!("Redirect it: `mira … {instead}` has none.")),
            _ => CommandError::failed(error.to_string()),
        })
    }

    fn close(self: Box<Self>, ui: &Ui) {
        let Self {
            network, remedy, ..
        } = *self;
        let refused = network.close();
        if refused.is_empty() {
            return;
        }
        let hosts = refused
            .iter()
            .map(|(host, port, times)| format!("{host}:{port} ({times})"));
        let hosts: Vec<String> = hosts.collect();
        ui.say(&format!(
            "refused, with how often: {}; {} lets it call one, `mira net log` has every try",
            hosts.join(", "),
            remedy
        ));
    }
}
