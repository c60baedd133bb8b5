//! A line typed at the terminal without showing it.
//!
//! The terminal stops echoing before the prompt is shown, and is as it was on every way out, Ctrl-C included. What was typed
//! goes from the system's buffer into memory that is locked and wiped. Bytes behind the line's end, as from pasting
//! several lines, are thrown away: the shell would show and run them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;

use mira_secret::{ENTRY_BYTES_MAX, SecretBytes};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(super) enum HiddenError {
    /// Ctrl-C was typed.
    #[error("interrupted")]
    Interrupted,
    /// The input ended.
    #[error("nothing was typed; nothing was changed")]
    Ended,
    /// Keys that type nothing.
    #[error(
        "a control character was typed, such as an arrow key; nothing was changed. Use --stdin for such values"
    )]
    Control,
    /// More came than one line.
    #[error(
        "more than one line was typed or pasted; nothing was changed. Use --stdin for such values"
    )]
    SecondLine,
    /// More came than a value can have.
    #[error("more was typed or pasted than a value can have; nothing was changed")]
    TooLong,
    /// The terminal failed, or is not there.
    #[error("cannot use the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Shows the prompt and reads a line.
pub(super) fn read_line(prompt: &str) -> Result<SecretBytes, HiddenError> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let mut terminal = Quiet::begin(file)?;
    terminal.file.write_all(prompt.as_bytes())?;
    let line = collect(&terminal.file);
    terminal.file.write_all(b"\r\n")?;
    line
}

/// A terminal that neither echoes nor edits nor signals.
struct Quiet {
    file: File,
    before: Termios,
}

impl Quiet {
    fn begin(file: File) -> io::Result<Self> {
        let before = tcgetattr(&file)?;
        let mut quiet = before.clone();
        quiet.local_modes -=
            LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        quiet.input_modes |= InputModes::ICRNL;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&file, OptionalActions::Flush, &quiet)?;
        Ok(Self { file, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing put back.
        tcsetattr(&self.file, OptionalActions::Flush, &self.before).unwrap_or_default();
    }
}

fn collect(terminal: impl AsFd) -> Result<SecretBytes, HiddenError> {
    let mut line = Line {
        bytes: Zeroizing::new(Vec::with_capacity(ENTRY_BYTES_MAX)),
    };
    let mut keys = Zeroizing::new([0; 1024]);
    loop {
        let count = match rustix::io::read(&terminal, &mut *keys) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.map_err(io::Error::from)?,
        };
        let typed = keys.get(..count).unwrap_or_default();
        if typed.is_empty() {
            return Err(HiddenError::Ended);
        }
        if line.take(typed)? {
            return Ok(SecretBytes::copy_from(&line.bytes));
        }
    }
}

/// The line so far.
struct Line {
    // Made with all the room it may need, so that it never moves.
    bytes: Zeroizing<Vec<u8>>,
}

impl Line {
    /// Takes keys; returns whether the line is complete.
    fn take(&mut self, keys: &[u8]) -> Result<bool, HiddenError> {
        for (at, &key) in keys.iter().enumerate() {
            match key {
                b'\n' | b'\r' if at + 1 < keys.len() => return Err(HiddenError::SecondLine),
                b'\n' | b'\r' => return Ok(true),
                0x03 => return Err(HiddenError::Interrupted),
                0x04 if self.bytes.is_empty() => return Err(HiddenError::Ended),
                0x08 | 0x7f => self.remove_character(),
                0x15 => self.bytes.clear(),
                b'\t' | 0x20..=0xff if self.bytes.len() < ENTRY_BYTES_MAX => self.bytes.push(key),
                b'\t' | 0x20..=0xff => return Err(HiddenError::TooLong),
                _ => return Err(HiddenError::Control),
            }
        }
        Ok(false)
    }

    /// Removes the last character, all bytes of it (RFC 3629).
    fn remove_character(&mut self) {
        while let Some(byte) = self.bytes.pop() {
            let continues = byte & 0b1100_0000 == 0b1000_0000;
            if !continues {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let mut line = Line {
            bytes: Zeroizing::new(Vec::new()),
        };
        match line.take(keys) {
            Ok(complete) => Ok(complete.then(|| line.bytes.to_vec())),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_line_is_edited_as_a_terminal_edits_it() {
        let check = |keys: &str, expect: &str| {
            assert_eq!(
                typed(keys.as_bytes()),
                Ok(Some(expect.as_bytes().to_vec())),
                "{keys:?}"
            );
        };
        check("abc\n", "abc");
        check("a\tb c\r", "a\tb c");
        check("abx\x7fc\n", "abc");
        check("aß\x08b\n", "ab");
        check("\x7f\x7fa\n", "a");
        check("wrong\x15right\n", "right");
        check("\n", "");
        assert_eq!(typed(b"abc"), Ok(None));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let check = |keys: &str, says: &str| {
            let told = typed(keys.as_bytes()).expect_err(keys);
            assert!(told.contains(says), "{keys:?}: {told}");
        };
        check("ab\x03", "interrupted");
        check("\x04", "nothing was typed");
        check("\x1b[A\n", "control character");
        check("-----BEGIN\nabc\n", "more than one line");
        check(&"x".repeat(ENTRY_BYTES_MAX + 1), "more was typed");
    }
}
