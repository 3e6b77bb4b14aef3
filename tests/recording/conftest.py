"""A spool room on disk: folders, a boot key, and writers with a clock that tests turn."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recording.spool import Clock, SpoolReader, SpoolWriter, read_spool

CALL_ID = "20260301-090000-abcdefgh"


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
        self, life: int = 1, lookback_s: float = 5.0, wrap=None, folder: Path | None = None
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
    """Where nothing may be mounted: no file of this process grows while the disk is 'full'."""

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
    """A disk that gets full: a real one where we may mount it, and a limit in any case."""
    folder = tmp_path / "small"
    folder.mkdir()
    if request.param == "rlimit":
        limited = SmallFiles(folder)
        yield limited
        limited.free()
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root; the limit stands in for it")
    yield SmallTmpfs(folder)
    subprocess.run(["umount", str(folder)], check=True)
