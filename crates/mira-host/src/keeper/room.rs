//! A keeper in a room: it enters, and goes on as the first process of a PID namespace.
//!
//! INVARIANT: nobody in that namespace outlives its first process, and that one does not outlive the process that entered: both are the
//! system's doing, whoever is killed.

use std::io;

use mira_sandbox::{Confinement, Entrance, mount_proc};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, set_parent_process_death_signal, waitpid,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::{NOTHING_KEPT, birth, outcome, sys};
use mira_run::Outcome;

/// Does `keep` in the room, as the first process of a PID namespace of its own; returns how that ended.
pub(super) fn inside(
    room: Entrance,
    keep: impl FnOnce(&Confinement) -> io::Result<Option<Outcome>>,
) -> io::Result<Option<Outcome>> {
    let confinement = Confinement::new().map_err(io::Error::other)?;
    // Until the service has its own, none of ours may end us: that would look as if it had been killed.
    drop(sys::take_child_signals()?);
    room.enter()?;
    drop(room);
    unshare(UnshareFlags::NEWPID)?;
    let entered = pidfd_open(getpid(), PidfdFlags::empty())?;
    let first = sys::fork(move || {
        let kept = settle(&entered).and_then(|()| keep(&confinement));
        match kept {
            Ok(Some(Outcome::Exited(code))) => code,
            // The first process of a namespace cannot die by a signal that it sends to itself; what ended the service was told.
            Ok(Some(Outcome::Signaled(signal))) => 128 + signal,
            Ok(None) | Err(_) => NOTHING_KEPT.into(),
        }
    })?;
    birth::release_output()?;
    let wait = || waitpid(Some(first), WaitOptions::empty());
    let ended = rustix::io::retry_on_intr(wait)?;
    Ok(ended.map(|(_, status)| outcome(status)))
}

/// Makes the first process of the namespace at home in it; `entered` is the process that entered the room.
fn settle(entered: &impl std::os::fd::AsFd) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before.
    let now = Timespec::default();
    let mut fds = [PollFd::new(entered, PollFlags::IN)];
    if poll(&mut fds, Some(&now))? > 0 {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    unshare(UnshareFlags::NEWNS)?;
    Ok(mount_proc()?)
}

#[expect(
    unsafe_code,
    reason = "unshare may take descriptors away from other threads"
)]
fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: of namespaces of processes and mounts; the table of descriptors stays shared, and there is one thread.
    unsafe { unshare_unsafe(flags) }
}
