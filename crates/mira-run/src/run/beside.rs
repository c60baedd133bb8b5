//! A program beside us: in our session and process group, at the terminal itself.
//!
//! Keys at the terminal reach it without us, as signals or through its standard input, which is ours. What is left to do
//! is to pass on the signals that were sent to us alone, to stop when it stops, and to pump what it writes.

use std::sync::Arc;
use std::time::Instant;

use mira_redact::NeedleSet;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, WaitOptions, getpid, getsid, waitpid};

use super::environment::Environment;
use super::filter::Filter;
use super::program::Program;
use super::pump::{self, Pump};
use super::signals::{Event, Sender, Watch};
use super::spawn::Launch;
use super::streams::{self, Feed, Outputs};
use super::terminal::{self, Windows};
use super::wait::poll_until;
use super::{Outcome, Report, RunError, RunRoom, Stream, sys};

/// Runs a program beside us; with nothing to redact its streams are our own. `messages` says what its standard output is.
pub(super) fn run(
    program: &Program,
    environment: Environment,
    needles: &Arc<NeedleSet>,
    messages: bool,
    room: Option<&RunRoom>,
    on_start: &mut dyn FnMut(u32),
) -> Result<Report, RunError> {
    let watch = Watch::begin()?;
    let Outputs { given, feeds } = if needles.is_empty() {
        Outputs::default()
    } else {
        Outputs::replace(None)?
    };
    let launch = Launch {
        program,
        environment: &environment,
        watch: &watch,
        room,
        stdio: streams::borrowed(rustix::stdio::stdin(), &given),
    };
    let process = launch.beside()?;
    drop((environment, given));
    streams::release_stdin();
    let mut beside = Beside {
        process,
        watch,
        windows: feeds
            .iter()
            .filter(|feed| feed.is_terminal)
            .map(|feed| (feed.stream, Arc::downgrade(&feed.source)))
            .collect(),
        silent: feeds,
        needles,
        messages,
        pumps: Vec::new(),
        turn: 0,
    };
    on_start(process.as_raw_nonzero().get().unsigned_abs());
    let outcome = beside.attend()?;
    beside.listen(Some(Instant::now()))?;
    // Somebody else holds these open, and may have something to say.
    for feed in std::mem::take(&mut beside.silent) {
        beside.pump(feed)?;
    }
    let (redacted, failed) = pump::finish(beside.pumps, &beside.watch);
    Ok(Report {
        outcome,
        redacted,
        failed,
    })
}

struct Beside<'a> {
    process: Pid,
    watch: Watch,
    windows: Windows,
    /// Streams to which nothing was written so far: they have no pump, which would take a thread.
    silent: Vec<Feed>,
    needles: &'a Arc<NeedleSet>,
    messages: bool,
    pumps: Vec<Pump>,
    turn: u8,
}

impl Beside<'_> {
    /// Attends to the program until it ends.
    fn attend(&mut self) -> Result<Outcome, RunError> {
        loop {
            self.listen(None)?;
            while let Some(event) = self.watch.next() {
                if event.signal != libc::SIGCHLD {
                    self.pass_on(event);
                } else if let Some(outcome) = self.look_after()? {
                    return Ok(outcome);
                }
            }
        }
    }

    /// Waits for a signal, and for silent streams: one has a pump as soon as it needs one.
    fn listen(&mut self, deadline: Option<Instant>) -> Result<(), RunError> {
        let mut fds = vec![PollFd::new(&self.watch, PollFlags::IN)];
        for feed in &self.silent {
            fds.push(PollFd::new(&feed.source, PollFlags::IN));
            fds.push(PollFd::from_borrowed_fd(
                feed.stream.descriptor(),
                PollFlags::empty(),
            ));
        }
        poll_until(&mut fds, deadline);
        let found: Vec<PollFlags> = fds.iter().skip(1).map(PollFd::revents).collect();
        let silent = std::mem::take(&mut self.silent);
        for (feed, found) in silent.into_iter().zip(found.as_chunks().0) {
            match *found {
                [source, sink] if (source | sink).is_empty() => self.silent.push(feed),
                // The program has closed it without a word.
                [PollFlags::HUP, _] => streams::let_go(feed.stream),
                _ => self.pump(feed)?,
            }
        }
        Ok(())
    }

    fn pump(&mut self, feed: Feed) -> Result<(), RunError> {
        let needles = Arc::clone(self.needles);
        let filter = match (self.messages, feed.stream) {
            (true, Stream::Stdout) if !feed.is_terminal => Filter::messages(needles),
            _ => Filter::bytes(needles),
        };
        let pump = Pump::start(feed.source, feed.stream, filter)
            // It has streams that nobody would read.
            .inspect_err(|_| drop(sys::send(self.process, libc::SIGKILL)))?;
        self.pumps.push(pump);
        Ok(())
    }

    fn look_after(&mut self) -> Result<Option<Outcome>, RunError> {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED;
        let wait = || waitpid(Some(self.process), options);
        let Some((_, status)) = rustix::io::retry_on_intr(wait)? else {
            return Ok(None);
        };
        if let Some(signal) = status.stopping_signal() {
            self.stop(signal)?;
        }
        let exited = status.exit_status().map(Outcome::Exited);
        Ok(exited.or(status.terminating_signal().map(Outcome::Signaled)))
    }

    /// Stops as the program did, after what it wrote before.
    fn stop(&mut self, signal: i32) -> Result<(), RunError> {
        self.listen(Some(Instant::now()))?;
        self.turn = self.turn.wrapping_add(1);
        for pump in &mut self.pumps {
            pump.quiesce(self.turn);
        }
        // Somebody may have had it continued since, and us with it: then nobody would continue us again.
        let options = WaitOptions::NOHANG | WaitOptions::CONTINUED;
        let continued = waitpid(Some(self.process), options);
        if !matches!(continued, Ok(Some((_, status))) if status.continued()) {
            sys::raise_default(signal);
        }
        Ok(())
    }

    fn pass_on(&self, event: Event) {
        let signal = match (event.signal, event.sender) {
            (libc::SIGWINCH, _) if self.follow_size() => {
                // Everybody in our group had the signal before the new size was there to be read.
                sys::send_own_group(libc::SIGWINCH).ok();
                return;
            }
            // Only the leader of the session hears of the terminal's end from the system; it would be the program.
            (libc::SIGHUP, Sender::System) if getsid(None).ok() == Some(getpid()) => libc::SIGHUP,
            // The whole group had it, or the program itself sent it to the whole group.
            (_, Sender::System | Sender::Us) => return,
            (_, Sender::Process(sender)) if sender == Some(self.process) => return,
            (signal, Sender::Process(_)) => signal,
        };
        // If it has ended in the meantime there is nobody to pass it on to.
        sys::send(self.process, signal).ok();
    }

    fn follow_size(&self) -> bool {
        terminal::follow_sizes(&self.windows)
    }
}
