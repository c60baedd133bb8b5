//! The calls of the keeper that need `unsafe`: signals, `fork`, `execve`.
//!
//! It decides nothing: each function is one system call, or the few that belong together, with a safe signature.
//! rustix is used wherever it has the call. INVARIANT: the process has one thread, so a fork's child may do what any program may.

#![expect(
    unsafe_code,
    reason = "system calls that neither std nor rustix offer safely"
)]

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

/// Closes every descriptor from `first` on; nothing of ours may be open there.
pub(super) fn close_from(first: c_int) -> io::Result<()> {
    // SAFETY: called first of all, when nothing in this process owns a descriptor but the standard three.
    if unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) } == 0 {
        return Ok(());
    }
    // Linux before 5.9.
    let open: Vec<c_int> = std::fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| *fd >= first) {
        // SAFETY: as above; the listing's own descriptor is closed already, which makes this call fail and no more.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Opens `/dev/null` for reading and writing; not inherited.
pub(super) fn open_null() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(c"/dev/null", flags, Mode::empty())?)
}

/// Blocks all signals; returns a descriptor that is readable when a child has ended.
pub(super) fn take_child_signals() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised by the call before each that reads it; the descriptor is new and nobody else's.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut());
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        // Ignored, it would have the system forget our children's ends.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        match libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Takes the signals that are waiting; of SIGCHLD there is one at most.
pub(super) fn drain(signals: BorrowedFd<'_>) {
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    rustix::io::read(signals, &mut info).ok();
}

/// Gives every signal its default action, and blocks none.
pub(super) fn default_signals() {
    // SAFETY: the default action runs no code of ours; for numbers that cannot be changed the call fails and changes
    // nothing. `set` is initialised before it is read.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut());
    }
}

/// Forks. The child runs `child` and ends with the code it returns.
pub(super) fn fork(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: there is no other thread, so no lock is held that the child could wait for in vain.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: ends the child without running destructors of the parent's state.
        0 => unsafe { libc::_exit(child()) },
        pid => Ok(Pid::from_raw(pid).expect("fork returns a positive number to the parent")),
    }
}

/// A program with its arguments and environment, as `execve` takes them.
pub(super) struct Image<'a> {
    program: &'a CStr,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

impl<'a> Image<'a> {
    pub(super) fn new(program: &'a CStr, arguments: &[&'a CStr], environment: &[&'a CStr]) -> Self {
        let pointers = |texts: &[&'a CStr]| {
            texts
                .iter()
                .map(|text| text.as_ptr())
                .chain(std::iter::once(ptr::null()))
                .collect()
        };
        Self {
            program,
            arguments: pointers(arguments),
            environment: pointers(environment),
        }
    }

    /// Becomes the program; returns only if that failed, with the `errno` that says why.
    pub(super) fn execute(&self) -> c_int {
        // SAFETY: the strings outlive `self`, and both arrays end with a null pointer.
        unsafe {
            libc::execve(
                self.program.as_ptr(),
                self.arguments.as_ptr(),
                self.environment.as_ptr(),
            );
            *libc::__errno_location()
        }
    }
}
