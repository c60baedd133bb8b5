//! `mira net`: where instances call, and the person's decisions about it.

mod decide;
mod log;
mod rules;
mod test;

use std::process::ExitCode;

use mira_gate::{Origin, Rule};
use mira_package::manifest::{DEFAULT_PORT, Manifest};
use mira_store::Instance;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::ui::Ui;
use crate::whole::apps::Apps;
use crate::whole::github;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A HOST is spelled as in a manifest: `api.example.org`, all names below one as `*.example.org`, all public names as `*`, \
                  an address as `192.0.2.1` or `[2001:db8::1]`. `:PORT` may follow; without it the port is 443."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what was called, and what was refused; never what was said
    Log(log::Args),
    /// Let an instance call hosts
    Allow(decide::Args),
    /// Keep an instance from calling hosts
    Deny(decide::Args),
    /// Take decisions back: what the manifest says of these hosts counts again
    Forget(decide::Args),
    /// List the rules of an instance, in the order in which they count
    Rules(rules::Args),
    /// Say whether an instance could call an address, by which rule, and with which secrets; exits with 1 if not
    Test(test::Args),
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    match &args.action {
        Action::Log(args) => log::run(args, ui),
        Action::Allow(args) => decide::run(args, decide::What::Allow, ui),
        Action::Deny(args) => decide::run(args, decide::What::Deny, ui),
        Action::Forget(args) => decide::run(args, decide::What::Forget, ui),
        Action::Rules(args) => rules::run(args, ui),
        Action::Test(args) => return test::run(args, ui),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Has what was decided of an instance take effect at once, if it runs.
fn apply(apps: &Apps, ui: &Ui, instance: &Instance) -> Result<(), CommandError> {
    if !apps.is_running(instance)? {
        return Ok(());
    }
    let manifest = apps.unpacked(instance)?.manifest;
    let rules = apps.wait(apps.instances.policy_rules(instance, &manifest))?;
    if apps.wait(apps.client.replace_rules(instance.id.as_str(), &rules))? {
        ui.detail("it takes effect at once");
    }
    Ok(())
}

/// Returns what an instance may call, the code host included that its permissions are for.
fn all_rules(
    apps: &Apps,
    instance: &Instance,
    manifest: &Manifest,
) -> Result<Vec<Rule>, CommandError> {
    let mut rules = github::rules(apps.instances.home(), manifest)?;
    rules.extend(apps.wait(apps.instances.policy_rules(instance, manifest))?);
    Ok(rules)
}

/// Spells a host and port as a rule does.
pub(crate) fn spelled(host: &str, port: u16) -> String {
    match port {
        DEFAULT_PORT => host.to_owned(),
        port => format!("{host}:{port}"),
    }
}

fn rule_json(rule: &Rule) -> Value {
    let (origin, secret) = match &rule.origin {
        Origin::Secret(name) => ("secret".to_owned(), Some(name.as_str())),
        other => (other.to_string(), None),
    };
    json!({
        "allow": rule.allow,
        "hosts": rule.hosts.to_string(),
        "origin": origin,
        "secret": secret,
    })
}
