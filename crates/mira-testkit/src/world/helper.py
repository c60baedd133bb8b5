"""Turns the namespaces it is started in into a world of one machine, and makes sockets in it until its input ends.

Arguments: files to be seen at other places, as pairs of the file and the place. Each line of the input, `tcp ADDRESS PORT` or `udp ADDRESS PORT`, is
answered with `ok` and a socket, or with what went wrong.
"""

import ctypes
import os
import socket
import subprocess
import sys

MS_BIND = 4096
IP_FREEBIND = 15
IPV6_FREEBIND = 78

libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags):
    kind = kind and kind.encode()
    if libc.mount(source.encode(), target.encode(), kind, flags, None) != 0:
        raise OSError(ctypes.get_errno(), "mount", target)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def enter(files):
    ip("link", "set", "lo", "up")
    ip("route", "add", "local", "default", "dev", "lo")
    if os.path.exists("/proc/self/net/if_inet6"):
        ip("-6", "route", "add", "local", "::/0", "dev", "lo")
    for source, target in zip(files[::2], files[1::2]):
        if os.path.exists(target):
            mount(source, target, None, MS_BIND)
    # A name-service daemon is outside, and would be asked through its socket.
    for folder in ("/run/nscd", "/run/systemd/resolve"):
        if os.path.isdir(folder):
            mount("none", folder, "tmpfs", 0)


def make(kind, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    made.bind((address, int(port)))
    if kind == "tcp":
        made.listen(128)
    return made


def serve(test):
    test.send(b"ready")
    for line in test.makefile():
        try:
            with make(*line.split()) as made:
                socket.send_fds(test, [b"ok"], [made.fileno()])
        except OSError as error:
            test.send(str(error).encode())


enter(sys.argv[1:])
serve(socket.socket(fileno=0))
