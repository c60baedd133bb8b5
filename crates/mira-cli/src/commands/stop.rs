//! `mira stop`: stops instances.

use mira_store::Desired;

use crate::apps::Apps;
use crate::error::CommandError;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The instances: names or ids
    #[arg(value_name = "INSTANCE", required_unless_present = "all")]
    instances: Vec<String>,

    /// Stop all
    #[arg(long, conflicts_with = "instances")]
    all: bool,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let apps = Apps::open()?;
    let instances = match args.all {
        true => apps.wait(apps.instances.store().instances())?,
        false => {
            let wanted = args.instances.iter();
            wanted
                .map(|wanted| apps.find(wanted))
                .collect::<Result<_, _>>()?
        }
    };
    for instance in instances {
        let ran = apps.wait(apps.client.stop(instance.id.as_str()))?;
        let store = apps.instances.store();
        apps.wait(store.set_desired(&instance.id, Desired::Stopped))?;
        match ran {
            true => ui.say(&format!("{} is stopped", instance.name)),
            false if !args.all => ui.say(&format!("{} did not run", instance.name)),
            false => {}
        }
    }
    apps.sweep()
}
