"""Calls of the system that change what a program can see or do."""

import ctypes
import fcntl
import mmap
import os
import platform
import socket
import subprocess
import tempfile
import time

from kit import Reached, attempt, target

from .processes import LIBC, called

X86 = platform.machine() == "x86_64"
NEW = {"files": 0x20000, "names": 0x4000000, "ipc": 0x8000000, "users": 0x10000000, "processes": 0x20000000, "network": 0x40000000, "groups": 0x2000000}
# Numbers of calls, on x86-64 and on 64-bit ARM.
CALLS = {
    "pivot_root": (155, 41),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "setns": (308, 268),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "clone3": (435, 435),
    "swapon": (167, 224),
    "mount_setattr": (442, 442),
}


def call(name, *arguments):
    """Calls the system by number, and raises what it says."""
    result = called(LIBC.syscall(CALLS[name][0 if X86 else 1], *arguments))
    raise Reached(f"{name} returned {result}")


def tried(name, what, action, control=True):
    """Declares a try."""

    def function(me):
        action()

    function.__name__ = name
    function.__doc__ = what
    attempt("system", control=control)(function)


def unshared(flags):
    """Makes namespaces."""
    called(LIBC.unshare(flags))
    raise Reached("they were made")


def reached(what):
    """Says that it worked."""
    raise Reached(what)


def person():
    """The id of the person's program."""
    return target("processes", "person")


def cloned(flags):
    """Makes a process in new namespaces."""
    words = ctypes.create_string_buffer(flags.to_bytes(8, "little").ljust(88, b"\0"), 88)
    words[32:40] = (17).to_bytes(8, "little")
    child = called(LIBC.syscall(CALLS["clone3"][0 if X86 else 1], words, 88))
    if child == 0:
        os._exit(0)
    raise Reached(f"process {child}")


def ran(*command):
    """Runs a program."""
    if subprocess.run(command, capture_output=True, timeout=20).returncode == 0:
        raise Reached("it worked")


def entered(path):
    """Enters a namespace."""
    descriptor = os.open(path, os.O_RDONLY)
    call("setns", descriptor, 0)


def mounted(source, at, kind, flags=0):
    """Mounts something."""
    called(LIBC.mount(source.encode(), at.encode(), kind and kind.encode(), flags, None))
    raise Reached("it is mounted")


def unmounted(folder):
    """Takes a mount away."""
    called(LIBC.umount2(folder.encode(), 2))
    raise Reached("it is gone")


def handled():
    """Asks for a file's handle, and opens it by that."""
    handle = ctypes.create_string_buffer((128).to_bytes(4, "little"), 256)
    mount = ctypes.c_int()
    called(LIBC.syscall(CALLS["name_to_handle_at"][0 if X86 else 1], -100, b"/usr", handle, ctypes.byref(mount), 0))
    raise Reached("it has one")


def switched_off():
    """Switches the loopback device off."""
    with socket.socket() as stream:
        fcntl.ioctl(stream, 0x8914, b"lo".ljust(16, b"\0") + bytes(24))
    raise Reached("it is off")


def given():
    """Gives a file away."""
    with tempfile.NamedTemporaryFile() as file:
        os.chown(file.name, 12345, 12345)
    raise Reached("done")


def clock():
    """Sets the clock to what it is."""
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME))
    raise Reached("done")


def typed():
    """Types into the terminal."""
    with open("/dev/tty") as terminal:
        fcntl.ioctl(terminal, 0x5412, b"c")
    raise Reached("done")


def old_call():
    """Asks for the process id as a 32-bit program does."""
    if not X86:
        raise OSError("there are none on this processor")
    # mov eax, 20; int 0x80; ret
    words = b"\xb8\x14\0\0\0\xcd\x80\xc3"
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(words)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    result = function()
    if result != os.getpid():
        raise OSError(-result, os.strerror(-result) if result < 0 else "another answer")
    raise Reached("answered")


for name, what in [("users", "of users"), ("network", "of networks"), ("files", "of mounts"), ("processes", "of processes"), ("ipc", "of shared memory"), ("names", "of host names"), ("groups", "of control groups")]:
    tried(f"unshare_{name}", f"A new namespace {what}.", lambda name=name: unshared(NEW[name]))
