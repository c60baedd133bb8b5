//! What a program of a room cannot do, whoever runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::geteuid;

use super::house::{example, python, room};

#[test]
fn a_program_has_no_capability_and_can_get_none() {
    let (room, _openings) = room(&[]);
    let said = python(
        &room,
        "
for line in open('/proc/self/status'):
    if line.startswith(('Cap', 'NoNewPrivs', 'Seccomp:')):
        print(*line.split())
print(*open('/proc/self/uid_map').read().split())
attempt('groups', lambda: os.setgroups([0]))
attempt('low port', lambda: socket.socket().bind(('127.0.0.1', 80)))
attempt('name', lambda: socket.sethostname('x'))
",
    );
    let user = geteuid().as_raw();
    let none = "0000000000000000";
    assert_eq!(
        said,
        format!(
            "CapInh: {none}\nCapPrm: {none}\nCapEff: {none}\nCapBnd: {none}\nCapAmb: {none}\nNoNewPrivs: 1\nSeccomp: 2\n\
             {user} {user} 1\ngroups EPERM\nlow port EACCES\nname EPERM\n"
        )
    );
}

#[test]
fn every_call_that_leads_out_is_refused() {
    let refused = [
        ("setns", libc::SYS_setns),
        ("mount", libc::SYS_mount),
        ("umount2", libc::SYS_umount2),
        ("pivot_root", libc::SYS_pivot_root),
        ("chroot", libc::SYS_chroot),
        ("move_mount", libc::SYS_move_mount),
        ("open_tree", libc::SYS_open_tree),
        ("fsopen", libc::SYS_fsopen),
        ("fspick", libc::SYS_fspick),
        ("fsconfig", libc::SYS_fsconfig),
        ("fsmount", libc::SYS_fsmount),
        ("mount_setattr", libc::SYS_mount_setattr),
        ("keyctl", libc::SYS_keyctl),
        ("add_key", libc::SYS_add_key),
        ("request_key", libc::SYS_request_key),
        ("open_by_handle_at", libc::SYS_open_by_handle_at),
        ("name_to_handle_at", libc::SYS_name_to_handle_at),
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("process_vm_writev", libc::SYS_process_vm_writev),
        ("bpf", libc::SYS_bpf),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("kexec_load", libc::SYS_kexec_load),
        ("kexec_file_load", libc::SYS_kexec_file_load),
        ("init_module", libc::SYS_init_module),
        ("finit_module", libc::SYS_finit_module),
        ("delete_module", libc::SYS_delete_module),
        ("reboot", libc::SYS_reboot),
        ("swapon", libc::SYS_swapon),
        ("swapoff", libc::SYS_swapoff),
        ("acct", libc::SYS_acct),
        ("quotactl", libc::SYS_quotactl),
    ];
    let absent = [
        ("clone3", libc::SYS_clone3),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("io_uring_enter", libc::SYS_io_uring_enter),
        ("io_uring_register", libc::SYS_io_uring_register),
    ];
    let mut script = String::new();
    let mut expect = String::new();
    for (calls, error) in [(refused.as_slice(), "EPERM"), (&absent, "ENOSYS")] {
        for (name, number) in calls {
            // Arguments that no call takes, so that one which were let through would say something else.
            script +=
                &format!("attempt('{name}', lambda: syscall({number}, -1, -1, -1, -1, -1, -1))\n");
            expect += &format!("{name} {error}\n");
        }
    }
    for (name, flag) in [
        ("user", libc::CLONE_NEWUSER),
        ("net", libc::CLONE_NEWNET),
        ("mnt", libc::CLONE_NEWNS),
        ("pid", libc::CLONE_NEWPID),
        ("ipc", libc::CLONE_NEWIPC),
        ("uts", libc::CLONE_NEWUTS),
        ("cgroup", libc::CLONE_NEWCGROUP),
    ] {
        let (unshare, clone) = (libc::SYS_unshare, libc::SYS_clone);
        script += &format!(
            "attempt('unshare {name}', lambda: syscall({unshare}, {flag}))\n\
             attempt('clone {name}', lambda: syscall({clone}, {flag} | 17, 0, 0, 0, 0) or os._exit(0))\n"
        );
        expect += &format!("unshare {name} EPERM\nclone {name} EPERM\n");
    }
    script += "
import fcntl
attempt('type', lambda: fcntl.ioctl(0, 0x5412, b'x'))
attempt('paste', lambda: fcntl.ioctl(0, 0x541c, b'x'))
";
    expect += "type EPERM\npaste EPERM\n";
    #[cfg(target_arch = "x86_64")]
    {
        // The number of `getpid` in the x32 convention.
        script += "attempt('x32', lambda: syscall(0x40000000 + 39))\n";
        expect += "x32 ENOSYS\n";
    }
    let (room, _openings) = room(&[]);
    assert_eq!(python(&room, &script), expect);
}

#[test]
fn sockets_are_of_four_families_and_threads_and_children_are_as_ever() {
    let (room, _openings) = room(&[]);
    let said = python(
        &room,
        &"
for family in range(0, 46):
    try:
        socket.socket(family, socket.SOCK_DGRAM).close()
        print(family, end=' ')
    except OSError as error:
        assert error.errno == errno.EAFNOSUPPORT, (family, error)
print()
attempt('pair', lambda: syscall(SOCKETPAIR, 40, 1, 0, 0))
import subprocess, threading
thread = threading.Thread(target=lambda: print('thread'))
thread.start(); thread.join()
print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())
"
        .replace("SOCKETPAIR", &libc::SYS_socketpair.to_string()),
    );
    assert_eq!(said, "1 2 10 16 \npair EAFNOSUPPORT\nthread\nchild\n");
}

#[test]
fn processes_outside_tell_nothing() {
    let (room, _openings) = room(&[]);
    let porter = room.porter();
    let said = python(
        &room,
        &format!(
            "
for process in [{}, {porter}]:
    for file in ['environ', 'mem', 'maps', 'auxv', 'root/etc', 'cwd/etc', 'fd/0']:
        try:
            os.close(os.open(f'/proc/{{process}}/{{file}}', os.O_RDONLY))
            print('opened', file)
        except OSError as error:
            print(error.errno in (errno.EACCES, errno.EPERM), end=' ')
    attempt('seize', lambda: syscall({}, 0x4206, process, 0, 0))
",
            std::process::id(),
            libc::SYS_ptrace
        ),
    );
    let none = "True ".repeat(7);
    assert_eq!(said, format!("{none}seize EPERM\n").repeat(2));
}

#[test]
fn a_plain_user_has_rooms_too() {
    // To the user nobody only when there is a choice; who runs the tests is a plain user otherwise.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("room");
    fs::copy(example(), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.args(["run", "python3", "-c"]).arg(
        "
import os, socket
print(os.getuid(), [line.split()[1].strip('0') for line in open('/proc/self/status') if line.startswith('Cap')])
for family, address in ((2, '8.8.8.8'), (10, '2001:db8::1')):
    s = socket.socket(family)
    s.settimeout(20)
    s.connect((address, 443))
    print(s.makefile().read().strip())
s = socket.socket()
print(s.connect_ex(('8.8.8.8', 25)))
",
    );
    let user = if geteuid().is_root() {
        command.uid(65534).gid(65534).current_dir("/");
        65534
    } else {
        geteuid().as_raw()
    };
    let output = command.output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{user} ['', '', '', '', '']\n8.8.8.8:443\n[2001:db8::1]:443\n111\n"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
