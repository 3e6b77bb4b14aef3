"""Keeping what is in memory out of files, for this process: no core dump, no debugger.

In the memory of the switch is what a caller says, card numbers included, while it is passed on;
in that of the others are keys, and who calls.
"""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def keep_out_of_files() -> None:
    """Forbid core dumps, and reading through /proc or ptrace by the same user (prctl(2)).

    A handler of core dumps that the kernel pipes to gets none either. Raises OSError.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