tried("unshare_users_and_network", "New namespaces of users and networks at once, in which the program is root.", lambda: unshared(NEW["users"] | NEW["network"]))
tried("unshare_by_clone3", "New namespaces by the newer call, which filters cannot look into.", lambda: cloned(NEW["users"] | NEW["network"]))
tried("unshare_by_program", "A new namespace by the program for that.", lambda: ran("unshare", "-Urn", "true"))
tried("enter_network_of_keeper", "The network namespace of the process that keeps this one.", lambda: entered("/proc/1/ns/net"), control=False)
tried("enter_network_of_person", "The network namespace of the person's program.", lambda: entered(f"/proc/{person()}/ns/net"))
tried("enter_files_of_person", "The mounts of the person's program.", lambda: entered(f"/proc/{person()}/ns/mnt"))
tried("mount", "A mount of its own.", lambda: mounted("tmpfs", "/mnt", "tmpfs"))
tried("mount_proc", "Another list of processes.", lambda: mounted("proc", "/mnt", "proc"), control=False)
tried("mount_bind", "Something hidden, mounted at another place.", lambda: mounted("/", "/mnt", None, 0x5000))
tried("remount", "What is read-only, mounted as writable.", lambda: mounted("none", "/", None, 0x20), control=False)
tried("mount_by_descriptor", "A mount by the newer calls.", lambda: call("fsopen", b"tmpfs", 0))
tried("mount_tree", "A copy of a tree of mounts by the newer calls.", lambda: call("open_tree", -100, b"/", 0x8001))
tried("mount_attributes", "Other attributes of a mount by the newer calls.", lambda: call("mount_setattr", -100, b"/", 0, bytes(32), 32))
for folder in ["/tmp", "/run", "/proc", "/etc/hosts"]:
    name = folder.strip("/").replace("/", "_")
    tried(f"unmount_{name}", f"What lies below the mount at `{folder}`.", lambda folder=folder: unmounted(folder), control=False)
tried("pivot_root", "Another root of all files.", lambda: call("pivot_root", b".", b"."), control=False)
tried("chroot", "Another root of the program's files.", lambda: (os.chroot("/"), reached("done")))
tried("make_device", "A device file for the machine's memory.", lambda: (os.mknod("/tmp/mem", 0o20600, os.makedev(1, 1)), reached("made")), control=False)
tried("open_by_handle", "A file by its number on the disk, past all folders.", handled)
tried("bpf", "A program inside of the kernel.", lambda: call("bpf", 0, bytes([2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]).ljust(128, b"\0"), 128), control=False)
tried("perf_events", "The machine's performance counters.", lambda: call("perf_event_open", b"\1\0\0\0\x80\0\0\0".ljust(128, b"\0"), 0, -1, -1, 0), control=False)
tried("io_uring", "A ring of requests to the kernel, which filters of calls do not see.", lambda: call("io_uring_setup", 1, ctypes.create_string_buffer(120)))
tried("page_faults", "Handling page faults of the kernel.", lambda: call("userfaultfd", 1))
tried("key_read", "The session's keys in the kernel, where an unlocked vault's key may be.", lambda: call("keyctl", 0, -3, 1))
tried("key_search", "The person's keys in the kernel.", lambda: call("keyctl", 0, -4, 1))
tried("key_add", "A key for others in the kernel.", lambda: call("add_key", b"user", b"contraband", b"x", 1, -2))
tried("key_request", "A key that the kernel gets by starting a program outside.", lambda: call("request_key", b"user", b"contraband", b"x", -2), control=False)
tried("module", "A module of the kernel.", lambda: call("init_module", b"", 0, b""), control=False)
tried("kexec", "Another kernel.", lambda: call("kexec_load", 0, 0, 0, 0), control=False)
tried("swap", "A file as swap.", lambda: call("swapon", b"/tmp/x", 0), control=False)
tried("host_name", "Another name of the machine.", lambda: (socket.sethostname("contraband"), reached("done")), control=False)
tried("loopback_down", "The loopback device, switched off.", switched_off, control=False)
tried("other_user", "Another user.", lambda: (os.setuid(12345), reached("done")), control=False)
tried("other_group", "Other groups.", lambda: (os.setgroups([0, 4, 27]), reached("done")), control=False)
tried("foreign_file", "A file, given to somebody else.", given, control=False)
tried("priority", "A higher priority than others have.", lambda: (os.nice(-10), reached("done")), control=False)
tried("reboot", "Switching ctrl-alt-del, as a program that may reboot can.", lambda: (called(LIBC.reboot(0)), reached("done")), control=False)
tried("clock", "Another time.", clock, control=False)
tried("console", "Keys, put into the terminal of somebody else.", typed, control=False)
tried("old_calls", "Calls by the numbers of 32-bit programs, past a filter of the others.", old_call, control=X86)
