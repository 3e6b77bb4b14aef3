"""Folders for spools, disks that get full, an office on disk, and processes that die."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from helpers.database import engine
from helpers.recording import crash
from helpers.recording.office import Office
from helpers.recording.packets import rtp
from helpers.recording.small_disks import SmallFiles, SmallTmpfs
from helpers.recording.spools import SpoolRoom, talk
from helpers.root import as_root

__all__ = ["engine"]


@pytest.fixture
def spools(tmp_path: Path) -> SpoolRoom:
    return SpoolRoom(tmp_path)


@pytest.fixture(name="talk")
def _talk():
    return talk


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


@pytest.fixture
def office(tmp_path) -> Office:
    return Office(tmp_path)


@pytest.fixture
def dying(monkeypatch):
    """`with dying("fsync", 3) as died:` ends the process at the third call; `died` names it."""
    return partial(crash.dying, monkeypatch)
