//! From the keeper to the service's first instruction.
//!
//! The service gets a session and a process group of its own, the keeper's output, an empty input, the default action
//! and an empty mask for all signals, no other descriptor, no right to leave a core file, and its own environment alone.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use mira_sandbox::Confinement;
use rustix::fs::Mode;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, chdir, getpid, getppid, getrlimit,
    set_parent_process_death_signal, setrlimit, setsid, umask,
};

use super::launch::Launch;
use super::sys::{self, Image};

/// The exit code of a child that could not become the service; seen by nobody, since the reason travels by pipe.
const NOT_STARTED: i32 = 127;

/// Starts the service; returns its process once it is the program.
pub(super) fn start(launch: &Launch<'_>, confinement: Option<&Confinement>) -> io::Result<Pid> {
    let (reasons, reason) = pipe_with(PipeFlags::CLOEXEC)?;
    let image = Image::new(launch.program, &launch.arguments, &launch.environment);
    let keeper = getpid();
    let child = sys::fork(|| become_service(launch, confinement, &image, keeper, reason.as_fd()))?;
    drop(reason);
    release_output()?;
    let mut errno = Vec::new();
    File::from(reasons).read_to_end(&mut errno)?;
    match <[u8; 4]>::try_from(errno.as_slice()) {
        // The pipe closed on its own: the child is the program.
        Err(_) => Ok(child),
        Ok(errno) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
    }
}

fn become_service(
    launch: &Launch<'_>,
    confinement: Option<&Confinement>,
    image: &Image<'_>,
    keeper: Pid,
    reason: BorrowedFd<'_>,
) -> i32 {
    let errno = match prepare(launch, confinement, keeper) {
        Ok(()) => image.execute(),
        Err(error) => error.raw_os_error(),
    };
    // If the keeper is gone there is nobody to tell.
    rustix::io::write(reason, &errno.to_ne_bytes()).ok();
    NOT_STARTED
}

fn prepare(
    launch: &Launch<'_>,
    confinement: Option<&Confinement>,
    keeper: Pid,
) -> rustix::io::Result<()> {
    setsid()?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before.
    if getppid() != Some(keeper) {
        return Err(rustix::io::Errno::SRCH);
    }
    let mut files = getrlimit(Resource::Nofile);
    let wanted = launch.open_files;
    files.current = Some(files.maximum.map_or(wanted, |most| wanted.min(most)));
    setrlimit(Resource::Nofile, Rlimit { ..files })?;
    umask(Mode::RWXG | Mode::RWXO);
    chdir(launch.folder)?;
    sys::default_signals();
    // Last: what is given up here may be needed before.
    confinement.map_or(Ok(()), Confinement::apply)
}

/// Lets go of the service's output, so that its end is seen when the service's tree has ended.
pub(super) fn release_output() -> io::Result<()> {
    let null = sys::open_null()?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}
