"""Measures sealing, from the hang-up to a signed manifest, with and without following.

    python benchmarks/sealing.py [--quick] [--long]

Calls of G.711 noise (the worst case for FLAC) last 3 minutes and an hour, best of three runs
(`--quick`: one run; `--long`: ten hours too). Each is sealed from its closed spool, and in another
run followed while it goes on. Then many calls end together and are sealed by as many threads as the
finaliser has. Then, in each codec, a call of an hour (`--quick`: ten minutes) has parties whose
clocks drift apart by 400 ppm; its result shows how far the channels are out of alignment at the
end. The lower bound is only to read the same spool, and to encode as many samples of noise with
libsndfile. `hunt_s` is the part of sealing that looks for card numbers keyed as tones, on as many
samples of the same noise; `hunt_to_straight` is its share of sealing without following. Every row
is measured in its own process, and the highest memory of that process is reported. recordings.py
measures the same with the real processes. The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import resource
import signal
import struct
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import _drifting
import numpy as np
import soundfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.age.file import open_parts
from recording.archive.manifest import SealingNode
from recording.archive.sealing import LiveSealing
from recording.archive.store import Archive
from recording.audio.captured_card import CardFilter
from recording.audio.codecs import PayloadCodec, decoder_for
from recording.keys.keyring import OfficerKeys, RecipientSet
from recording.spool import Clock, SpoolWriter
from recording.spool.burst import unpack_burst
from recording.spool.recovery import SpoolKeys

Row = dict[str, float]
BOOT_KEY = bytes(32)
KEYS = SpoolKeys(BOOT_KEY)
NOISE = np.random.default_rng(1).integers(0, 256, 1 << 20, dtype=np.uint8).tobytes()
TOGETHER = 100
TOGETHER_S = 180
MINUTE = 60
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Talk:
    """A call whose parties both send PCMA every 20 ms."""

    def __init__(self, folder: Path, number: int = 0) -> None:
        """Open the spool; each call of a folder needs its own `number`."""
        tens, ones = divmod(number, len(LETTERS))
        self.call_id = f"20260301-090000-abcdef{LETTERS[tens]}{LETTERS[ones]}"
        clock = Clock(1_772_355_600.0, 0.0)
        keys = folder / "keys"
        self._writer = SpoolWriter.create(folder, keys, self.call_id, 1, BOOT_KEY, None, clock)
        self._writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
        self._writer.event("segment", {"class": "centre", "to": ""}, 0)
        self._seconds = 0
        self.spool = self._writer.path

    def go_on(self, seconds: int) -> None:
        """Let both parties talk for `seconds` more."""
        packet = self._writer.packet
        for index in range(self._seconds * 50, (self._seconds + seconds) * 50):
            for track in (0, 1):
                head = struct.pack("!BBHII", 0x80, 8, index & 0xFFFF, index * 160, track)
                at = (index * 320 + track * 1120) % (len(NOISE) - 160)
                packet(track, index * 20_000 + track * 7, head + NOISE[at : at + 160])
            if index % 50 == 49:
                self._writer.tick((index + 1) * 20_000)
        self._seconds += seconds

    def drift(self, name: str, seconds: int) -> float:
        """Let both talk in this codec with clocks that drift; return what `_drifting.talk` does."""
        self._seconds = seconds
        return _drifting.talk(self._writer, _drifting.CODECS[name], seconds)

    def hang_up(self) -> None:
        """End the call and close the spool."""
        self._writer.event("ended", {"cause": "bye"}, self._seconds * 1_000_000)
        self._writer.close(self._seconds * 1_000_000)


class Room:
    """An archive in a folder, with its recipients."""

    def __init__(self, folder: Path) -> None:
        officer = OfficerKeys.generate()
        self.identity = officer.identity
        self.recipients = RecipientSet.of([("Officer", officer.identity.recipient)], 1)
        self.archive = Archive(folder, SealingNode("bench", "bench", Ed25519PrivateKey.generate()))

    def audio(self, call_id: str) -> bytes:
        """Return the FLAC audio of a recording."""
        header = self.archive.path(call_id, "header").read_bytes()
        with self.archive.path(call_id, "payload").open("rb") as payload:
            return open_parts(header, payload, [self.identity]).readall()

    def seal(self, talk: Talk, following: LiveSealing | None = None) -> int:
        """Seal the call; return the recording's size in bytes."""
        spools = [talk.spool]
        sealed = self.archive.seal(talk.call_id, spools, KEYS, self.recipients, following)
        return sealed.manifest.payload.size


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def read(spool: Path) -> None:
    """Read the spool, and do nothing else."""
    with KEYS.open(spool) as reader:
        for _ in reader.batched(unpack_burst):
            pass


