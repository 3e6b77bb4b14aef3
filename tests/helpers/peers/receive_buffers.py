"""The receive buffers of another process's sockets."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

_PIDFD_GETFD = 438


def shrink_receive_buffers(process, size):
    """Give each UDP socket of a process a receive buffer of `size` bytes."""
    pidfd = os.pidfd_open(process.pid)
    try:
        for path in Path(f"/proc/{process.pid}/fd").iterdir():
            if not str(path.readlink()).startswith("socket:"):
                continue
            number = ctypes.CDLL(None).syscall(_PIDFD_GETFD, pidfd, int(path.name), 0)
            assert number >= 0
            with socket.socket(fileno=number) as sock:
                if sock.type == socket.SOCK_DGRAM:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    finally:
        os.close(pidfd)
