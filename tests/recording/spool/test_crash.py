"""A process killed at any instant: stored seconds are readable, and a shut gate stored none.

The victim has its own clock, runs as fast as it can and writes what it does to its standard
output: `P` a packet went to an open gate, `D` to a shut one, `H` a pause is in force, `R` it is
about to be ended.

Covers `recording/spool/writer.py` and `recording/spool/reader.py`.
"""

import random
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from recording.spool import LossReason, LostRecord, PacketRecord, is_live

VICTIM = """
import asyncio, os, sys
from pathlib import Path
from recording.policy import Trigger
from recording.recorder import Recorder
from recording.spool.sync import TICK_S
from recording.spool import Clock, SpoolWriter

root, boot_key = Path(sys.argv[1]), bytes.fromhex(sys.argv[2])
now = 0.0

def say(what):
    os.write(1, f"{what} {round(now * 1_000_000)}\\n".encode())

async def main():
    global now
    started = Clock(1_700_000_000.0, 0.0)
    recorder = Recorder(
        lambda: SpoolWriter.create(
            root / "spool", root / "spool-keys", "20260301-090000-abcdefgh", 1, boot_key, None,
            started,
        ),
        started, clock=lambda: now, erase_back_s=1.0,
    )
    recorder.answered("sian", "201")
    next_tick = TICK_S
    for n in range(10_000_000):
        now = n * 0.02
        for track in (0, 1):
            recorder.tap(track, bytes(172), now, False)
        say("P" if recorder.gate.is_open else "D")
        if now >= next_tick:
            recorder.tick()
            next_tick += TICK_S
        if n % 500 == 300:
            recorder.pause("page", Trigger.PAGE, "user:sian")
            say("H")
        if n % 500 == 499:
            say("R")
            await recorder.resume("page", "user:sian")

asyncio.run(main())
"""
ONE_SECOND = 1_000_000


def run_and_kill(spools, lines: int) -> list[tuple[str, int]]:
    """Start the victim, kill it after about `lines` lines, and return all its output."""
    spools.folder.mkdir()
    command = [sys.executable, "-c", VICTIM, str(spools.root), spools.boot_key.hex()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        said = list(islice(victim.stdout, lines))
        victim.send_signal(signal.SIGKILL)
        said += victim.stdout.readlines()
    whole = [line.split() for line in said if line.endswith("\n")]
    return [(what, int(at)) for what, at in whole]


@pytest.mark.parametrize("seed", range(8))
def test_a_killed_process_loses_less_than_a_second_and_stored_nothing_from_a_shut_gate(
    spools, seed
):
    said = run_and_kill(spools, random.Random(seed).randint(200, 3_000))
    path: Path = next(spools.folder.glob("*.spool"))
    assert not is_live(path)
    reader = spools.read(path, crashed=True)
    records = list(reader)
    kept = {r.at_us for r in records if isinstance(r, PacketRecord)}
    assert reader.interrupted
    assert not reader.damaged
    losses = [r for r in records if isinstance(r, LostRecord)]
    assert {r.why for r in losses} <= {LossReason.ERASED, LossReason.TRUNCATED}
    shut_since = None
    forbidden: set[int] = set()
    expected: set[int] = set()
    died_at = said[-1][1]
    for what, at in said:
        if what == "P":
            expected.add(at)
        elif what == "D":
            forbidden.add(at)
        elif what == "H":
            shut_since = at
            expected = {t for t in expected if t < shut_since - ONE_SECOND}
    assert not kept & forbidden
    # The process may have died before it printed a pause, which erases the second before it.
    must = {t for t in expected if t < died_at - ONE_SECOND}
    assert must
    assert must <= kept


def test_after_a_reboot_only_frames_with_published_keys_are_readable(spools, talk):
    writer = spools.writer()
    talk(writer, 9)
    writer.abandon()
    next(spools.keys.iterdir()).unlink()
    records = list(spools.read(writer.path, crashed=True))
    assert max(r.at_us for r in records if isinstance(r, PacketRecord)) == 3_900_001
    lost = [(r.from_us or 0, r.why) for r in records if isinstance(r, LostRecord)]
    assert [(from_us // ONE_SECOND, why) for from_us, why in lost] == [
        (second, LossReason.UNRELEASED) for second in range(4, 9)
    ]
