//! `mira net allow`, `deny` and `forget`: the person's decisions about hosts, made and taken back.

use mira_package::manifest::{HostPattern, Hosts};

use super::apply;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::whole::apps::Apps;
use crate::whole::packaging::joined;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// The hosts: api.example.org, *.example.org:8443, 192.0.2.1
    #[arg(value_name = "HOST[:PORT]", required = true)]
    hosts: Vec<HostPattern>,
}

/// What is done with the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Allow,
    Deny,
    Forget,
}

pub(super) fn run(args: &Args, what: What, ui: &Ui) -> Result<(), CommandError> {
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let (store, id, name) = (apps.instances.store(), &instance.id, &instance.name);
    let mut unknown = Vec::new();
    for hosts in &args.hosts {
        let text = hosts.to_string();
        match what {
            What::Forget if !apps.wait(store.forget_decision(id, &text))? => unknown.push(text),
            What::Forget => {}
            What::Allow | What::Deny => {
                apps.wait(store.decide(id, &text, what == What::Allow))?;
            }
        }
    }
    if !unknown.is_empty() {
        return Err(
            CommandError::missing(format!("nothing is decided of {name} about:"), unknown)
                .hint(format!("`mira net rules {name}` lists the decisions.")),
        );
    }
    let hosts = joined(&args.hosts);
    ui.say(&match what {
        What::Allow => format!("{name} may call {hosts}"),
        What::Deny => format!("{name} may not call {hosts}"),
        What::Forget => format!("nothing is decided of {name} about {hosts} any more"),
    });
    if what == What::Allow && args.hosts.iter().any(|hosts| hosts.hosts == Hosts::Any) {
        ui.detail("`*` is all public names: it can send what it knows to anybody");
    }
    apply(&apps, ui, &instance)
}
