"""The time for which a test waits for a program, and a wait for changes that no program reports."""

from __future__ import annotations

import time

PATIENCE_S = 60
"""Limits what happens, not how fast: a machine that has much else to do takes long."""


def wait_until(condition, seconds=PATIENCE_S, what="it"):
    """Poll until the condition is true, for changes that are not reported (a file, a port).

    The longer it takes, the more rarely the condition is asked, which may cost others much.
    """
    began = time.monotonic()
    while not (answer := condition()):
        waited_s = time.monotonic() - began
        assert waited_s < seconds, f"{what} did not come about in {seconds} s"
        time.sleep(min(max(0.02, waited_s / 10), 0.5))
    return answer
