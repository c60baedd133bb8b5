//! The porter's way into namespaces of its own, one step at a time, so that a refusal has a name.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{DumpableBehavior, getegid, geteuid, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags, set_capabilities};

use crate::refusal::Step;
use crate::sys::unshare;
use crate::wire::{At as _, Failure};

/// Leaves the host's namespaces and returns the new ones, in the order of `Entrance`.
///
/// The user and the group keep their numbers, and are the only ones that exist inside.
pub(crate) fn make() -> Result<Vec<OwnedFd>, Failure> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(UnshareFlags::NEWUSER).at(Step::UserNamespace)?;
    // Without this line the system lets nobody but root map a group: groups could otherwise be given up that deny something.
    write(c"/proc/self/setgroups", "deny").at(Step::Map)?;
    write(c"/proc/self/uid_map", &format!("{user} {user} 1")).at(Step::Map)?;
    write(c"/proc/self/gid_map", &format!("{group} {group} 1")).at(Step::Map)?;
    for (namespace, step) in [
        (UnshareFlags::NEWNS, Step::MountNamespace),
        (UnshareFlags::NEWNET, Step::NetworkNamespace),
        (UnshareFlags::NEWIPC, Step::IpcNamespace),
        (UnshareFlags::NEWUTS, Step::UtsNamespace),
    ] {
        unshare(namespace).at(step)?;
    }
    [
        (c"/proc/self/ns/user", Step::UserNamespace),
        (c"/proc/self/ns/mnt", Step::MountNamespace),
        (c"/proc/self/ns/net", Step::NetworkNamespace),
        (c"/proc/self/ns/ipc", Step::IpcNamespace),
        (c"/proc/self/ns/uts", Step::UtsNamespace),
    ]
    .into_iter()
    .map(|(path, step)| openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(step))
    .collect()
}

/// Gives up every right but the one to bind low ports, and closes the porter's memory to others.
pub(crate) fn lessen() -> rustix::io::Result<()> {
    set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::NET_BIND_SERVICE,
            permitted: CapabilitySet::NET_BIND_SERVICE,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

fn write(path: &std::ffi::CStr, text: &str) -> rustix::io::Result<()> {
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, text.as_bytes()).map(drop)
}
