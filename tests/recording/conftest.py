"""A spool room and an office on disk: keys, and writers with a clock that tests turn."""

import contextlib
import io
import itertools
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from helpers.database import engine
from helpers.recording.packets import CALL_ID, US, WALL, rtp, tone
from helpers.root import as_root
from recording.age.file import open_parts
from recording.archive.sealing import SpoolKeys
from recording.archive.store import Archive, SealingNode, folder_of
from recording.archive.verify import verify_recording
from recording.files import atomic as commit
from recording.files.disk import DIRECT_DISK, Disk
from recording.keys.keyring import OfficerKeys, RecipientSet, public_text
from recording.spool import Clock, SpoolReader, SpoolWriter, read_spool

__all__ = ["engine"]

NUMBER = "+442079460123"


@dataclass
class SpoolRoom:
    """Where one test's spools lie."""

    root: Path
    boot_key: bytes = field(default_factory=lambda: os.urandom(32))

    @property
    def folder(self) -> Path:
        return self.root / "spool"

    @property
    def keys(self) -> Path:
        return self.root / "spool-keys"

    def writer(
        self,
        life: int = 1,
        lookback_s: float = 5.0,
        wrap=None,
        folder: Path | None = None,
        disk: Disk = DIRECT_DISK,
    ) -> SpoolWriter:
        self.folder.mkdir(exist_ok=True)
        return SpoolWriter.create(
            folder or self.folder,
            self.keys,
            CALL_ID,
            life,
            self.boot_key,
            wrap,
            Clock(wall=1_700_000_000.0, mono=0.0),
            lookback_s,
            disk,
        )

    def read(self, path: Path, *, crashed: bool = False) -> SpoolReader:
        """`crashed`: with the keys that the dead process left in the runtime folder."""
        keys = self.keys if crashed else None
        return read_spool(path, boot_key=self.boot_key, runtime_keys_folder=keys)


@pytest.fixture
def spools(tmp_path: Path) -> SpoolRoom:
    return SpoolRoom(tmp_path)


@pytest.fixture(scope="session")
def room_class() -> type[SpoolRoom]:
    """For properties, which want a fresh room for each example."""
    return SpoolRoom


def talk(writer: SpoolWriter, seconds: int, *, start: int = 0, every_us: int = 100_000) -> None:
    """Both parties speak: packets on both tracks, a tick each second."""
    for second in range(start, start + seconds):
        for at_us in range(second * 1_000_000, (second + 1) * 1_000_000, every_us):
            writer.packet(0, at_us, b"caller %d" % at_us)
            writer.packet(1, at_us + 1, b"advisor %d" % at_us)
        writer.tick((second + 1) * 1_000_000)


@pytest.fixture(name="talk")
def _talk():
    return talk


class SmallTmpfs:
    """A file system of its own that tests fill up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def free(self) -> None:
        self._filler.unlink()


class SmallFiles:
    """No file of this process grows while the disk is 'full': another error than a full disk's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._usual = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        largest = max(path.stat().st_size for path in self.folder.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 40, self._usual[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._usual)


@pytest.fixture(params=["tmpfs", "rlimit"])
def small_disk(request, tmp_path: Path) -> Iterator[SmallTmpfs | SmallFiles]:
    """A disk that gets full: a real one, and a limit on the length of files."""
    folder = tmp_path / "small"
    folder.mkdir()
    if request.param == "rlimit":
        limited = SmallFiles(folder)
        yield limited
        limited.free()
        return
    owner = f"uid={os.getuid()},gid={os.getgid()}"
    as_root("mount", "-t", "tmpfs", "-o", f"size=512k,{owner}", "tmpfs", str(folder))
    yield SmallTmpfs(folder)
    as_root("umount", str(folder))


@pytest.fixture(name="rtp", scope="session")
def _rtp():
    return rtp


