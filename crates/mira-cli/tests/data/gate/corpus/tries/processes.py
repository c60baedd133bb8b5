"""Other processes and the person's files: reading them, tracing them, ending them, writing to them."""

import ctypes
import os
from pathlib import Path

from kit import STARTED_WITH, Reached, attempt, readable, target

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE = 0x4206


def called(result):
    """Raises what a call of the system says."""
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def of_process(name, what, reads):
    """Declares a try with each of the person's program and the supervisor."""
    for who, whose in [("person", "the person's program"), ("supervisor", "the supervisor")]:

        def function(me, who=who):
            reads(target("processes", who))

        function.__name__ = f"{name}_of_{who}"
        function.__doc__ = what.format(whose)
        # The supervisor's files in /proc are root's, as it is not dumpable: a person who is not root gets at them nowhere.
        control = who == "person" or name not in {"environment", "memory", "descriptors"}
        attempt("processes", control=control)(function)


def memory(pid):
    """Reads the beginning of a process's first map."""
    with open(f"/proc/{pid}/maps") as maps:
        start = int(maps.readline().split("-")[0], 16)
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        file.seek(start)
        raise Reached(f"{len(file.read(64))} bytes")


def held_files(pid):
    """Looks which files a process has open."""
    names = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    raise Reached(f"{len(names)} files")


def listed(path):
    """Lists a folder."""
    raise Reached(f"{len(os.listdir(path))} entries")


def traced(pid):
    """Traces a process."""
    called(LIBC.ptrace(PTRACE_SEIZE, pid, 0, 0))
    raise Reached("it is traced")


class Span(ctypes.Structure):
    """A span of memory."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def copied(pid, address=0):
    """Reads a process's memory by the call for that; the address need not be there for the kernel to say who may."""
    buffer = ctypes.create_string_buffer(64)
    here, there = Span(ctypes.addressof(buffer), 64), Span(address, 64)
    result = LIBC.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    if result < 0 and ctypes.get_errno() == 14:  # EFAULT: allowed, and nothing there
        raise Reached("it may be read")
    called(result)
    raise Reached(f"{result} bytes")


def signalled(pid):
    """Asks whether a signal could be sent."""
    os.kill(pid, 0)
    raise Reached("it could be ended")


def held(pid):
    """Gets hold of a process by a descriptor."""
    raise Reached(f"descriptor {os.pidfd_open(pid)}")


of_process("environment", "The environment of {}.", lambda pid: readable(f"/proc/{pid}/environ"))
of_process("arguments", "The arguments of {}.", lambda pid: readable(f"/proc/{pid}/cmdline"))
of_process("memory", "The memory of {}.", memory)
of_process("root", "The files as {} sees them.", lambda pid: listed(f"/proc/{pid}/" + "root/."))
of_process("folder", "The working folder of {}.", lambda pid: listed(f"/proc/{pid}/cwd/"))
of_process("descriptors", "The open files of {}.", held_files)
of_process("trace", "Tracing {}.", traced)
of_process("copy", "Copying out of the memory of {}.", copied)
of_process("signal", "A signal to {}.", signalled)
of_process("handle", "A handle of {}.", held)


@attempt("processes", control=False)
def environment_of_others(me):
    """The environment of every process that can be seen here and is not of the app."""
    own = os.environ.get("MIRA_INSTANCE", "none")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if words and own.encode() not in words:
            raise Reached(f"of process {pid}")


@attempt("processes", control=False)
def keeper(me):
    """The process that keeps this one: its environment, its memory, its open files."""
    for look in [lambda pid: readable(f"/proc/{pid}/environ"), memory, held_files, copied]:
        try:
            look(1)
        except OSError:
            continue


@attempt("processes", control=False)
def keeper_traced(me):
    """Tracing the process that keeps this one."""
    traced(1)


@attempt("processes", control=False)
def keeper_descriptors(me):
    """Taking the open files of the process that keeps this one, by the call for that."""
    handle = os.pidfd_open(1)
    for number in range(64):
        if LIBC.syscall(438, handle, number, 0) >= 0:
            raise Reached(f"descriptor {number}")


@attempt("processes", control=False)
def inherited_descriptors(me):
    """Open files that were left to this program, beside its three streams."""
    for number, path in STARTED_WITH.items():
        if number > 2:
            raise Reached(f"{number} is {path}")


def of_home(name, what, *path):
    """Declares a try of reading a file that the test has set up."""

    def function(me):
        readable(target("files", *path))

    function.__name__ = "read_" + name
    function.__doc__ = what
    attempt("files")(function)


of_home("vault", "The vault.", "vault")
of_home("key_file", "The file with the vault's key.", "key")
of_home("database", "Mira's database.", "database")
of_home("neighbour", "A file of another instance.", "neighbour")
of_home("ssh_key", "The person's ssh key.", "ssh")
of_home("agent_credentials", "The credentials that another tool keeps in the person's home.", "credentials")
of_home("temporary", "A file in the folder for temporary files.", "temporary")
of_home("runtime", "A file in the person's run-time folder.", "runtime")


def written(path):
    """Writes to a file that is there."""
    with open(os.open(path, os.O_WRONLY | os.O_APPEND), "ab") as file:
        file.write(b"contraband\n")
    raise Reached(path)


def to_home(name, what, *path):
    """Declares a try of writing to a file that the test has set up."""

    def function(me):
        written(target("files", *path))

    function.__name__ = "write_" + name
    function.__doc__ = what
    attempt("files")(function)


to_home("profile", "The commands that the person's next shell runs.", "profile")
to_home("vault", "The vault.", "vault")
to_home("neighbour", "A file of another instance.", "neighbour")
to_home("record", "The record of the network.", "record")


@attempt("files", control=False)
def write_own_package(me):
    """A file of the app's own package, which never changes."""
    written(__file__)


@attempt("files", control=False)
def read_own_record(me):
    """The record of the app's own connections."""
    readable(target("files", "record"))


@attempt("files", control=False)
def read_kernel_memory(me):
    """The memory of the machine."""
    for path in ["/dev/mem", "/dev/kmem", "/proc/kcore", "/dev/port"]:
        try:
            readable(path)
        except OSError:
            continue


@attempt("files", control=False)
def write_core_pattern(me):
    """The program that the kernel starts, outside, when another crashes."""
    with open("/proc/sys/kernel/core_pattern", "r+b", buffering=0) as file:
        file.write(file.read())
    raise Reached("it was written")


@attempt("files", control=False)
def read_disks(me):
    """The disks themselves, below all files."""
    for path in Path("/dev").glob("[vsn][dv][a-m]*"):
        readable(path)
