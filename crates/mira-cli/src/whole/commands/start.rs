//! `mira start`: brings an instance up that is there.

use mira_store::Instance;

use crate::error::CommandError;
use crate::ui::Ui;
use crate::whole::apps::{Apps, LaunchArgs, launch, prepare};
use crate::whole::commands::open::{claim_stopped, unpacked};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The instance: its name or id, or the beginning of its id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// Print what came of it as JSON
    #[arg(long, requires = "detach")]
    json: bool,

    #[command(flatten)]
    launch: LaunchArgs,
}

impl Args {
    /// Returns how an instance is started that is then left running.
    pub(super) fn detached(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            json: false,
            launch: LaunchArgs {
                detach: true,
                ..LaunchArgs::default()
            },
        }
    }
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let started = bring_up(&apps, ui, args, &instance);
    let swept = apps.sweep();
    started.and(swept)
}

fn bring_up(apps: &Apps, ui: &Ui, args: &Args, instance: &Instance) -> Result<(), CommandError> {
    let (instance, claim) = claim_stopped(apps, instance)?;
    let unpacked = unpacked(apps, ui, &instance, &args.launch)?;
    let ready = prepare(apps, ui, &instance, &unpacked, claim, &args.launch, false)?;
    launch(apps, ui, ready, &args.launch)
}
