//! One output stream: read from the program, redact, write to our own stream.
//!
//! INVARIANT: a byte of the program reaches our stream through a [`Filter`] or not at all, and in order. While our
//! stream takes no more, nothing more is read, so the program waits as it would have waited for that stream itself.

use std::io;
use std::io::{Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::filter::Filter;
use super::signals::Watch;
use super::wait::poll_until;
use super::{Redacted, Stream};

/// How long a stream that something else still holds open may be silent after the program's end, until it is given up.
// LIMIT: what a process left behind writes later is lost to us; it may not pass unredacted, and nobody is there to redact.
const LINGER_SILENCE: Duration = Duration::from_millis(250);

/// How long after the program's end such a stream is followed in all.
const LINGER_TOTAL: Duration = Duration::from_secs(2);

/// How much a terminal may hold that it does not tell of; a pipe tells.
const BUFFERED_BYTES: usize = 64 * 1024;

/// How long a stop waits for output that was written before it.
const QUIESCE: Duration = Duration::from_secs(2);

/// How long it waits for a stream that takes nothing: a pipe, whose reader may have been stopped with us.
const QUIESCE_PIPE: Duration = Duration::from_millis(100);

/// How long the rest of the output may still take after a signal that asks us to end.
const HURRY: Duration = Duration::from_millis(500);

/// The buffer is on the heap; a pump needs little stack.
const STACK_BYTES: usize = 128 * 1024;

/// A stream that is being pumped in a thread of its own.
pub(super) struct Pump {
    stream: Stream,
    /// A byte asks for quiet and comes back when there is; its end asks to finish; the other end's end says finished.
    link: UnixStream,
    thread: JoinHandle<Ending>,
}

/// How a stream ended.
#[derive(Debug, Default)]
struct Ending {
    redacted: Redacted,
    /// Why our own stream took no more, unless its reader just went away.
    failed: Option<io::Error>,
}

impl Pump {
    /// Begins to pump `source`, the reading end of a pipe or the master of a terminal, to one of our streams.
    pub(super) fn start(source: Arc<OwnedFd>, stream: Stream, filter: Filter) -> io::Result<Self> {
        let (link, far_link) = UnixStream::pair()?;
        far_link.set_nonblocking(true)?;
        let worker = Worker {
            source,
            stream,
            filter,
            link: far_link,
            asked: None,
            linger: None,
        };
        let thread = thread::Builder::new()
            .name(format!("pump {stream}"))
            .stack_size(STACK_BYTES)
            .spawn(move || worker.run())?;
        Ok(Self {
            stream,
            link,
            thread,
        })
    }

    /// Waits, but not for long, until everything that the program has written so far is written to our stream.
    pub(super) fn quiesce(&mut self, turn: u8) {
        let sink = self.stream.descriptor();
        let mut room = [PollFd::from_borrowed_fd(sink, PollFlags::OUT)];
        let now = Instant::now();
        let stuck = !rustix::termios::isatty(sink) && poll_until(&mut room, Some(now)) == 0;
        let deadline = now + if stuck { QUIESCE_PIPE } else { QUIESCE };
        if self.link.write_all(&[turn]).is_err() {
            return;
        }
        let mut answer = [0];
        // An answer to an earlier turn, which was not waited for to its end, is passed over.
        while answer != [turn] {
            let mut ready = [PollFd::new(&self.link, PollFlags::IN)];
            if poll_until(&mut ready, Some(deadline)) == 0
                || !matches!(self.link.read(&mut answer), Ok(1))
            {
                return;
            }
        }
    }
}

/// Lets all pumps finish, after the end of the program.
pub(super) fn finish(pumps: Vec<Pump>, watch: &Watch) -> (Redacted, Vec<(Stream, io::Error)>) {
    for pump in &pumps {
        // The thread may have ended already, and the link with it.
        pump.link.shutdown(std::net::Shutdown::Write).ok();
    }
    let mut deadline = None;
    let mut running = pumps;
    let mut redacted = Redacted::default();
    let mut failed = Vec::new();
    while !running.is_empty() {
        let links = running
            .iter()
            .map(|pump| PollFd::new(&pump.link, PollFlags::IN));
        let mut ready: Vec<_> = [PollFd::new(watch, PollFlags::IN)]
            .into_iter()
            .chain(links)
            .collect();
        if poll_until(&mut ready, deadline) == 0 {
            break;
        }
        let ended: Vec<bool> = ready
            .iter()
            .skip(1)
            .map(|fd| !fd.revents().is_empty())
            .collect();
        if watch.next().is_some_and(|event| asks_to_end(event.signal)) {
            deadline.get_or_insert(Instant::now() + HURRY);
        }
        let mut ended = ended.into_iter();
        let (done, rest) = running
            .into_iter()
            .partition::<Vec<_>, _>(|pump| ended.next().unwrap_or_default() && pump.has_ended());
        running = rest;
        for pump in done {
            let stream = pump.stream;
            let ending = pump.thread.join().unwrap_or_else(|_| Ending::broken());
            redacted += ending.redacted;
            failed.extend(ending.failed.map(|error| (stream, error)));
        }
    }
    (redacted, failed)
}

fn asks_to_end(signal: i32) -> bool {
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT].contains(&signal)
}

