//! A program in a session of its own, on an inner terminal that stands in for ours.
//!
//! Keys go down to the inner terminal as they are and mean there what they mean; what the program writes comes up
//! through the redactor, `/dev/tty` included. When the program stops we stop, and when we are continued it is.
//!
//! LIMIT: keys typed ahead go to the program, as with any terminal in a terminal; what it did not read is gone.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use mira_redact::NeedleSet;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, getsid};
use zeroize::Zeroizing;

use super::environment::Environment;
use super::filter::Filter;
use super::monitor::{Ground, Monitor, News};
use super::program::Program;
use super::pump::{self, Pump};
use super::signals::{Event, Sender, Watch};
use super::spawn::Launch;
use super::streams::{self, Outputs};
use super::terminal::{self, OuterTerminal, Pty, Windows};
use super::wait::poll_until;
use super::{Outcome, Report, RunError, RunRoom, sys};

/// As much as a terminal takes in one piece.
const KEYS_BYTES: usize = 4096;

/// Runs a program in a session of its own.
pub(super) fn run(
    program: &Program,
    environment: Environment,
    needles: &Arc<NeedleSet>,
    room: Option<&RunRoom>,
    on_start: &mut dyn FnMut(u32),
) -> Result<Report, RunError> {
    let watch = Watch::begin()?;
    let mut outer = OuterTerminal::new();
    let Pty { master, slave } = Pty::open()?;
    // Keys must not block us while the program reads none; its output is polled for anyway.
    fcntl_setfl(&master, fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
    let master = Arc::new(master);
    terminal::follow_size(&outer, &*master)?;
    let foreground = outer.is_foreground();
    if foreground {
        outer.lend(&slave)?;
    }
    let Outputs { given, feeds } = Outputs::replace(Some((&master, &slave)))?;
    let launch = Launch {
        program,
        environment: &environment,
        watch: &watch,
        room,
        stdio: streams::borrowed(slave.as_fd(), &given),
    };
    let monitor = launch.in_session(slave.as_fd(), foreground)?;
    drop((environment, given, slave));
    let Some(News::Started(process)) = monitor.news() else {
        return Err(RunError::Lost);
    };
    let mut session = Session {
        watch,
        outer,
        windows: feeds
            .iter()
            .filter(|feed| feed.is_terminal)
            .map(|feed| (feed.stream, Arc::downgrade(&feed.source)))
            .collect(),
        master: Some(master),
        monitor,
        process,
        pumps: Vec::new(),
        keys: Keys::default(),
        ground: if foreground {
            Ground::Fore
        } else {
            Ground::Back
        },
        turn: 0,
        put_off: VecDeque::new(),
    };
    session.enter_raw();
    for feed in feeds {
        let filter = Filter::bytes(Arc::clone(needles));
        let pump = Pump::start(feed.source, feed.stream, filter)?;
        session.pumps.push(pump);
    }
    on_start(process.as_raw_nonzero().get().unsigned_abs());
    session.attend()
}

struct Session {
    outer: OuterTerminal,
    watch: Watch,
    /// Our end of the inner terminal; `None` once the outer one is gone.
    master: Option<Arc<OwnedFd>>,
    windows: Windows,
    monitor: Monitor,
    process: Pid,
    pumps: Vec<Pump>,
    keys: Keys,
    ground: Ground,
    turn: u8,
    /// News that came while we waited for other news.
    put_off: VecDeque<News>,
}

impl Session {
    /// Attends to the program until it ends.
    fn attend(mut self) -> Result<Report, RunError> {
        let outcome = loop {
            match self.wait() {
                Some(News::Exited(code)) => break Ok(Outcome::Exited(code)),
                Some(News::Signaled(signal)) => break Ok(Outcome::Signaled(signal)),
                Some(News::Stopped(signal)) => self.stop(signal),
                Some(News::Started(_) | News::Placed) => {}
                None => break Err(RunError::Lost),
            }
        };
        let (redacted, failed) = pump::finish(std::mem::take(&mut self.pumps), &self.watch);
        if let (Ok(Outcome::Exited(_)), Some(master)) = (&outcome, &self.master) {
            self.outer.adopt(&**master);
        }
        self.outer.restore();
        Ok(Report {
            outcome: outcome?,
            redacted,
            failed,
        })
    }

    /// Waits for news of the program, passing on keys and signals meanwhile.
    fn wait(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.put_off.pop_front() {
                return Some(news);
            }
            let [news, signal, typed, takes_keys] = self.poll();
            if signal {
                while let Some(event) = self.watch.next() {
                    self.pass_on(event);
                }
            }
            if takes_keys && let Some(master) = &self.master {
                self.keys.write(master);
            }
            if typed && !self.keys.read(&self.outer) {
                self.hang_up();
            }
            if news {
                return self.monitor.news();
            }
        }
    }

    /// Waits for news, a signal, a key, and room for the keys that were typed.
    fn poll(&self) -> [bool; 4] {
        let mut fds = vec![
            PollFd::new(&self.monitor, PollFlags::IN),
            PollFd::new(&self.watch, PollFlags::IN),
        ];
        // What is not waited for is left out: a hang-up would be reported whether asked for or not.
        let keys = match &self.master {
            Some(master) if !self.keys.is_empty() => Some(PollFd::new(&**master, PollFlags::OUT)),
            Some(_) if self.ground == Ground::Fore => Some(PollFd::new(&self.outer, PollFlags::IN)),
            _ => None,
        };
        fds.extend(keys);
        poll_until(&mut fds, None);
        let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        [
            ready(0),
            ready(1),
            ready(2) && self.keys.is_empty(),
            ready(2) && !self.keys.is_empty(),
        ]
    }

    /// Stops as the program did, or gives it the terminal if that is what it stopped for.
    fn stop(&mut self, signal: i32) {
        let wants_terminal = [libc::SIGTTIN, libc::SIGTTOU].contains(&signal);
        if !(wants_terminal && self.ground == Ground::Back && self.outer.is_foreground()) {
            self.turn = self.turn.wrapping_add(1);
            for pump in &mut self.pumps {
                pump.quiesce(self.turn);
            }
            self.outer.restore();
            if signal == libc::SIGSTOP {
                sys::raise_default(signal);
            } else {
                // Whoever shares our group would have had the signal with the program.
                sys::stop_own_group(signal);
            }
            if wants_terminal && !self.outer.is_foreground() && !self.was_continued() {
                // Nobody is there who could ever give us the terminal: our group is orphaned.
                self.hang_up();
            }
        }
        self.resume();
    }

    /// Returns whether a signal to continue has come, passing on all others.
    fn was_continued(&mut self) -> bool {
        let mut continued = false;
        while let Some(event) = self.watch.next() {
            continued |= event.signal == libc::SIGCONT;
            if event.signal != libc::SIGCONT {
                self.pass_on(event);
            }
        }
        continued
    }

    /// Goes on where our group now is, in the foreground or in the background.
    fn resume(&mut self) {
        self.follow_size();
        self.enter_raw();
        self.ground = if self.outer.is_foreground() {
            Ground::Fore
        } else {
            Ground::Back
        };
        self.monitor.place(self.ground);
        // Signals that come from now on are to find the program running: to continue takes back a stop.
        while let Some(news) = self.monitor.news() {
            if news == News::Placed {
                sys::send_group(self.process, libc::SIGCONT).ok();
                return;
            }
            self.put_off.push_back(news);
        }
    }

    fn enter_raw(&mut self) {
        if let Some(master) = &self.master {
            // If the outer terminal is gone, a hang-up follows.
            self.outer.enter_raw(&**master).ok();
        }
    }

    fn pass_on(&mut self, event: Event) {
        match (event.signal, event.sender) {
            (libc::SIGCHLD, _) | (_, Sender::Us) => {}
            (libc::SIGCONT, _) => self.resume(),
            (libc::SIGWINCH, _) if self.follow_size() => {}
            // A key at the outer terminal while it is not raw, or its end: for the whole group, which is not ours.
            (signal, Sender::System) => {
                sys::send_group(self.process, signal).ok();
            }
            // The program itself, or something that it started, signals what it takes for its own group.
            (_, Sender::Process(Some(sender))) if self.is_within(sender) => {}
            (signal, Sender::Process(_)) => {
                sys::send(self.process, signal).ok();
            }
        }
    }

    fn is_within(&self, sender: Pid) -> bool {
        getsid(Some(sender)).is_ok_and(|session| getsid(Some(self.process)) == Ok(session))
    }

    fn follow_size(&self) -> bool {
        terminal::follow_sizes(&self.windows)
    }

    /// Ends the inner terminal, as the outer one has ended: the system tells the program.
    fn hang_up(&mut self) {
        self.master = None;
        sys::send_group(self.process, libc::SIGHUP).ok();
        sys::send_group(self.process, libc::SIGCONT).ok();
    }
}

