//! Why there is no room: the step that failed and the system's reason, in words that help.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A room could not be made, or did not do what it was asked for.
#[derive(Debug)]
pub struct Refusal {
    step: Step,
    error: io::Error,
    path: Option<PathBuf>,
}

/// A step of making or asking a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// This platform has none of it.
    Platform,
    /// Starting the helper program.
    Start,
    /// Speaking with the helper program: it ended, or said what it should not.
    Talk,
    /// `unshare(CLONE_NEWUSER)`.
    UserNamespace,
    /// Mapping the own user and group into the user namespace.
    Map,
    /// `unshare(CLONE_NEWNS)`.
    MountNamespace,
    /// `unshare(CLONE_NEWNET)`.
    NetworkNamespace,
    /// `unshare(CLONE_NEWIPC)`.
    IpcNamespace,
    /// `unshare(CLONE_NEWUTS)`.
    UtsNamespace,
    /// Setting the loopback device up.
    Loopback,
    /// The routes that make every address local.
    Routes,
    /// A listener or another socket inside.
    Socket,
    /// Cutting the mounts off from those outside.
    Private,
    /// Making the kernel's settings read-only.
    Settings,
    /// Putting devices of its own into the room.
    Devices,
    /// Hiding a path.
    Hide,
    /// Showing a path again.
    Show,
    /// Putting a file in place.
    File,
    /// Masking the unix sockets of the host.
    Mask,
    /// Giving up what the helper no longer needs.
    Lessen,
}

impl Step {
    /// Returns the step that `as u8` gave this number.
    #[cfg(target_os = "linux")]
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u8 == number)
    }

    #[cfg(target_os = "linux")]
    const ALL: [Self; 20] = [
        Self::Platform,
        Self::Start,
        Self::Talk,
        Self::UserNamespace,
        Self::Map,
        Self::MountNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::Loopback,
        Self::Routes,
        Self::Socket,
        Self::Private,
        Self::Settings,
        Self::Devices,
        Self::Hide,
        Self::Show,
        Self::File,
        Self::Mask,
        Self::Lessen,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Platform => "make a room",
            Self::Start => "start the room's helper",
            Self::Talk => "speak with the room's helper",
            Self::UserNamespace => "unshare the user namespace",
            Self::Map => "map the user into the user namespace",
            Self::MountNamespace => "unshare the mount namespace",
            Self::NetworkNamespace => "unshare the network namespace",
            Self::IpcNamespace => "unshare the IPC namespace",
            Self::UtsNamespace => "unshare the UTS namespace",
            Self::Loopback => "set the room's loopback device up",
            Self::Routes => "add the room's routes",
            Self::Socket => "make a socket inside of the room",
            Self::Private => "cut the room's mounts off from those outside",
            Self::Settings => "make the kernel's settings read-only in the room",
            Self::Devices => "give the room devices of its own",
            Self::Hide => "hide a path in the room",
            Self::Show => "show a path in the room",
            Self::File => "put a file into the room",
            Self::Mask => "mask a unix socket in the room",
            Self::Lessen => "give up the helper's rights",
        }
    }
}

impl Refusal {
    #[cfg(target_os = "linux")]
    pub(crate) fn new(step: Step, error: impl Into<io::Error>) -> Self {
        Self {
            step,
            error: error.into(),
            path: None,
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn with_path(self, path: Option<PathBuf>) -> Self {
        Self { path, ..self }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn platform() -> Self {
        Self {
            step: Step::Platform,
            error: io::Error::new(
                io::ErrorKind::Unsupported,
                "this platform has no namespaces; programs are told to use the gate, and not made to",
            ),
            path: None,
        }
    }

    /// Returns the step that failed.
    pub fn step(&self) -> Step {
        self.step
    }

    /// Returns the system's reason.
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// Returns what the reader may do about it, line by line; often nothing.
    pub fn hint(&self) -> &'static [&'static str] {
        #[cfg(target_os = "linux")]
        return hints::of(self.step, self.error.raw_os_error());
        #[cfg(not(target_os = "linux"))]
        &[]
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.step.words())?;
        if let Some(path) = &self.path {
            write!(f, ", {path:?}")?;
        }
        write!(f, ": {}", self.error)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(target_os = "linux")]
mod hints {
    //! What stands in the way on machines that are known to refuse.

    use super::Step;

    const NONE_LEFT: &[&str] = &[
        "the system allows no user namespaces, or no more of them",
        "see `sysctl user.max_user_namespaces`: it must not be 0",
    ];
    const NOT_ALLOWED: &[&str] = &[
        "user namespaces are closed to this user",
        "on older Debian kernels: `sysctl kernel.unprivileged_userns_clone` must be 1",
        "in a container: its seccomp profile has to allow `unshare`; inside of a chroot there are none",
    ];
    const NO_RIGHTS_INSIDE: &[&str] = &[
        "the user namespace came without rights in it",
        "Ubuntu 23.10 and later: AppArmor takes them from programs that no profile names; install a profile for this program that says",
        "`flags=(unconfined) { userns, }`, or set `sysctl kernel.apparmor_restrict_unprivileged_userns` to 0",
        "in a container: its seccomp profile has to allow `unshare` and `mount`",
    ];
    const OLD: &[&str] = &["rooms need Linux 5.12 or later, with user and network namespaces"];

    pub(super) fn of(step: Step, errno: Option<i32>) -> &'static [&'static str] {
        match (step, errno) {
            (Step::UserNamespace, Some(libc::ENOSPC | libc::EUSERS)) => NONE_LEFT,
            (Step::UserNamespace, Some(libc::EPERM | libc::EACCES)) => NOT_ALLOWED,
            (Step::Start | Step::Talk, _) => &[],
            (_, Some(libc::EPERM | libc::EACCES)) => NO_RIGHTS_INSIDE,
            (_, Some(libc::ENOSPC)) => NONE_LEFT,
            (_, Some(libc::ENOSYS | libc::EINVAL)) => OLD,
            _ => &[],
        }
    }
}
