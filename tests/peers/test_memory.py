"""Audio of a pause, and audio that a pause erased, is not in the memory of any process."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from helpers.peers.sound import FRAME, FRAME_S

pytestmark = pytest.mark.peer


class RandomTalker:
    """Sends frames of random bytes through a talker, and keeps them in `sent`."""

    def __init__(self, talker, to, seed):
        self.sent = []
        self._talker, self._to, self._chance = talker, to, random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def _speak(self):
        start = time.monotonic()
        while not self._stop.is_set():
            number = len(self.sent)
            payload = self._chance.randbytes(FRAME)
            self.sent.append((time.monotonic(), payload))
            self._talker.throw(self._talker.packet(payload, timestamp=number * FRAME), self._to)
            self._stop.wait(max(0.0, start + (number + 1) * FRAME_S - time.monotonic()))

    def end(self):
        self._stop.set()
        self._thread.join()


def memory_of(pid):
    """Yield the readable memory of a process, region by region."""
    regions = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for region in regions:
            span, rights = region.split()[:2]
            begin, end = (int(part, 16) for part in span.split("-"))
            if "r" not in rights or region.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            memory.seek(begin)
            try:
                yield memory.read(end - begin)
            except OSError:
                continue


def found_in(pid, payloads):
    """Return how many of the payloads are in the memory of a process, at least in half."""
    halves = {}
    for payload in payloads:
        halves[payload[16:96]] = halves[payload[80:160]] = payload
    found = set()
    for region in memory_of(pid):
        found |= {payload for half, payload in halves.items() if half in region}
    return len(found)


def test_audio_of_a_pause_is_not_in_the_memory_of_any_process(service, place_call):
    call = place_call("uas_plain")
    talkers = [
        RandomTalker(call.caller, call.from_caller, 1),
        RandomTalker(call.advisor, call.from_advisor, 2),
    ]
    time.sleep(3)
    with service.sign_in() as page:
        page.put(f"/api/v1/calls/{call.call_id}/payment", json={})
    paused = time.monotonic()
    time.sleep(2)
    for talker in talkers:
        talker.end()
    time.sleep(0.2)
    secret = [payload for talker in talkers for at, payload in talker.sent if at > paused]
    assert len(secret) > 150
    left = {name: found_in(each.process.pid, secret) for name, each in service.processes.items()}
    assert set(left.values()) == {0}, left
    call.hang_up()