def encode(seconds: int, path: Path) -> None:
    """Encode `seconds` of noise into a file."""
    decoder = decoder_for(PayloadCodec("PCMA", 8000))
    if decoder is None:
        raise SystemExit("no decoder")
    block = decoder.decode(NOISE[:16_000]).reshape(-1, 2)
    with soundfile.SoundFile(path, "w", 8000, 2, "PCM_16", format="FLAC") as file:
        for _ in range(seconds):
            file.write(block)


def hunt(seconds: int, runs: int) -> Row:
    """Look for card numbers in as many samples of noise as a call of this length has."""
    decoder = decoder_for(PayloadCodec("PCMA", 8000))
    if decoder is None:
        raise SystemExit("no decoder")
    blocks = [
        decoder.decode(NOISE[at : at + 16_000]).reshape(-1, 2) for at in range(0, 960_000, 16_000)
    ]

    def work() -> None:
        cards = CardFilter(8000)
        for second in range(seconds):
            cards.feed(blocks[second % len(blocks)].copy())
            for _ in cards.blocks():
                pass
        cards.finish()

    return {"hunt_s": min(timed(work) for _ in range(runs))}


def peak_mb() -> float:
    """Return the highest memory of this process so far, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def straight(seconds: int, runs: int) -> Row:
    """Seal from a closed spool, and measure the lower bound."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        talk = Talk(folder)
        talk.go_on(seconds)
        talk.hang_up()
        seal_s = []
        size = 0
        for run in range(runs):
            room = Room(folder / f"archive{run}")
            begun = time.perf_counter()
            size = room.seal(talk)
            seal_s.append(time.perf_counter() - begun)
        peak = peak_mb()
        floor_s = min(
            timed(lambda: read(talk.spool)) + timed(lambda: encode(seconds, folder / "floor.flac"))
            for _ in range(runs)
        )
        spool_size = talk.spool.stat().st_size
    return {
        "straight_s": min(seal_s),
        "straight_peak_mb": peak,
        "floor_s": floor_s,
        "straight_to_floor": min(seal_s) / floor_s,
        "spool_bytes_per_call_hour": spool_size * 3600 // seconds,
        "archive_bytes_per_call_hour": size * 3600 // seconds,
    }


def follow(following: LiveSealing) -> None:
    """Follow until nothing more is ready."""
    while following.step(MINUTE):
        pass


