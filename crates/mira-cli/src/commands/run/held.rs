//! Where a program would get a brokered value after all: in a variable of another name, or as a word of its command line.

use std::ffi::{OsStr, OsString};

use mira_redact::NeedleSet;
use mira_run::Environment;

use crate::error::CommandError;

/// Refuses variables and words that hold a value which the program is not to have. `is_inherited` tells variables that were there before from those that
/// the command line or another secret set.
pub(crate) fn refuse_held(
    brokered: &NeedleSet,
    environment: &Environment,
    words: &[OsString],
    is_inherited: impl Fn(&OsStr) -> bool,
) -> Result<(), CommandError> {
    let variables = environment.holding(brokered);
    let said = words
        .iter()
        .filter_map(|word| brokered.held_by(word.as_encoded_bytes()));
    let said: Vec<_> = said.collect();
    let shown = |name: &OsStr| name.to_string_lossy().escape_debug().to_string();
    let places = variables.iter().map(|(variable, name)| {
        format!("the variable {} holds the value of {name}", shown(variable))
    });
    let places = places.chain(
        said.iter()
            .map(|name| format!("an argument holds the value of {name}")),
    );
    let places: Vec<String> = places.collect();
    if places.is_empty() {
        return Ok(());
    }
    let mut refused = CommandError::usage(format!(
        "the program would get what it is to have a placeholder for: {}",
        places.join(", ")
    ));
    let (inherited, others): (Vec<_>, Vec<_>) = variables
        .iter()
        .map(|(variable, _)| variable)
        .partition(|variable| is_inherited(variable));
    if !inherited.is_empty() {
        let unset = inherited
            .iter()
            .map(|variable| format!("-u {} ", shown(variable)));
        refused = refused.hint(format!(
            "`env {}mira …` starts it without.",
            unset.collect::<String>()
        ));
    }
    if !others.is_empty() {
        refused = refused.hint("Leave out the setting or the secret that sets it.");
    }
    if let Some(name) = said.first() {
        refused = refused.hint(format!(
            "Let the program read it from its variable, as `sh -c '… \"${name}\"'` does: the placeholder is there."
        ));
    }
    Err(refused)
}
