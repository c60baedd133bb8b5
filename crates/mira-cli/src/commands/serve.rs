//! `mira serve`: the supervisor's process. Commands start it when they need it; it may be started by hand as well.

use mira_host::lease::Leases;
use mira_host::supervisor::Config;
use mira_server::{Client, ServeOptions, serve};

use crate::apps::{Apps, place};
use crate::error::CommandError;
use crate::session;
use crate::ui::Ui;

/// The word that makes the binary a keeper.
pub(crate) const KEEPER: &str = "keep";

/// The word that makes the binary the maker of a room.
pub(crate) const ROOM: &str = "room";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End the supervisor that runs, and before that all instances
    #[arg(long)]
    stop: bool,

    /// End after the last instance was stopped
    #[arg(long, hide = true)]
    on_demand: bool,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let home = session::home()?;
    let place = place(&home)?;
    if args.stop {
        return stop(place, ui);
    }
    let options = ServeOptions {
        place,
        config: Config::new(KEEPER, ROOM, Leases::at(home.leases())),
        on_demand: args.on_demand,
    };
    let served = serve(options, || match args.on_demand {
        true => mira_host::background::ready(),
        false => {
            ui.say("the supervisor is ready; Ctrl-C ends it, and stops all instances");
            Ok(())
        }
    });
    served.map_err(|error| CommandError::failed(error.to_string()))
}

fn stop(place: mira_server::Place, ui: &Ui) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match runtime.block_on(Client::new(place).shut_down())? {
        true => ui.say("the supervisor has ended, and all instances are stopped"),
        false => ui.say("no supervisor runs for this home"),
    }
    // What stopped instances left in memory goes; a home that cannot be opened has to wait for one that can.
    drop(Apps::open());
    Ok(())
}
