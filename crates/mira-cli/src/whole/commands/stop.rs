//! `mira stop`: stops instances.

use mira_server::Stopped;
use mira_store::Desired;

use crate::error::CommandError;
use crate::ui::Ui;
use crate::whole::apps::Apps;
use crate::whole::apps::autosave::trouble;

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
        let stopped = apps.wait(apps.client.stop(instance.id.as_str()))?;
        let store = apps.instances.store();
        apps.wait(store.set_desired(&instance.id, Desired::Stopped))?;
        match stopped {
            Some(Stopped { autosave }) => {
                ui.say(&format!("{} is stopped", instance.name));
                let trouble = autosave.and_then(|state| trouble(instance.name.as_str(), &state));
                if let Some(trouble) = trouble {
                    ui.say(&trouble);
                }
            }
            None if !args.all => ui.say(&format!("{} did not run", instance.name)),
            None => {}
        }
    }
    apps.sweep()
}
