//! The calls that need `unsafe`: signal dispositions, `fork`, `vfork`, `execve`.
//!
//! It decides nothing: each function is one system call, or the few that belong together, with a safe signature.
//! rustix is used wherever it has the call.
//!
//! INVARIANT: what runs between `fork` and `execve` neither allocates nor locks; [`Image`] is built before.

#![expect(
    unsafe_code,
    reason = "system calls that neither std nor rustix offer safely"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

/// Sends a signal to one process.
pub(super) fn send(process: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: `kill` takes no memory.
    checked(unsafe { libc::kill(process.as_raw_nonzero().get(), signal) })
}

/// Sends a signal to every process of a group.
pub(super) fn send_group(group: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: `kill` takes no memory.
    checked(unsafe { libc::kill(-group.as_raw_nonzero().get(), signal) })
}

/// Sends a signal to every process of our own group, us included.
pub(super) fn send_own_group(signal: i32) -> io::Result<()> {
    // SAFETY: `kill` takes no memory.
    checked(unsafe { libc::kill(0, signal) })
}

fn checked(result: c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A set of signals to block or to wait for.
#[derive(Clone, Copy)]
pub(super) struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// Returns the set of all signals.
    pub(super) fn all() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigfillset` initialises the set it is given.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// Returns the set of one signal.
    pub(super) fn of(signal: i32) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initialises the set it is given; a bad number makes `sigaddset` fail and add nothing.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), signal);
            Self(set.assume_init())
        }
    }

    /// Blocks these signals too in this thread and returns the mask that was there.
    pub(super) fn block(&self) -> Self {
        self.mask(libc::SIG_BLOCK)
    }

    /// Makes exactly these the blocked signals of this thread.
    pub(super) fn restore(&self) {
        self.mask(libc::SIG_SETMASK);
    }

    fn mask(&self, how: c_int) -> Self {
        let mut old = Self::of(0);
        // SAFETY: both sets are valid for the call; with a valid `how` it cannot fail.
        unsafe { libc::pthread_sigmask(how, &raw const self.0, &raw mut old.0) };
        old
    }

    /// Waits until one of these signals, which must be blocked, is pending; returns it and takes it.
    pub(super) fn wait(&self) -> i32 {
        let mut signal = 0;
        // SAFETY: both pointers are valid for the call.
        while unsafe { libc::sigwait(&raw const self.0, &raw mut signal) } != 0 {}
        signal
    }
}

/// Gives a signal its default action, or has it ignored.
pub(super) fn reset(signal: i32, ignored: bool) {
    let action = if ignored {
        libc::SIG_IGN
    } else {
        libc::SIG_DFL
    };
    // SAFETY: neither action runs any code of ours.
    unsafe { libc::signal(signal, action) };
}

/// One signal as the handler saw it: its number, `si_code` and `si_pid`.
pub(super) const RECORD_BYTES: usize = 3 * size_of::<c_int>();

/// Where the handler writes records; -1 while nobody listens.
static LISTENER: AtomicI32 = AtomicI32::new(-1);

/// Sets where the handler writes its records: a pipe that does not block, or -1 for nowhere.
pub(super) fn listen(pipe: RawFd) {
    LISTENER.store(pipe, Ordering::Release);
}

/// Has a signal recorded from now on and returns what was to happen before.
pub(super) fn record(signal: i32) -> PreviousAction {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
    // SAFETY: zeroes are a valid `sigaction`; the handler has the signature that SA_SIGINFO asks for and makes
    // async-signal-safe calls only.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigfillset(&raw mut action.sa_mask);
        let mut old = MaybeUninit::<libc::sigaction>::zeroed();
        libc::sigaction(signal, &raw const action, old.as_mut_ptr());
        PreviousAction {
            signal,
            action: old.assume_init(),
        }
    }
}

/// What was to happen at a signal before it was recorded; put back on drop.
pub(super) struct PreviousAction {
    signal: i32,
    action: libc::sigaction,
}

impl PreviousAction {
    pub(super) fn signal(&self) -> i32 {
        self.signal
    }

    pub(super) fn was_ignored(&self) -> bool {
        self.action.sa_sigaction == libc::SIG_IGN
    }
}

impl Drop for PreviousAction {
    fn drop(&mut self) {
        // SAFETY: the action is one that the system gave us for this signal.
        unsafe { libc::sigaction(self.signal, &raw const self.action, ptr::null_mut()) };
    }
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the system passes a valid `siginfo_t`; for a code that names no sender the field holds other bytes, which
    // the reader then does not use. `write` is async-signal-safe, and `errno` is left as it was.
    unsafe {
        let record = [signal, (*info).si_code, sender(info)];
        let errno = errno_location();
        let before = *errno;
        libc::write(
            LISTENER.load(Ordering::Acquire),
            record.as_ptr().cast(),
            RECORD_BYTES,
        );
        *errno = before;
    }
}

unsafe fn sender(info: *const libc::siginfo_t) -> c_int {
    #[cfg(target_os = "linux")]
    // SAFETY: as the caller says.
    return unsafe { (*info).si_pid() };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: as the caller says.
    return unsafe { (*info).si_pid };
}

fn errno_location() -> *mut c_int {
    #[cfg(target_os = "linux")]
    // SAFETY: returns the address of this thread's `errno`.
    return unsafe { libc::__errno_location() };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: returns the address of this thread's `errno`.
    return unsafe { libc::__error() };
}

/// Raises a signal in this thread with its default action, and puts the handler back if we live on.
pub(super) fn raise_default(signal: i32) {
    with_default(signal, || {
        // SAFETY: the default action runs no code of ours. `raise` returns only after the signal was acted upon, since it
        // is sent to this thread, which does not block it.
        unsafe { libc::raise(signal) };
    });
}

/// Stops our whole process group, us included, by a signal that stops; returns when we are continued.
///
/// Everybody gets it at once: whoever sees one of us stopped and has us continued finds all of us stopped.
pub(super) fn stop_own_group(signal: i32) {
    with_default(signal, || {
        // SAFETY: as in `raise_default`; of a process's threads the main one, which this is, acts upon the signal.
        unsafe { libc::kill(0, signal) };
    });
}

/// Does something while a signal has its default action and is not blocked in this thread.
fn with_default(signal: i32, act: impl FnOnce()) {
    // SAFETY: zeroes are a valid `sigaction`, the default one; the action put back is the one that the system gave us.
    unsafe {
        let default: libc::sigaction = MaybeUninit::zeroed().assume_init();
        let mut old = MaybeUninit::<libc::sigaction>::zeroed();
        let changed = libc::sigaction(signal, &raw const default, old.as_mut_ptr()) == 0;
        let mask = SignalSet::of(signal).mask(libc::SIG_UNBLOCK);
        act();
        if changed {
            libc::sigaction(signal, old.as_ptr(), ptr::null_mut());
        }
        mask.restore();
    }
}

/// Raises a signal as [`raise_default`] does, and leaves no core file.
pub(super) fn raise_default_without_core(signal: i32) {
    // Without it the signal still is what counts; a core would need a limit that lets it be written.
    forbid_core().ok();
    raise_default(signal);
}

/// Sets our own soft limit on core files to 0.
pub(super) fn forbid_core() -> rustix::io::Result<()> {
    let limit = Rlimit {
        current: Some(0),
        ..getrlimit(Resource::Core)
    };
    setrlimit(Resource::Core, limit)
}

/// Forks. The child runs `child` and ends with the code it returns.
///
/// # Safety
///
/// Other threads may have held any lock: `child` must make async-signal-safe calls only, must not allocate and must
/// not panic.
pub(super) unsafe fn fork(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: the caller answers for what the child does.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: ends the child without running destructors of the parent's state.
        0 => unsafe { libc::_exit(child()) },
        pid => Ok(Pid::from_raw(pid).expect("fork returns a positive number to the parent")),
    }
}

/// How much stack the child of [`vfork`] has.
// LIMIT: it makes some system calls, a few frames deep.
#[cfg(target_os = "linux")]
const CHILD_STACK_BYTES: usize = 64 * 1024;

/// Starts a child that has our memory until it executes a program or ends, and waits for that: nothing is copied, so it costs a
/// third of a fork. Its descriptors, signals and limits are its own.
///
/// # Safety
///
/// As for [`fork`]; and what `child` writes to memory is seen by us.
#[cfg(target_os = "linux")]
pub(super) unsafe fn vfork<F: FnMut() -> i32>(mut child: F) -> io::Result<Pid> {
    extern "C" fn enter<F: FnMut() -> i32>(child: *mut c_void) -> c_int {
        // SAFETY: it is the `child` of `vfork`, which waits for us.
        unsafe { libc::_exit((*child.cast::<F>())()) }
    }
    let mut stack = Vec::<u128>::with_capacity(CHILD_STACK_BYTES / size_of::<u128>());
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: stack and `child` live until the child has done with them, since we wait; the stack grows down from its end. The
    // caller answers for what the child does.
    let pid = unsafe {
        let end = stack.as_mut_ptr().add(stack.capacity());
        libc::clone(enter::<F>, end.cast(), flags, (&raw mut child).cast())
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid).expect("clone returns a positive number to the parent")),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) use fork as vfork;

/// Closes every descriptor from 3 on but those kept, which stand in ascending order.
pub(super) fn close_all_but<const N: usize>(keep: [RawFd; N]) {
    let mut from: RawFd = 3;
    for kept in keep.into_iter().chain([RawFd::MAX]) {
        if from < kept {
            close_range(from, kept - 1);
        }
        from = kept.saturating_add(1);
    }
}

#[cfg(target_os = "linux")]
fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: only the child of a fork calls this, which uses none of these descriptors again.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == -1 {
        close_each(first, last);
    }
}

#[cfg(not(target_os = "linux"))]
fn close_range(first: RawFd, last: RawFd) {
    close_each(first, last);
}

fn close_each(first: RawFd, last: RawFd) {
    // LIMIT: where the system has no close_range (Linux before 5.9, macOS), the first thousand.
    for fd in first..=last.min(1023) {
        // SAFETY: as in `close_range`.
        unsafe { libc::close(fd) };
    }
}

/// Puts a program in this process's place, with its environment, mask and ignored signals; returns only if it cannot.
pub(super) fn replace(program: &CStr, argv: &[*const c_char]) -> io::Error {
    debug_assert!(argv.last().is_some_and(|last| last.is_null()));
    // SAFETY: `argv` is a list of C strings that ends with a null pointer, which the caller keeps alive.
    unsafe { libc::execv(program.as_ptr(), argv.as_ptr()) };
    io::Error::last_os_error()
}

/// A program with its arguments and environment, as `execve` takes them.
pub(super) struct Image<'a> {
    candidates: &'a [CString],
    searched: bool,
    argv: Vec<*const c_char>,
    /// `/bin/sh`, a place for the script, the arguments.
    shell_argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
}

const SHELL: &CStr = c"/bin/sh";

impl<'a> Image<'a> {
    pub(super) fn new(
        candidates: &'a [CString],
        searched: bool,
        argv: &'a [CString],
        environment: impl Iterator<Item = &'a CStr>,
    ) -> Self {
        let arguments = || argv.iter().map(|arg| arg.as_ptr());
        let end = || std::iter::once(ptr::null());
        Self {
            candidates,
            searched,
            argv: arguments().chain(end()).collect(),
            shell_argv: [SHELL.as_ptr(), ptr::null()]
                .into_iter()
                .chain(arguments().skip(1))
                .chain(end())
                .collect(),
            envp: environment.map(CStr::as_ptr).chain(end()).collect(),
        }
    }

    /// Becomes the program; returns only if no candidate could be started, with the `errno` that says why.
    ///
    /// As `execvp` does it: the search goes on after a file that is not there or not ours to execute, and a file that
    /// the system does not recognise is a script for `/bin/sh`.
    pub(super) fn execute(&mut self) -> c_int {
        let mut verdict = libc::ENOENT;
        for candidate in self.candidates {
            match execve(candidate.as_ptr(), &self.argv, &self.envp) {
                libc::ENOEXEC => {
                    if let Some(script) = self.shell_argv.get_mut(1) {
                        *script = candidate.as_ptr();
                    }
                    return execve(SHELL.as_ptr(), &self.shell_argv, &self.envp);
                }
                libc::EACCES if self.searched => verdict = libc::EACCES,
                libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT
                    if self.searched => {}
                errno => return errno,
            }
        }
        verdict
    }
}

fn execve(path: *const c_char, argv: &[*const c_char], envp: &[*const c_char]) -> c_int {
    // SAFETY: `Image` keeps the strings alive, and ends both arrays with a null pointer.
    unsafe {
        libc::execve(path, argv.as_ptr(), envp.as_ptr());
        *errno_location()
    }
}
