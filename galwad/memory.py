"""Protection of this process's memory: no core dumps, and no debuggers.

The memory of the switch contains the audio of calls, in which a caller may say a card number. The
memory of the other processes contains keys and callers' numbers.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def forbid_core_dumps() -> None:
    """Forbid core dumps of this process, and the reading of its memory by other processes.

    Processes of the same user cannot read the memory through /proc or ptrace (prctl(2)). The kernel
    also sends no dump to a core dump handler, a program that receives dumps through a pipe.

    Raises:
        OSError: The kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
