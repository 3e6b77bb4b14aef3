"""The time for which a test waits for a program, and a wait for changes that no program reports."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 60
"""Limits what happens, not how fast: a machine that has much else to do takes long."""


def stop_group(group):
    """Send SIGSTOP to the processes of a group, and wait until none of their threads runs."""
    os.killpg(group, signal.SIGSTOP)
    wait_until(lambda: _states(group) <= set("TZ"), what=f"the stop of group {group}")


def _states(group):
    """Return the states of all threads of a group's processes."""
    states = set()
    for process in Path("/proc").glob("[0-9]*"):
        # A process or thread that ends meanwhile has no state any more.
        with suppress(FileNotFoundError, ProcessLookupError):
            for thread in (process / "task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):
                    text = (thread / "stat").read_text()
                    state, _, of_group = text.rpartition(")")[2].split()[:3]
                    if int(of_group) == group:
                        states.add(state)
    return states


def wait_until(condition, seconds=PATIENCE_S, what="it"):
    """Poll until the condition is true, for changes that are not reported (a file, a port).

    The longer it takes, the more rarely the condition is asked, which may cost others much.
    `what` names it in the error; it may be a function that says at the end what is there instead.
    """
    began = time.monotonic()
    while not (answer := condition()):
        waited_s = time.monotonic() - began
        if waited_s >= seconds:
            wanted = what() if callable(what) else what
            raise AssertionError(f"{wanted} did not come about in {seconds} s")
        time.sleep(min(max(0.02, waited_s / 10), 0.5))
    return answer
