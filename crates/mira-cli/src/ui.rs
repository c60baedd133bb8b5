//! The person at the prompt: what is printed where, and what is asked.
//!
//! INVARIANT: only data goes to stdout; nothing is asked unless a terminal is there to answer.

mod hidden;
pub(crate) mod progress;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use mira_secret::SecretBytes;
use zeroize::Zeroize;

use self::hidden::HiddenError;
use crate::error::{CommandError, Kind};

/// The terminal, or its absence.
#[derive(Debug)]
pub(crate) struct Ui {
    json: AtomicBool,
}

impl Ui {
    pub(crate) fn new() -> Self {
        Self {
            json: AtomicBool::new(false),
        }
    }

    /// Says that the command's data, its errors included, is wanted as JSON.
    pub(crate) fn want_json(&self, json: bool) {
        self.json.store(json, Ordering::Relaxed);
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json.load(Ordering::Relaxed)
    }

    /// Writes data to stdout.
    pub(crate) fn data(&self, text: &str) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        match written {
            // The reader has seen enough, as with `| head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Writes one JSON value and a newline to stdout.
    pub(crate) fn json(&self, value: &serde_json::Value) -> Result<(), CommandError> {
        self.data(&format!("{value:#}\n"))
    }

    /// Writes a message to stderr.
    pub(crate) fn say(&self, message: &str) {
        // There is nowhere left to report a closed stderr to.
        drop(writeln!(io::stderr(), "mira: {message}"));
    }

    /// Writes a line that belongs to the message before it.
    pub(crate) fn detail(&self, line: &str) {
        drop(writeln!(io::stderr(), "  {line}"));
    }

    /// Returns a line that says how far something is.
    pub(crate) fn progress(&self, what: &'static str) -> progress::Progress {
        progress::Progress::new(what)
    }

    /// Returns whether somebody can be asked: stdin and stderr are terminals.
    pub(crate) fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Returns whether a hidden prompt can be shown although stdin carries data: stderr is a terminal.
    pub(crate) fn can_ask_hidden(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Asks for a value on the terminal without showing it.
    pub(crate) fn ask_hidden(&self, prompt: &str) -> Result<SecretBytes, CommandError> {
        hidden::read_line(prompt).map_err(|error| match error {
            HiddenError::Interrupted => CommandError::interrupted(),
            other => CommandError::failed(other.to_string()),
        })
    }

    /// Asks for a line, with a default for an empty answer.
    pub(crate) fn ask(&self, prompt: &str) -> Result<String, CommandError> {
        drop(write!(io::stderr(), "{prompt}"));
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line)?;
        if read == 0 {
            line.zeroize();
            return Err(CommandError::failed(
                "nothing was answered; nothing was changed",
            ));
        }
        Ok(line.trim().to_owned())
    }

    /// Asks a yes-or-no question; an empty answer is no.
    ///
    /// Without a terminal the answer is an error that says how to give consent.
    pub(crate) fn confirm(&self, question: &str, consent: &str) -> Result<bool, CommandError> {
        if !self.can_ask() {
            return Err(CommandError::new(
                Kind::Missing,
                format!("{question} There is no terminal to ask on."),
            )
            .hint(format!("Give {consent} to agree.")));
        }
        let answer = self.ask(&format!("{question} [y/N] "))?;
        Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}
