"""The cost of a power cut at any instant: lookback + 2 s, by the test's own clock.

That clock drives the real recorder and spool. What was not flushed is dropped, and the keys in
memory are lost. A flush takes what the kernel has when it begins.
"""

import random
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.spools import SpoolRoom
from recording.recorder import Recorder
from recording.spool import Clock, PacketRecord, read_spool
from recording.spool.sync import FLUSH_MAY_LAST_S, FLUSH_S, TICK_S, tick_for

PACKET_MS = 20
MS_LATE = 15
"""The largest delay of a tick by the loop, in ms."""


@dataclass
class Flush:
    """One flush: the size of the file that it writes to disk, and the time when it is done."""

    size: int
    done_ms: float


class Node:
    """A call of some seconds, written and flushed at given phases."""

    def __init__(self, room, lookback_s, *, tick_s=None):
        self._room, self._now_ms = room, 0.0
        self._tick_ms = 1000 * (tick_s or tick_for(lookback_s))
        self.recorder = Recorder(
            lambda: room.writer(lookback_s=lookback_s),
            Clock(1_700_000_000.0, 0.0),
            clock=lambda: self._now_ms / 1000,
        )
        self.recorder.answered("sian", "201")

    @property
    def path(self):
        assert self.recorder.writer is not None
        return self.recorder.writer.path

    def run(self, seconds, phases, flush_ms, seed):
        """Let both parties talk, with a loop that is always a little late; return the flushes."""
        late = random.Random(seed)
        path = self.path
        due, flush = phases[0] * self._tick_ms, phases[1] * FLUSH_S * 1000
        tick = due
        flushes = []
        for at in range(0, int(seconds * 1000), PACKET_MS):
            while min(tick, flush) < at:
                if tick <= flush:
                    self._now_ms = tick
                    self.recorder.tick()
                    due += self._tick_ms
                    tick = due + late.uniform(0, MS_LATE)
                else:
                    flushes.append(Flush(path.stat().st_size, flush + flush_ms))
                    flush += max(FLUSH_S * 1000, flush_ms)
            self._now_ms = float(at)
            for track in (0, 1):
                self.recorder.tap(track, bytes(172), at / 1000, False)
        self.recorder.close()
        return flushes

    def kept_ms(self, size, folder):
        """Return up to which ms a file can be read of which only `size` octets reached the disk."""
        path = self.path
        cut = folder / path.name
        cut.write_bytes(path.read_bytes()[:size])
        with read_spool(cut, boot_key=self._room.boot_key) as spool:
            found = [r.at_us // 1000 for r in spool if isinstance(r, PacketRecord) and not r.track]
        assert found == list(range(0, PACKET_MS * len(found), PACKET_MS))
        return PACKET_MS * len(found)


def worst_cost_ms(node, flushes, folder: Path):
    """Return the largest loss in ms: each power cut comes just before the next flush is done."""
    return max(
        after.done_ms - node.kept_ms(before.size, folder) for before, after in pairwise(flushes)
    )


@given(
    lookback_s=st.sampled_from([0, 0.3, 1, 2.5, 5, 5, 5, 7.3]),
    phases=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    flush_ms=st.sampled_from([0, FLUSH_MAY_LAST_S * 1000]),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=examples(60))
def test_a_power_cut_at_any_instant_loses_at_most_the_lookback_and_two_seconds(
    tmp_path_factory, *, lookback_s, phases, flush_ms, seed
):
    room = SpoolRoom(tmp_path_factory.mktemp("room"))
    node = Node(room, lookback_s)
    flushes = node.run(lookback_s + 6, phases, flush_ms, seed)
    assert worst_cost_ms(node, flushes, room.root) <= (lookback_s + 2) * 1000


def test_ticks_that_do_not_divide_the_lookback_lose_more(tmp_path):
    """The simulation distinguishes a bad tick interval from a good one."""
    worst = 0
    for tenth in range(10):
        room = SpoolRoom(tmp_path / str(tenth))
        room.root.mkdir()
        node = Node(room, 5, tick_s=TICK_S)
        flushes = node.run(12, (0.0, tenth / 10), FLUSH_MAY_LAST_S * 1000, 1)
        worst = max(worst, worst_cost_ms(node, flushes, room.root))
    assert worst > 7200


@pytest.mark.parametrize("lookback_s", [0, 0.1, 0.5, 1, 3, 4.99, 5, 5.01, 17, 60])
def test_the_tick_for_each_lookback_keeps_the_loss_within_lookback_and_two_seconds(lookback_s):
    tick_s = tick_for(lookback_s)
    assert TICK_S / 2 <= tick_s <= TICK_S
    ticks = -(-lookback_s // tick_s)
    assert tick_s * (ticks + 1) + FLUSH_S + FLUSH_MAY_LAST_S <= lookback_s + 2