impl Pump {
    /// Returns whether the link has ended, not merely brought a late answer.
    fn has_ended(&self) -> bool {
        let mut late = [0; 8];
        matches!((&self.link).read(&mut late), Ok(0) | Err(_))
    }
}

impl Ending {
    fn broken() -> Self {
        Self {
            failed: Some(io::Error::other("the redactor failed")),
            ..Self::default()
        }
    }
}

struct Worker {
    source: Arc<OwnedFd>,
    stream: Stream,
    filter: Filter,
    link: UnixStream,
    /// The turn whose quiet was asked for.
    asked: Option<u8>,
    linger: Option<Linger>,
}

/// What is left to a stream after the program's end.
struct Linger {
    /// Bytes that may have been there before it, and are written whatever time that takes.
    owed: usize,
    silence: Instant,
    total: Instant,
}

impl Linger {
    fn is_over(&self, now: Instant) -> bool {
        self.silence <= now || (self.owed == 0 && self.total <= now)
    }
}

/// What reading once came to.
enum Step {
    More,
    End,
}

impl Worker {
    fn run(mut self) -> Ending {
        let failed = loop {
            match self.step() {
                Ok(Step::More) => {}
                Ok(Step::End) => break self.flush().err(),
                Err(error) => break Some(error),
            }
        };
        if self.linger.is_none() {
            super::streams::let_go(self.stream);
        }
        let counts = self.filter.counts();
        Ending {
            redacted: Redacted {
                values: counts.redactions,
                partial: counts.partial_leaks,
            },
            // A reader that went away is nobody's fault; the program hears of it as it would have.
            failed: failed.filter(|error| error.kind() != io::ErrorKind::BrokenPipe),
        }
    }

    fn step(&mut self) -> io::Result<Step> {
        let sink = self.stream.descriptor();
        let (from_program, sink_gone, from_owner) = {
            let mut fds = vec![
                PollFd::new(&self.source, PollFlags::IN),
                PollFd::from_borrowed_fd(sink, PollFlags::empty()),
            ];
            if self.linger.is_none() {
                fds.push(PollFd::new(&self.link, PollFlags::IN));
            }
            poll_until(&mut fds, self.wake());
            let woken = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
            (woken(0), woken(1), woken(2))
        };
        if sink_gone {
            return Err(Errno::PIPE.into());
        }
        let now = Instant::now();
        if from_program {
            return self.read(now);
        }
        if self.filter.deadline().is_some_and(|due| due <= now) {
            write_all(sink, self.filter.expire(now))?;
        }
        if from_owner {
            self.hear(now);
        } else if self.filter.deadline().is_none()
            && let Some(turn) = self.asked.take()
        {
            // If the owner is gone there is nobody to answer.
            self.link.write_all(&[turn]).ok();
        } else if let Some(linger) = &self.linger
            && linger.is_over(now)
        {
            return Ok(Step::End);
        }
        Ok(Step::More)
    }

    /// Returns when to wake without an event.
    fn wake(&self) -> Option<Instant> {
        let asked = self
            .asked
            .map(|_| Instant::now())
            .filter(|_| self.filter.deadline().is_none());
        let linger = self.linger.as_ref().map(|linger| linger.silence);
        [asked, linger, self.filter.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn read(&mut self, now: Instant) -> io::Result<Step> {
        let count = match rustix::io::read(&self.source, self.filter.spare()) {
            // The master of a terminal that nobody holds open any more says EIO on Linux and 0 elsewhere.
            Ok(0) | Err(Errno::IO) => return Ok(Step::End),
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(Step::More),
            Err(error) => return Err(error.into()),
        };
        write_all(self.stream.descriptor(), self.filter.filled(count, now))?;
        if let Some(linger) = &mut self.linger {
            // Counted from here: our own stream may have kept us waiting.
            let now = Instant::now();
            linger.owed = linger.owed.saturating_sub(count);
            linger.silence = now + LINGER_SILENCE;
            if linger.is_over(now) {
                return Ok(Step::End);
            }
        }
        Ok(Step::More)
    }

    /// Takes what the owner says: a byte asks for quiet, the end of the link for the end.
    fn hear(&mut self, now: Instant) {
        let mut turns = [0; 8];
        match self.link.read(&mut turns) {
            Ok(count @ 1..) => self.asked = turns.get(count - 1).copied(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => {
                let waiting = rustix::io::ioctl_fionread(&self.source).unwrap_or_default();
                self.linger = Some(Linger {
                    owed: usize::try_from(waiting)
                        .unwrap_or_default()
                        .max(BUFFERED_BYTES),
                    silence: now + LINGER_SILENCE,
                    total: now + LINGER_TOTAL,
                });
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all(self.stream.descriptor(), self.filter.finish())
    }
}

fn write_all(sink: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(sink, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody who shares the stream made it non-blocking.
            Err(Errno::AGAIN) => {
                poll_until(&mut [PollFd::from_borrowed_fd(sink, PollFlags::OUT)], None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_given_up_when_silent_or_late_but_never_before_what_is_owed() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let check = |owed: usize, silence: Instant, total: Instant, expect: bool| {
            let linger = Linger {
                owed,
                silence,
                total,
            };
            assert_eq!(linger.is_over(now), expect);
        };
        check(0, later, later, false);
        check(0, now, later, true);
        check(0, later, now, true);
        check(1, later, now, false);
        check(1, now, later, true);
    }
}
