//! The calls that need `unsafe`: those that neither std nor rustix offers safely.
//!
//! It decides nothing: each function is one system call with a safe signature.

#![expect(
    unsafe_code,
    reason = "system calls that neither std nor rustix offer safely"
)]

use std::ffi::c_int;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

use rustix::io::{Errno, Result};
use rustix::thread::{UnshareFlags, unshare_unsafe};

fn checked(result: c_int) -> Result<()> {
    if result == -1 {
        let error = std::io::Error::last_os_error();
        Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    } else {
        Ok(())
    }
}

/// Leaves namespaces and gets new ones. The caller asks for nothing else, so descriptors and folders stay shared as they were.
pub(crate) fn unshare(namespace: UnshareFlags) -> Result<()> {
    // SAFETY: namespaces alone do not change what descriptors mean.
    unsafe { unshare_unsafe(namespace & !UnshareFlags::FILES) }
}

/// Closes every descriptor from this one on, of whoever it is.
///
/// # Safety
///
/// Nobody in this process may use one of them again.
pub(crate) unsafe fn close_from(first: RawFd) {
    // SAFETY: the caller answers for the descriptors. Where the system has no such call they stay open until the end, and nothing is
    // executed that would get them.
    unsafe { libc::syscall(libc::SYS_close_range, first, c_int::MAX, 0) };
}

/// Sets attributes of a mount and of all mounts below it.
pub(crate) fn set_mount_attributes(mount: BorrowedFd<'_>, attributes: u64) -> Result<()> {
    let change = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path ends with a null byte, and the structure is as long as is said.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const change,
            size_of_val(&change),
        )
    };
    checked(if result == -1 { -1 } else { 0 })
}

/// Has a socket drop what the filter does not pass.
pub(crate) fn attach_filter(
    socket: BorrowedFd<'_>,
    filter: &mut [libc::sock_filter],
) -> Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program is as long as it says, and the system copies it.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    })
}

/// Binds a packet socket to all protocols of one device.
pub(crate) fn bind_to_device(socket: BorrowedFd<'_>, device: u32) -> Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: c_int::try_from(device).map_err(|_| Errno::INVAL)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the address is as long as is said, and the system copies it.
    checked(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    })
}
