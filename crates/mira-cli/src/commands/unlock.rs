//! `mira unlock`: asks for the passphrase once and remembers the key for a while.

use std::time::Duration;

use mira_vault::ProviderKind;

use crate::error::CommandError;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long to remember it, for example 30m, 8h or 2d
    #[arg(long, value_name = "TIME", default_value = "8h", value_parser = parse_ttl)]
    ttl: Duration,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let home = session::home()?;
    let vault = session::open_with(ui, &args.unlock, &home, Some(args.ttl))?;
    match vault.provider() {
        ProviderKind::Passphrase => {
            vault.remember_unlock(args.ttl)?;
            ui.say(&format!(
                "the vault is unlocked for {}; `mira lock` ends that",
                spell(args.ttl)
            ));
        }
        other => ui.say(&format!(
            "the vault opens with its {other}; there is nothing to remember"
        )),
    }
    Ok(())
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "a time is a number with a unit: 30m, 8h".to_owned())?;
    Duration::try_from(span)
        .ok()
        .filter(|ttl| (Duration::from_secs(1)..=Duration::from_secs(30 * 86_400)).contains(ttl))
        .ok_or_else(|| "the time is between one second and 30 days".to_owned())
}

fn spell(ttl: Duration) -> String {
    let span = jiff::SignedDuration::try_from(ttl).unwrap_or_default();
    format!("{span:#}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::UNLOCK_TTL;

    #[test]
    fn times_are_numbers_with_units() {
        assert_eq!(parse_ttl("8h"), Ok(UNLOCK_TTL));
        assert_eq!(parse_ttl("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(spell(UNLOCK_TTL), "8h");
        for wrong in ["", "8", "-1h", "0s", "31d", "721h", "for ever"] {
            assert!(parse_ttl(wrong).is_err(), "{wrong}");
        }
    }
}
