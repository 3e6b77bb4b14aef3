"""Checks of the machine: its clock, its limit of open files, and its swap space."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Iterator
from pathlib import Path

from galwad.cli.checks.result import CheckResult, fine, warning
from galwad.settings import Settings

_TIMEX_BYTES = 208
_TIME_ERROR = 5
_FILES_A_CALL = 12
_FILES_BESIDES = 200


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check the clock, the limit of open files, and the swap space."""
    yield _clock()
    yield _files(settings)
    swaps = Path("/proc/swaps").read_text(encoding="utf-8").splitlines()[1:]
    if any(not line.startswith("/dev/zram") for line in swaps):
        yield warning(
            "swap",
            "this machine swaps to a disk: parts of calls could be written there",
            "the units set MemorySwapMax=0; or encrypt the swap",
        )


def _clock() -> CheckResult:
    """Check that the kernel reports its clock as synchronised (adjtimex(2))."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state == _TIME_ERROR or state < 0:
        return warning(
            "clock",
            "this machine's clock is not synchronised: times in recordings are evidence",
            "apt install chrony, or: timedatectl set-ntp true",
        )
    return fine("clock", "it is synchronised")


def _files(settings: Settings) -> CheckResult:
    calls = settings.sip.max_calls + settings.sip.emergency_calls
    needed = calls * _FILES_A_CALL + _FILES_BESIDES
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit != resource.RLIM_INFINITY and limit < needed:
        return warning(
            "limits",
            f"only {limit} files may be open: {calls} calls need {needed}",
            f"the units set LimitNOFILE; by hand: ulimit -n {needed}",
        )
    return fine("limits", f"enough open files for {calls} calls")
