//! What a keeper is to start, as the supervisor says it and as the keeper reads it.
//!
//! INVARIANT: the message is one locked and wiped buffer on both sides. The keeper's strings are places in it, so
//! that no value is copied on its way into the service.

use std::convert::Infallible;
use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use mira_sandbox::Entrance;
use mira_secret::{SecretBytes, SecretName, SecretValue};

/// What a keeper is to start, before it is a message.
#[derive(Debug)]
pub(crate) struct NewLaunch<'a> {
    /// The file to execute.
    pub(crate) program: &'a Path,
    /// Its arguments, the name first.
    pub(crate) arguments: &'a [OsString],
    /// Its working folder.
    pub(crate) folder: &'a Path,
    /// Its variables that are no secrets.
    pub(crate) variables: &'a [(OsString, OsString)],
    /// Its variables that are.
    pub(crate) secrets: Vec<(&'a SecretName, &'a SecretValue)>,
    /// The folder for secret files; empty where there are none.
    pub(crate) files_folder: &'a Path,
    /// The secret files in it.
    pub(crate) files: Vec<(&'a SecretName, &'a SecretValue)>,
    /// The soft limit on open files.
    pub(crate) open_files: u64,
    /// The room that it is started in.
    pub(crate) room: Option<&'a Entrance>,
}

/// Where a message goes: first counted, then written.
trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

struct Count(usize);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

struct Place<'a>(&'a mut [u8]);

impl Sink for Place<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let rest = std::mem::take(&mut self.0);
        // It is as long as was counted.
        if let Some((now, after)) = rest.split_at_mut_checked(bytes.len()) {
            now.copy_from_slice(bytes);
            self.0 = after;
        }
    }
}

impl NewLaunch<'_> {
    /// Returns the message.
    pub(crate) fn message(&self) -> SecretBytes {
        let mut count = Count(0);
        self.write(&mut count);
        let filled = SecretBytes::try_fill(count.0, |bytes| {
            self.write(&mut Place(bytes));
            Ok::<(), Infallible>(())
        });
        match filled {
            Ok(message) => message,
            Err(never) => match never {},
        }
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.put(&self.open_files.to_ne_bytes());
        text(sink, &[self.program.as_os_str().as_bytes()]);
        text(sink, &[self.folder.as_os_str().as_bytes()]);
        text(sink, &[self.files_folder.as_os_str().as_bytes()]);
        number(sink, self.arguments.len());
        for argument in self.arguments {
            text(sink, &[argument.as_bytes()]);
        }
        number(sink, self.variables.len() + self.secrets.len());
        for (name, value) in self.variables {
            text(sink, &[name.as_bytes(), b"=", value.as_bytes()]);
        }
        for (name, value) in &self.secrets {
            // EXPOSE: to the service, in its environment, as its manifest asks for.
            text(sink, &[name.as_str().as_bytes(), b"=", value.expose()]);
        }
        number(sink, self.files.len());
        for (name, value) in &self.files {
            text(sink, &[name.as_str().as_bytes()]);
            // EXPOSE: to the service, in a file on tmpfs, as its manifest asks for.
            text(sink, &[value.expose()]);
        }
    }
}

fn number(sink: &mut impl Sink, number: usize) {
    // Counts of what fits into memory many times over; the reader refuses a message that does not add up.
    sink.put(&u32::try_from(number).unwrap_or(u32::MAX).to_ne_bytes());
}

/// Puts a text as its length and its bytes, a NUL last.
fn text(sink: &mut impl Sink, pieces: &[&[u8]]) {
    number(
        sink,
        pieces.iter().map(|piece| piece.len()).sum::<usize>() + 1,
    );
    for piece in pieces {
        sink.put(piece);
    }
    sink.put(&[0]);
}

/// What a keeper is to start; all of it lies in the message.
pub(super) struct Launch<'a> {
    pub(super) program: &'a CStr,
    pub(super) folder: &'a CStr,
    pub(super) files_folder: &'a Path,
    pub(super) arguments: Vec<&'a CStr>,
    pub(super) environment: Vec<&'a CStr>,
    pub(super) files: Vec<(&'a OsStr, &'a [u8])>,
    pub(super) open_files: u64,
}

impl<'a> Launch<'a> {
    /// Reads a message.
    pub(super) fn parse(message: &'a SecretBytes) -> io::Result<Self> {
        // EXPOSE: to the reader, which hands places in the buffer on.
        let mut message = Message(message.expose());
        let read = (|| {
            Some(Self {
                open_files: u64::from_ne_bytes(*message.take()?),
                program: message.text()?,
                folder: message.text()?,
                files_folder: Path::new(os(message.text()?)),
                arguments: message.texts()?,
                environment: message.texts()?,
                files: (0..message.number()?)
                    .map(|_| Some((os(message.text()?), message.text()?.to_bytes())))
                    .collect::<Option<_>>()?,
            })
        })();
        read.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn os(text: &CStr) -> &OsStr {
    OsStr::from_bytes(text.to_bytes())
}

struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (now, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(now)
    }

    fn number(&mut self) -> Option<usize> {
        usize::try_from(u32::from_ne_bytes(*self.take()?)).ok()
    }

    fn text(&mut self) -> Option<&'a CStr> {
        let len = self.number()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        CStr::from_bytes_with_nul(text).ok()
    }

    fn texts(&mut self) -> Option<Vec<&'a CStr>> {
        (0..self.number()?).map(|_| self.text()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_arrives_as_it_was_sent() {
        let name: SecretName = "KEY".parse().unwrap();
        let value = |bytes: &[u8]| SecretValue::new(&name, SecretBytes::copy_from(bytes)).unwrap();
        let (one, two) = (value(b"\xff= \n"), value(b"second"));
        let arguments = ["sh".into(), "-c".into(), OsString::new()];
        let launch = NewLaunch {
            program: Path::new("/bin/sh"),
            arguments: &arguments,
            folder: Path::new("/"),
            variables: &[("A".into(), "1=2".into())],
            secrets: vec![(&name, &one)],
            files_folder: Path::new("/x"),
            files: vec![(&name, &two)],
            open_files: 1024,
            room: None,
        };
        let message = launch.message();
        let read = Launch::parse(&message).unwrap();
        assert_eq!(read.program, c"/bin/sh");
        assert_eq!(read.folder, c"/");
        assert_eq!(read.files_folder, Path::new("/x"));
        assert_eq!(read.arguments, [c"sh", c"-c", c""]);
        assert_eq!(read.environment, [c"A=1=2", c"KEY=\xff= \n"]);
        assert_eq!(read.files, [(OsStr::new("KEY"), &b"second"[..])]);
        assert_eq!(read.open_files, 1024);
    }

    #[test]
    fn a_message_that_does_not_add_up_is_refused() {
        let launch = NewLaunch {
            program: Path::new("/bin/sh"),
            arguments: &["sh".into()],
            folder: Path::new("/"),
            variables: &[],
            secrets: Vec::new(),
            files_folder: Path::new(""),
            files: Vec::new(),
            open_files: 0,
            room: None,
        };
        let message = launch.message();
        for len in 0..message.len() {
            let cut = SecretBytes::copy_from(&message.expose()[..len]);
            assert!(Launch::parse(&cut).is_err(), "{len}");
        }
    }
}
