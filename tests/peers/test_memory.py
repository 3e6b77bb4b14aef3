"""Audio of a pause, and audio that a pause erased, is not in the memory of any process."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest

from helpers.peers.sound import FRAME, FRAME_S

pytestmark = pytest.mark.peer

MARK = bytes.fromhex("9d41c7e25b08f36a")
"""The beginning of each quarter of a frame. The frame's number and random bytes follow."""
QUARTER = FRAME // 4


class RandomTalker:
    """Sends numbered frames of random bytes through a talker.

    `sent` has the time and the number of each. The numbers count from `first`. `latest` is the
    payload of the latest frame.
    """

    def __init__(self, talker, to, first):
        self.sent = []
        self.latest = b""
        self._talker, self._to, self._first = talker, to, first
        self._chance = random.Random(first)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def _speak(self):
        start = time.monotonic()
        while not self._stop.is_set():
            number = len(self.sent)
            head = MARK + (self._first + number).to_bytes(4, "big")
            parts = (head + self._chance.randbytes(QUARTER - len(head)) for _ in range(4))
            self.latest = payload = b"".join(parts)
            self.sent.append((time.monotonic(), self._first + number))
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


def family(pid):
    """Return the ids of a process and of its worker processes."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(int(child) for task in tasks for child in task.read_text().split())]


def found_in(pid):
    """Return the numbers of the frames of which a part is in the memory of a process."""
    found = set()
    for region in memory_of(pid):
        at = region.find(MARK)
        while at >= 0:
            found.add(int.from_bytes(region[at + len(MARK) : at + len(MARK) + 4], "big"))
            at = region.find(MARK, at + 1)
    return found


def test_audio_of_a_pause_and_audio_that_it_erases_are_not_in_the_memory_of_any_process(
    start, place_call_on
):
    """Fresh processes, and all of their memory is searched: 7 s of CPU time."""
    service = start(
        "switch", "desk", "finaliser", users=True, erase_back="erase_back = 2", fresh=True
    )
    call = place_call_on(service, "uas_plain")
    talkers = [
        RandomTalker(call.caller, call.from_caller, 100_000),
        RandomTalker(call.advisor, call.from_advisor, 200_000),
    ]
    with service.sign_in() as page:
        time.sleep(4)
        begun = time.monotonic()
        page.put(f"/api/v1/calls/{call.call_id}/payment", json={})
        paused = time.monotonic()
    time.sleep(2)
    for talker in talkers:
        talker.end()
    time.sleep(0.2)
    sent = [frame for talker in talkers for frame in talker.sent]
    secret = {number for at, number in sent if at > paused}
    erased = {number for at, number in sent if begun - 1.9 < at < begun}
    assert len(secret) > 150
    assert len(erased) > 150
    assert {talkers[0].sent[-1][1], talkers[1].sent[-1][1]} <= found_in(os.getpid())
    assert len(family(service.processes["finaliser"].process.pid)) > 1
    for each in service.processes.values():
        for pid in family(each.process.pid):
            found = found_in(pid)
            assert found & secret == set(), each.name
            assert found & erased == set(), each.name
    call.hang_up()