class Call:
    """A call whose packets come every 20 ms, at offsets told by the test."""

    def __init__(
        self, office: "Office", life: int = 1, wall: float = WALL, mono: float = 0.0
    ) -> None:
        clock = Clock(wall=wall, mono=mono)
        office.spools.mkdir(exist_ok=True)
        self.writer = SpoolWriter.create(
            office.spools, office.runtime, CALL_ID, life, office.boot_key, None, clock, 5.0
        )

    def event(self, kind: str, at_us: int, **fields) -> None:
        self.writer.event(kind, fields, at_us)

    def answer(self, at_us: int = 0) -> None:
        self.event("call", at_us, number=NUMBER, withheld=False, line="main", called="100")
        for track in (0, 1):
            self.event("media", at_us, track=track, payloads={"8": ["PCMA", 8000, 1, ""]})
        self.event("answered", at_us, advisor="sian", extension="201")
        self.event("segment", at_us, **{"class": "centre", "to": ""})

    def talk(self, from_us: int, to_us: int, *, kind: int = 8) -> None:
        for at_us in range(from_us, to_us, 20_000):
            for track in (0, 1):
                self.writer.packet(track, at_us, rtp(track, at_us // 20_000, kind=kind))
            if at_us % US == 0:
                self.writer.tick(at_us)

    def end(self, at_us: int) -> Path:
        self.event("ended", at_us, cause="bye")
        self.writer.close(at_us)
        return self.writer.path


@dataclass
class Office:
    """Folders, keys and an archive."""

    root: Path
    officer: OfficerKeys = field(default_factory=OfficerKeys.generate)
    boot_key: bytes = field(default_factory=lambda: os.urandom(32))
    node: SealingNode = field(
        default_factory=lambda: SealingNode("galwad-1", "0.1.0", Ed25519PrivateKey.generate())
    )

    @property
    def spools(self) -> Path:
        return self.root / "spool"

    @property
    def runtime(self) -> Path:
        return self.root / "spool-keys"

    @property
    def archive(self) -> Archive:
        return Archive(self.root / "archive", self.node)

    @property
    def public_key(self) -> str:
        return public_text(self.node.key.public_key())

    @property
    def folder(self) -> Path:
        return self.root / "archive" / folder_of(CALL_ID)

    @property
    def keys(self) -> SpoolKeys:
        return SpoolKeys(self.boot_key, self.runtime)

    @property
    def recipients(self) -> RecipientSet:
        return RecipientSet.of([("Officer", self.officer.identity.recipient)], 1)

    tone = staticmethod(tone)

    def call(self, life: int = 1, wall: float = WALL, mono: float = 0.0) -> Call:
        return Call(self, life, wall, mono)

    def simple(self) -> Path:
        """Four seconds of talk, properly ended."""
        call = self.call()
        call.answer()
        call.talk(0, 4_000_000)
        return call.end(4_000_000)

    def seal(self, *paths: Path, following=None):
        return self.archive.seal(CALL_ID, paths, self.keys, self.recipients, following)

    def follow(self, path: Path):
        return self.archive.begin_live(CALL_ID, path, self.keys)

    def audio(self) -> tuple[np.ndarray, int]:
        header = (self.folder / f"{CALL_ID}.header").read_bytes()
        with (self.folder / f"{CALL_ID}.payload").open("rb") as payload:
            reader = open_parts(header, payload, [self.officer.identity])
            return soundfile.read(io.BytesIO(reader.readall()), dtype="int16")

    def raw(self) -> bytes | None:
        """What could not be decoded, opened; None where there is no such thing."""
        path = self.folder / f"{CALL_ID}.raw"
        if not path.exists():
            return None
        header = (self.folder / f"{CALL_ID}.header").read_bytes()
        with path.open("rb") as raw:
            return open_parts(header, raw, [self.officer.identity]).readall()

    def verdict(self, **more):
        return verify_recording(self.folder, CALL_ID, public_key=self.public_key, **more)


@pytest.fixture
def office(tmp_path) -> Office:
    return Office(tmp_path)


@pytest.fixture(scope="session")
def office_class() -> type[Office]:
    """For properties, which want a fresh office for each example."""
    return Office


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture
def dying(monkeypatch):
    """`with dying("fsync", 3) as died:` the third call is the process's end; `died` tells of it."""

    @contextlib.contextmanager
    def dying(call_name, nth):
        places = {"rename": Path, "sync_folder": commit}
        target, calls, died = places.get(call_name, os), itertools.count(1), []
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

    return dying