def followed(seconds: int, runs: int) -> Row:
    """Follow a call after each minute, and measure the sealing after the hang-up."""
    end_s, follow_s = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as name:
            talk, room = Talk(Path(name)), Room(Path(name) / "archive")
            following = room.archive.begin_live(talk.call_id, talk.spool, KEYS)
            spent = 0.0
            for _ in range(seconds // MINUTE):
                talk.go_on(MINUTE)
                spent += timed(lambda: follow(following))  # noqa: B023 - called at once
            follow_s.append(spent)
            os.sync()  # in a real call, the kernel does this while the call lasts
            talk.hang_up()
            end_s.append(timed(lambda: room.seal(talk, following)))  # noqa: B023
    return {
        "followed_s": min(end_s),
        "following_s_per_call_hour": min(follow_s) * 3600 / seconds,
        "followed_peak_mb": peak_mb(),
    }


def together(calls: int, seconds: int) -> Row:
    """Measure from many hang-ups at once to the last signed manifest, followed and not followed."""
    from galwad.finaliser.worker import SEALING_TASKS  # noqa: PLC0415 - no other row has it in memory

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, other = Room(folder / "archive"), Room(folder / "other")
        talks = [Talk(folder, number) for number in range(calls)]
        followings = [one.archive.begin_live(talk.call_id, talk.spool, KEYS) for talk in talks]
        before = peak_mb()
        for _ in range(seconds // MINUTE):
            for talk, following in zip(talks, followings, strict=True):
                talk.go_on(MINUTE)
                follow(following)
        held_mb = peak_mb() - before
        for talk in talks:
            talk.hang_up()
        pairs = list(zip(talks, followings, strict=True))
        with ThreadPoolExecutor(SEALING_TASKS) as hands:
            followed_s = timed(lambda: [*hands.map(lambda pair: one.seal(*pair), pairs)])
            straight_s = timed(lambda: [*hands.map(other.seal, talks)])
    return {
        "calls": calls,
        "call_s": seconds,
        "followed_s": followed_s,
        "straight_s": straight_s,
        "straight_to_followed": straight_s / followed_s,
        "mb_per_followed_call": held_mb / calls,
        "peak_mb": peak_mb(),
    }


def drifting(name: str, seconds: int) -> Row:
    """Seal a call with drifting clocks; return its cost and the error in alignment at the end."""
    with tempfile.TemporaryDirectory() as folder:
        talk, room = Talk(Path(folder)), Room(Path(folder) / "archive")
        apart_ms = talk.drift(name, seconds)
        talk.hang_up()
        straight_s = timed(lambda: room.seal(talk))
        peak = peak_mb()
        step_ms, length_ms = _drifting.out_of_step_ms(room.audio(talk.call_id), seconds, apart_ms)
    return {
        "call_s": seconds,
        "straight_s": straight_s,
        "times_real_time": seconds / straight_s,
        "peak_mb": peak,
        "step_error_ms": step_ms,
        "length_error_ms": length_ms,
    }


def apart(work: Callable[..., Row], *arguments: int | str) -> Row:
    """Run `work` in its own process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def measure(seconds: int, runs: int) -> Row:
    """Measure one length of call, followed and not followed."""
    row: Row = {"call_s": seconds}
    row |= apart(straight, seconds, runs) | apart(followed, seconds, runs)
    row |= apart(hunt, seconds, runs)
    row["straight_to_followed"] = row["straight_s"] / row["followed_s"]
    row["hunt_to_straight"] = row["hunt_s"] / row["straight_s"]
    return row


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description="What sealing a recording costs.")
    parser.add_argument("--quick", action="store_true", help="one run each instead of three")
    parser.add_argument("--long", action="store_true", help="ten hours as well, once")
    options = parser.parse_args()
    signal.alarm(900)
    runs = 1 if options.quick else 3
    figures = {name: measure(s, runs) for name, s in (("3_minutes", 180), ("1_hour", 3600))}
    if options.long:
        figures["10_hours"] = measure(36_000, 1)
    figures["together"] = apart(together, TOGETHER, TOGETHER_S)
    for name, row in figures.items():
        print(
            f"{name:10} {row['followed_s']:6.2f} s after the hang-up if followed, "
            f"{row['straight_s']:6.2f} s if not"
            + (f", {row['hunt_to_straight']:.0%} to look for cards" if "hunt_s" in row else "")
        )
    for name in _drifting.CODECS:
        row = figures[f"drifting_{name}"] = apart(drifting, name, 600 if options.quick else 3600)
        print(
            f"{name:10} {row['straight_s']:6.2f} s for {row['call_s']:.0f} s at 400 ppm: channels "
            f"{row['step_error_ms']:.1f} ms out of step, length {row['length_error_ms']:.1f} ms off"
        )
    rounded = {
        name: {key: round(value, 3) for key, value in row.items()} for name, row in figures.items()
    }
    print(json.dumps({"python": platform.python_version(), **rounded}))


if __name__ == "__main__":
    main()
