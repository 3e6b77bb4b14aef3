"""A folder for one test's spools, and talk to write into them."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from helpers.recording.packets import CALL_ID
from recording.files.disk import DIRECT_DISK, Disk
from recording.spool import Clock, SpoolReader, SpoolWriter, read_spool


@dataclass
class SpoolRoom:
    """The folders and boot key of one test's spools."""

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
        """Read a spool; if `crashed`, use the keys that the dead process left at runtime."""
        keys = self.keys if crashed else None
        return read_spool(path, boot_key=self.boot_key, runtime_keys_folder=keys)


def talk(writer: SpoolWriter, seconds: int, *, start: int = 0, every_us: int = 100_000) -> None:
    """Let both parties speak: packets on both tracks, with a tick each second."""
    for second in range(start, start + seconds):
        for at_us in range(second * 1_000_000, (second + 1) * 1_000_000, every_us):
            writer.packet(0, at_us, b"caller %d" % at_us)
            writer.packet(1, at_us + 1, b"advisor %d" % at_us)
        writer.tick((second + 1) * 1_000_000)
