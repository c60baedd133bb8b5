//! `mira ps`: the instances, how they fare, and where they listen.

use mira_host::network::NetworkMode;
use mira_run::lease::Holder;
use mira_server::InstanceState;
use mira_store::{Decision, Instance, Port};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::render::{minute, table};
use crate::session;
use crate::ui::Ui;
use crate::whole::apps::Apps;
use crate::whole::apps::autosave::trouble;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One instance only: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: Option<String>,

    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// An instance with all that is known of it.
struct Row {
    instance: Instance,
    state: Option<InstanceState>,
    ports: Vec<Port>,
    stale: Vec<Holder>,
    decisions: Vec<Decision>,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let instances = match &args.instance {
        Some(wanted) => vec![apps.find(wanted)?],
        None => {
            let mut instances = apps.wait(apps.instances.store().instances())?;
            instances.extend(apps.wait(apps.instances.store().deleting())?);
            instances
        }
    };
    let running = apps.running()?;
    let holders = session::holders(ui, apps.instances.home());
    let mut rows = Vec::with_capacity(instances.len());
    for instance in instances {
        let id = instance.id.as_str();
        let label = format!("{}/", instance.name);
        rows.push(Row {
            state: running.iter().find(|state| state.id == id).cloned(),
            ports: apps.wait(apps.instances.store().ports(&instance.id))?,
            stale: holders
                .iter()
                .filter(|holder| holder.stale_since.is_some() && holder.program.starts_with(&label))
                .cloned()
                .collect(),
            decisions: apps.wait(apps.instances.store().decisions(&instance.id))?,
            instance,
        });
    }
    if args.json {
        let list = rows.iter().map(Row::json).collect();
        return ui.json(&Value::Array(list));
    }
    if rows.is_empty() {
        ui.say("there is no instance yet; `mira open PACKAGE` makes one");
        return Ok(());
    }
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    ui.data(&table(
        ["NAME", "APP", "VERSION", "STATE", "SERVICES", "PORTS", "ID"],
        &cells,
    ))?;
    for row in &rows {
        row.tell_network(ui);
        row.tell_stale(ui);
        let autosave = row.state.as_ref().and_then(|state| state.autosave.as_ref());
        let told = autosave.and_then(|state| trouble(row.instance.name.as_str(), state));
        if let Some(told) = told {
            ui.say(&told);
        }
    }
    Ok(())
}

impl Row {
    fn phase(&self) -> &'static str {
        match &self.state {
            _ if self.instance.deleting => "deleting",
            Some(state) => state.phase(),
            None => "stopped",
        }
    }

    fn cells(&self) -> [String; 7] {
        let services = self.state.iter().flat_map(|state| &state.services);
        let services: Vec<String> = services
            .map(|service| format!("{} {}", service.service, service.phase))
            .collect();
        let ports = self.ports.iter();
        let ports: Vec<String> = ports
            .map(|port| format!("{}/{} {}", port.service, port.name, port.number))
            .collect();
        [
            self.instance.name.to_string(),
            self.instance.app_id.clone(),
            self.instance.package.app_version.clone(),
            self.phase().to_owned(),
            services.join(", "),
            ports.join(", "),
            self.instance.id.to_string(),
        ]
    }

    fn json(&self) -> Value {
        let Self {
            instance,
            state,
            ports,
            stale,
            decisions,
        } = self;
        json!({
            "id": instance.id.as_str(),
            "name": instance.name.as_str(),
            "app": instance.app_id,
            "version": instance.package.app_version,
            "digest": instance.package.digest,
            "source": instance.package.source,
            "publisherKey": instance.package.publisher_key,
            "created": instance.created.to_string(),
            "opened": instance.opened.to_string(),
            "state": self.phase(),
            "services": state.iter().flat_map(|state| &state.services).collect::<Vec<_>>(),
            "ports": ports.iter().map(|port| json!({
                "service": port.service,
                "name": port.name,
                "number": port.number,
            })).collect::<Vec<_>>(),
            "stale": stale.iter().map(|holder| json!({
                "name": holder.delivery.name.as_str(),
                "since": holder.stale_since.map(|since| since.to_string()),
            })).collect::<Vec<_>>(),
            "autosave": state.as_ref().and_then(|state| state.autosave.as_ref()),
            "network": state.as_ref().and_then(|state| state.network.as_ref()),
            "decisions": decisions.iter().map(|decision| json!({
                "hosts": decision.host,
                "allow": decision.allow,
                "decided": decision.decided.to_string(),
            })).collect::<Vec<_>>(),
        })
    }

    fn tell_network(&self, ui: &Ui) {
        let network = self.state.as_ref().and_then(|state| state.network.as_ref());
        if let Some(mode @ NetworkMode::Recorded { .. }) = network {
            ui.say(&format!("the network of {} is {mode}", self.instance.name));
        }
    }

    fn tell_stale(&self, ui: &Ui) {
        for holder in &self.stale {
            let since = holder.stale_since.map(minute).unwrap_or_default();
            ui.say(&format!(
                "{} has an old value of {} since {since}; `mira restart {0}` gives it the new one",
                self.instance.name, holder.delivery.name
            ));
        }
    }
}
