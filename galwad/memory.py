"""Protection of this process's memory: no core dumps, and no debuggers.

In the switch, the memory contains the audio of calls, and a caller may say a card number. In the
other processes, the memory contains keys and callers' phone numbers.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def forbid_core_dumps() -> None:
    """Forbid core dumps of this process, and forbid other processes to read its memory.

    Even processes of the same user cannot read the memory through /proc or ptrace (prctl(2)). Some
    machines have a core dump handler: a program to which the kernel sends core dumps through a
    pipe. For this process, the kernel does not start that program.

    Raises:
        OSError: The kernel did not accept the setting.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
