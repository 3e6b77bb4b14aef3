"""Limits on the size of files, which stand for a full disk."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def file_size_limit(octets: int) -> Iterator[None]:
    """Prevent this process from writing beyond this many bytes of any file.

    Python writes no bytecode files meanwhile: at the limit it would store a module's bytecode in
    part, and every later import of this module would fail with EOFError.
    """
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        sys.dont_write_bytecode = bytecode
        signal.signal(signal.SIGXFSZ, handler)


def run_with_small_files(blocks: int, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `galwad` with a command, in a process whose files end at `blocks` of 512 or 1024 bytes.

    The size of a block depends on the shell. The process writes no bytecode files, for the reason
    that `file_size_limit` gives.
    """
    galwad = (sys.executable, "-m", "galwad")
    return subprocess.run(
        ["sh", "-c", f'ulimit -f {blocks} && exec "$@"', "sh", *galwad, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
