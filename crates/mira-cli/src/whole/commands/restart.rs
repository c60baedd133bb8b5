//! `mira restart`: stops an instance and brings it up again, with its secrets as they are now.

use crate::error::CommandError;
use crate::ui::Ui;
use crate::whole::apps::{Apps, LaunchArgs, launch, prepare};
use crate::whole::commands::open::unpacked;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// Restart this service only, with the secrets that it has
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "json"])]
    service: Option<String>,

    /// Print what came of it as JSON
    #[arg(long, requires = "detach")]
    json: bool,

    #[command(flatten)]
    launch: LaunchArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    if let Some(service) = &args.service {
        let restarted = apps.client.restart(instance.id.as_str(), service);
        return match apps.wait(restarted)? {
            true => {
                ui.say(&format!("{service} of {} was restarted", instance.name));
                Ok(())
            }
            false => Err(
                CommandError::failed(format!("{} does not run", instance.name))
                    .hint(format!("mira start {}", instance.name)),
            ),
        };
    }
    let (instance, claim) = apps.claim(&instance)?;
    // Before anything is stopped: what is missing is told while it still runs.
    let unpacked = unpacked(&apps, ui, &instance, &args.launch)?;
    let ready = prepare(&apps, ui, &instance, &unpacked, claim, &args.launch, false)?;
    if apps.wait(apps.client.stop(instance.id.as_str()))?.is_some() {
        ui.say(&format!("{} is stopped", instance.name));
    }
    launch(&apps, ui, ready, &args.launch)?;
    match args.launch.detach {
        true => Ok(()),
        false => apps.sweep(),
    }
}