/// Keys on their way to the inner terminal.
struct Keys {
    // A password may pass through it.
    buffer: Zeroizing<Vec<u8>>,
    written: usize,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            buffer: Zeroizing::new(Vec::with_capacity(KEYS_BYTES)),
            written: 0,
        }
    }
}

impl Keys {
    fn is_empty(&self) -> bool {
        self.written == self.buffer.len()
    }

    /// Reads what was typed; returns false if the terminal has ended.
    fn read(&mut self, terminal: impl AsFd) -> bool {
        self.buffer.resize(KEYS_BYTES, 0);
        let count = match rustix::io::read(terminal, &mut **self.buffer) {
            Ok(count) => Some(count),
            Err(Errno::INTR | Errno::AGAIN) => Some(usize::MAX),
            Err(_) => None,
        };
        self.written = 0;
        self.buffer.truncate(
            count
                .filter(|&count| count <= KEYS_BYTES)
                .unwrap_or_default(),
        );
        !matches!(count, None | Some(0))
    }

    fn write(&mut self, master: &OwnedFd) {
        let left = self.buffer.get(self.written..).unwrap_or_default();
        match rustix::io::write(master, left) {
            Ok(count) => self.written += count,
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The program has closed its terminal and reads no keys any more.
            Err(_) => self.written = self.buffer.len(),
        }
    }
}
