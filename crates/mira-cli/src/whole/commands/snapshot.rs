//! `mira snapshot`: takes, lists, restores, removes and checks the snapshots of an instance's state.

mod check;
mod create;
mod forget;
mod list;
mod restore;

use crate::error::CommandError;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Snapshots are incremental and encrypted, and no file that holds a secret of the instance gets into one. They are a \
                  restic repository, so that restic reads them too; its password rests in the vault. `mira ps` shows the ID, \
                  `mira snapshot check` the PATH:\n  \
                  mira run --scope instance/ID --only MIRA_SNAPSHOT_PASSWORD -- restic -r PATH --password-command 'printenv MIRA_SNAPSHOT_PASSWORD' snapshots"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Take a snapshot of an instance's state, also while it runs
    Create(create::Args),
    /// List the snapshots of an instance
    List(list::Args),
    /// Put the state of a stopped instance back as it was
    Restore(restore::Args),
    /// Remove snapshots, and what only they needed
    Forget(forget::Args),
    /// Check that the snapshots of an instance are whole
    Check(check::Args),
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    match &args.action {
        Action::Create(args) => create::run(args, ui),
        Action::List(args) => list::run(args, ui),
        Action::Restore(args) => restore::run(args, ui),
        Action::Forget(args) => forget::run(args, ui),
        Action::Check(args) => check::run(args, ui),
    }
}
