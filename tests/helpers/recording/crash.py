"""The end of a process at a system call."""

import contextlib
import itertools
import os
from pathlib import Path

from recording.files import atomic


class Crash(BaseException):
    """The process dies here."""


@contextlib.contextmanager
def dying(monkeypatch, call_name, nth):
    """End the process at the nth call of this name; the yielded list then contains the name."""
    places = {"rename": Path, "sync_folder": atomic}
    target, calls = places.get(call_name, os), itertools.count(1)
    died: list[str] = []
    real = getattr(target, call_name)

    def crashing(*arguments):
        if next(calls) == nth:
            raise Crash
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(target, call_name, crashing)
        try:
            yield died
        except Crash:
            died.append(call_name)
