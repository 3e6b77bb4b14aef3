"""What sealing costs: from a closed spool to a signed manifest, beside a floor.

    python benchmarks/sealing.py [--quick]

Calls of G.711 noise (the worst case for FLAC) of 3 minutes and an hour (`--quick`: once each
instead of three times). The floor is the same spool merely read, and as many samples of noise
merely encoded by libsndfile. The last line is one JSON object.
"""

import argparse
import json
import platform
import signal
import struct
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.archive import Archive, Node
from recording.burst import unpack_burst
from recording.codecs import PayloadCodec, decoder_for
from recording.keys import OfficerKeys, RecipientSet
from recording.sealing import SpoolKeys
from recording.spool import Clock, SpoolWriter

CALL_ID = "20260301-090000-abcdefgh"
BOOT_KEY = bytes(32)
NOISE = np.random.default_rng(1).integers(0, 256, 1 << 20, dtype=np.uint8).tobytes()


def make_spool(folder: Path, seconds: int) -> Path:
    """A call whose parties both send PCMA every 20 ms."""
    clock = Clock(1_772_355_600.0, 0.0)
    writer = SpoolWriter.create(folder, folder / "keys", CALL_ID, 1, BOOT_KEY, None, clock)
    writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    writer.event("segment", {"class": "centre", "to": ""}, 0)
    for index in range(seconds * 50):
        for track in (0, 1):
            head = struct.pack("!BBHII", 0x80, 8, index & 0xFFFF, index * 160, track)
            at = (index * 320 + track * 1120) % (len(NOISE) - 160)
            writer.packet(track, index * 20_000 + track * 7, head + NOISE[at : at + 160])
        if index % 50 == 49:
            writer.tick((index + 1) * 20_000)
    writer.event("ended", {"cause": "bye"}, seconds * 1_000_000)
    writer.close(seconds * 1_000_000)
    return writer.path


def read(spool: Path) -> None:
    """The spool and nothing else."""
    with SpoolKeys(BOOT_KEY).open(spool) as reader:
        for _ in reader.gathered(unpack_burst):
            pass


def encode(seconds: int, path: Path) -> None:
    """As much noise into a file."""
    decoder = decoder_for(PayloadCodec("PCMA", 8000))
    if decoder is None:
        raise SystemExit("no decoder")
    block = decoder.decode(NOISE[:16_000]).reshape(-1, 2)
    with soundfile.SoundFile(path, "w", 8000, 2, "PCM_16", format="FLAC") as file:
        for _ in range(seconds):
            file.write(block)


def floor(spool: Path, seconds: int) -> float:
    """Seconds to read the spool and to encode as much noise."""
    begun = time.perf_counter()
    read(spool)
    encode(seconds, spool.with_name("floor.flac"))
    return time.perf_counter() - begun


def measure(seconds: int, runs: int) -> dict[str, float]:
    """The best of some runs, each with its floor."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spool = make_spool(folder, seconds)
        officer = OfficerKeys.generate()
        signed = folder / "recipients.json"
        named = [("Officer", officer.identity.recipient)]
        signed.write_bytes(RecipientSet.of(named, 1).sign(officer.signing))
        recipients = RecipientSet.load(signed, officer.public_key)
        seal_s, floor_s, size = [], [], 0
        for run in range(runs):
            node = Node("bench", "bench", Ed25519PrivateKey.generate())
            archive = Archive(folder / f"archive{run}", node)
            keys = SpoolKeys(BOOT_KEY)
            floor_s.append(floor(spool, seconds))
            begun = time.perf_counter()
            size = archive.seal(CALL_ID, [spool], keys, recipients).manifest.payload.size
            seal_s.append(time.perf_counter() - begun)
        spool_size = spool.stat().st_size
    return {
        "call_s": seconds,
        "seal_s": round(min(seal_s), 3),
        "floor_s": round(min(floor_s), 3),
        "seal_to_floor": round(min(seal_s) / min(floor_s), 2),
        "times_real_time": round(seconds / min(seal_s)),
        "spool_bytes_per_call_hour": spool_size * 3600 // seconds,
        "archive_bytes_per_call_hour": size * 3600 // seconds,
    }


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description="What sealing a recording costs.")
    parser.add_argument("--quick", action="store_true", help="one run each instead of three")
    runs = 1 if parser.parse_args().quick else 3
    signal.alarm(300)
    figures = {name: measure(s, runs) for name, s in (("3_minutes", 180), ("1_hour", 3600))}
    for name, row in figures.items():
        print(f"{name:10} sealed in {row['seal_s']} s, floor {row['floor_s']} s")
    print(json.dumps({"python": platform.python_version(), **figures}))


if __name__ == "__main__":
    main()
