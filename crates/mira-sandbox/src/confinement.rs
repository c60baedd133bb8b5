//! What a process gives up for good before it becomes a program of a room.

use std::collections::BTreeMap;
use std::fmt;

use rustix::io::{Errno, Result};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
    set_no_new_privs,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

/// The filters of system calls, compiled, and the rest of what [`apply`](Self::apply) takes away.
///
/// Made before the fork; applied after it, last before `exec`.
pub struct Confinement {
    programs: Vec<BpfProgram>,
}

impl fmt::Debug for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confinement").finish_non_exhaustive()
    }
}

/// The filters cannot be compiled for this processor.
#[derive(Debug, thiserror::Error)]
#[error("the filter of system calls cannot be made: {0}")]
pub struct ConfinementError(#[from] seccompiler::BackendError);

impl Confinement {
    /// Compiles the filters.
    ///
    /// # Errors
    ///
    /// On processors that the filters are not written for.
    pub fn new() -> std::result::Result<Self, ConfinementError> {
        let refused = refused()?;
        let absent = ABSENT.iter().map(|call| (*call, Vec::new())).collect();
        let families = families()?;
        let mut programs = vec![
            program(refused, libc::EPERM)?,
            program(absent, libc::ENOSYS)?,
            program(families, libc::EAFNOSUPPORT)?,
        ];
        if cfg!(target_arch = "x86_64") {
            programs.push(without_x32());
        }
        Ok(Self { programs })
    }

    /// Takes from this process, and all that it starts, every capability and the ways to get one, and the system calls that lead out of the room.
    ///
    /// System calls only; for a process that [entered](crate::Entrance::enter) a room and has one thread.
    ///
    /// # Errors
    ///
    /// The system's. The process has to end then.
    pub fn apply(&self) -> Result<()> {
        // From the lowest to the first that this kernel does not know.
        for number in 0..u64::BITS {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            match remove_capability_from_bounding_set(capability) {
                Err(Errno::INVAL) if number > 0 => break,
                removed => removed?,
            }
        }
        set_capabilities_secure_bits(
            CapabilitiesSecureBits::NO_ROOT
                | CapabilitiesSecureBits::NO_ROOT_LOCKED
                | CapabilitiesSecureBits::NO_SETUID_FIXUP
                | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
                | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
                | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
                | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
        )?;
        clear_ambient_capability_set()?;
        let none = CapabilitySet::empty();
        set_capabilities(
            None,
            CapabilitySets {
                effective: none,
                permitted: none,
                inheritable: none,
            },
        )?;
        set_no_new_privs(true)?;
        for program in &self.programs {
            seccompiler::apply_filter(program).map_err(|error| match error {
                seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
                    Errno::from_io_error(&error).unwrap_or(Errno::INVAL)
                }
                _ => Errno::INVAL,
            })?;
        }
        Ok(())
    }
}

/// Calls that lead out of a room, or far into the kernel, and that no ordinary program needs.
const REFUSED: &[libc::c_long] = &[
    // Namespaces and mounts.
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    // Keyrings belong to the user, whatever room they are asked from: Mira keeps the passphrase's key in one.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Files by number instead of by path pass over what the view hides.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // Memory of other processes. Debuggers have `ptrace`, which the system keeps within the room.
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
];

/// Calls that programs do without when the kernel has none. The arguments of `clone3` are out of a filter's sight, and what is done through
/// `io_uring` is no system call.
const ABSENT: &[libc::c_long] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Flags of `clone` and `unshare` that make a namespace. That of time is none of `clone`'s.
const NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Requests to a terminal that type into it: a program could leave the room through the user's own shell.
const TYPING: &[u64] = &[TIOCSTI, TIOCLINUX];
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// Families of sockets that programs may have: within the room, and with the kernel. Others lead to the machine beneath (`AF_VSOCK`), to devices, or
/// to seldom used parts of the kernel.
const FAMILIES: &[libc::c_int] = &[
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Compiled<T> = std::result::Result<T, seccompiler::BackendError>;

fn refused() -> Compiled<Rules> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let mut flags = Vec::new();
    for flag in NAMESPACES {
        let flag = u64::from(flag.cast_unsigned());
        flags.push(SeccompRule::new(vec![argument(
            0,
            SeccompCmpOp::MaskedEq(flag),
            flag,
        )?])?);
    }
    rules.insert(libc::SYS_clone, flags.clone());
    rules.insert(libc::SYS_unshare, flags);
    let mut typing = Vec::new();
    for request in TYPING {
        let request = argument(1, SeccompCmpOp::Eq, *request)?;
        typing.push(SeccompRule::new(vec![request])?);
    }
    rules.insert(libc::SYS_ioctl, typing);
    Ok(rules)
}

fn families() -> Compiled<Rules> {
    let mut other = Vec::new();
    for family in FAMILIES {
        other.push(argument(
            0,
            SeccompCmpOp::Ne,
            u64::from(family.cast_unsigned()),
        )?);
    }
    let rule = SeccompRule::new(other)?;
    Ok(BTreeMap::from([
        (libc::SYS_socket, vec![rule.clone()]),
        (libc::SYS_socketpair, vec![rule]),
    ]))
}

/// Compares the lower half of an argument: the kernel takes no more of these.
fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> Compiled<SeccompCondition> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

/// Compiles rules into a filter that fails what matches with one error, and kills calls of another architecture.
fn program(rules: Rules, errno: libc::c_int) -> Compiled<BpfProgram> {
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?
    .try_into()
}

/// The bit that marks calls of the x32 convention, which have the architecture of x86-64 and other numbers.
const X32: u32 = 0x4000_0000;

/// A filter for what the others do not see: x32 calls fail as on kernels without them.
fn without_x32() -> BpfProgram {
    let step = |code: u32, k: u32| sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let at_least = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    let end = libc::BPF_RET | libc::BPF_K;
    vec![
        // The number stands first in `seccomp_data`.
        step(number, 0),
        sock_filter {
            jf: 1,
            ..step(at_least, X32)
        },
        step(end, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
        step(end, libc::SECCOMP_RET_ALLOW),
    ]
}
