//! `mira net rules`: what an instance may call, and why.

use mira_gate::Origin;
use serde_json::Value;

use super::{all_rules, rule_json};
use crate::error::CommandError;
use crate::render::table;
use crate::ui::Ui;
use crate::whole::apps::Apps;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let manifest = apps.unpacked(&instance)?.manifest;
    let rules = all_rules(&apps, &instance, &manifest)?;
    if args.json {
        return ui.json(&rules.iter().map(rule_json).collect::<Value>());
    }
    if rules.is_empty() {
        ui.say(&format!(
            "{0} may call nobody; `mira net allow {0} HOST` lets it call a host",
            instance.name
        ));
        return Ok(());
    }
    let rows: Vec<_> = rules
        .iter()
        .map(|rule| {
            let word = if rule.allow { "allow" } else { "deny" };
            [
                word.to_owned(),
                rule.hosts.to_string(),
                rule.origin.to_string(),
            ]
        })
        .collect();
    ui.data(&table(["RULE", "HOSTS", "FROM"], &rows))?;
    if rules.iter().any(|rule| rule.origin == Origin::CodeHost) {
        ui.say(
            "the code host is called under `mira serve --listen` alone, which has the App's key",
        );
    }
    ui.say("of the rules that fit a host the last one decides; what none fits is refused");
    Ok(())
}
