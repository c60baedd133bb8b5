//! What our output streams are, and what the program gets in their place.
//!
//! A terminal is replaced by a terminal and anything else by a pipe, so that the program decides on colours, prompts and
//! buffering as it would have. Two streams that are one stay one, so that the order of what is written to them is kept.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::termios::isatty;

use super::terminal::{self, Pty};

/// One of the two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Returns our own descriptor of the stream.
    pub(super) fn descriptor(self) -> BorrowedFd<'static> {
        match self {
            Self::Stdout => rustix::stdio::stdout(),
            Self::Stderr => rustix::stdio::stderr(),
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stdout => "standard output",
            Self::Stderr => "standard error",
        })
    }
}

/// What a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The terminal that controls our session.
    Controlling,
    /// Another terminal, by its device number.
    Terminal(u64),
    /// The null device, where nothing can leak.
    Null,
    /// A pipe or socket, by device and inode: somebody may read it who also uses the terminal.
    Channel(u64, u64),
    /// A file or another device.
    File(u64, u64),
}

impl Kind {
    fn of(stream: BorrowedFd<'_>) -> io::Result<Self> {
        if terminal::is_controlling(stream) {
            return Ok(Self::Controlling);
        }
        let stat = fstat(stream)?;
        if isatty(stream) {
            return Ok(Self::Terminal(stat.st_rdev as u64));
        }
        let place = (stat.st_dev as u64, stat.st_ino as u64);
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Fifo | FileType::Socket => Self::Channel(place.0, place.1),
            FileType::CharacterDevice if is_null(&stat) => Self::Null,
            _ => Self::File(place.0, place.1),
        })
    }
}

fn is_null(stat: &Stat) -> bool {
    rustix::fs::stat("/dev/null").is_ok_and(|null| null.st_rdev == stat.st_rdev)
}

/// Returns whether the program is to have a session of its own, on a terminal of its own.
///
/// It is, if it would own the terminal: its keys are ours to read, it shows something there, and nobody else in our
/// pipeline reads the same keys (`mira run -- x | less`).
pub(super) fn wants_session() -> bool {
    let keys = rustix::stdio::stdin();
    let kinds = Stream::BOTH.map(|stream| Kind::of(stream.descriptor()).ok());
    terminal::is_controlling(keys)
        && kinds.contains(&Some(Kind::Controlling))
        && !kinds
            .iter()
            .any(|kind| matches!(kind, None | Some(Kind::Channel(..))))
        && (!terminal::is_foreground(keys) || terminal::edits_lines(keys))
}

/// A stream of the program and where it goes.
#[derive(Debug)]
pub(super) struct Feed {
    /// The reading end of a pipe, or the master of a terminal.
    pub(super) source: Arc<OwnedFd>,
    pub(super) stream: Stream,
    /// Whether it is a terminal that must follow the size of ours.
    pub(super) is_terminal: bool,
}

/// What the program gets for its output streams.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// Its standard output and error; `None` leaves it ours.
    pub(super) given: [Option<OwnedFd>; 2],
    pub(super) feeds: Vec<Feed>,
}

impl Outputs {
    /// Replaces each output stream; `session` is the terminal that stands in for the controlling one, if any.
    pub(super) fn replace(session: Option<(&Arc<OwnedFd>, &OwnedFd)>) -> io::Result<Self> {
        let [stdout, stderr] = [
            Kind::of(Stream::Stdout.descriptor())?,
            Kind::of(Stream::Stderr.descriptor())?,
        ];
        let mut outputs = Self::default();
        let first = outputs.route(Stream::Stdout, stdout, session)?;
        let second = match &first {
            Some(first) if stdout == stderr => Some(fcntl_dupfd_cloexec(first, 3)?),
            _ => outputs.route(Stream::Stderr, stderr, session)?,
        };
        outputs.given = [first, second];
        Ok(outputs)
    }

    fn route(
        &mut self,
        stream: Stream,
        kind: Kind,
        session: Option<(&Arc<OwnedFd>, &OwnedFd)>,
    ) -> io::Result<Option<OwnedFd>> {
        let (source, given) = match (kind, session) {
            (Kind::Null, _) => return Ok(None),
            (Kind::Controlling, Some((master, slave))) => {
                (Arc::clone(master), fcntl_dupfd_cloexec(slave, 3)?)
            }
            (Kind::Controlling | Kind::Terminal(_), _) => {
                let pty = Pty::for_output(stream.descriptor())?;
                (Arc::new(pty.master), pty.slave)
            }
            (Kind::Channel(..) | Kind::File(..), _) => {
                let (reader, writer) = pipe()?;
                (Arc::new(reader), writer)
            }
        };
        self.feeds.push(Feed {
            source,
            stream,
            is_terminal: matches!(kind, Kind::Controlling | Kind::Terminal(_)),
        });
        Ok(Some(given))
    }
}

/// Lets go of what standard input is, so that its writer hears when the program closes it; a terminal is kept.
pub(super) fn release_stdin() {
    if let (false, Some(null)) = (isatty(rustix::stdio::stdin()), open_null()) {
        // Without a null device the stream stays open until we end, and that is all.
        rustix::stdio::dup2_stdin(null).ok();
    }
}

/// Puts the null device in the place of one of our own streams, which closes it.
pub(super) fn replace_with_null(stream: Stream) {
    if let Some(null) = open_null() {
        // As in `release_stdin`.
        match stream {
            Stream::Stdout => rustix::stdio::dup2_stdout(null).ok(),
            Stream::Stderr => rustix::stdio::dup2_stderr(null).ok(),
        };
    }
}

/// Closes our standard output when the program has closed its own, so that a reader sees the end as it would have.
pub(super) fn let_go(stream: Stream) {
    if stream == Stream::Stdout && !isatty(stream.descriptor()) {
        replace_with_null(stream);
    }
}

/// Makes a pipe whose ends no exec passes on.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// Opens the null device.
pub(super) fn open_null() -> Option<OwnedFd> {
    open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Returns the streams as the program is to have them, ours where nothing is given.
pub(super) fn borrowed<'a>(
    stdin: BorrowedFd<'a>,
    given: &'a [Option<OwnedFd>; 2],
) -> [BorrowedFd<'a>; 3] {
    let [stdout, stderr] = given;
    [
        stdin,
        stdout.as_ref().map_or(rustix::stdio::stdout(), AsFd::as_fd),
        stderr.as_ref().map_or(rustix::stdio::stderr(), AsFd::as_fd),
    ]
}
