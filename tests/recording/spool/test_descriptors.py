"""No file descriptor stays open when the disk refuses while a spool is opened.

Covers `recording/spool/reader.py`, `recording/spool/keys.py`, `recording/spool/outbox.py` and
`recording/archive/sealing.py`.
"""

import errno
import os
from pathlib import Path

import pytest

from recording.archive.sealing import _in_order
from recording.spool import read_spool
from recording.spool.keys import KeySlots
from recording.spool.outbox import EarlierSpools
from recording.spool.recovery import SpoolKeys


def failing(*_):
    raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def unchanged():
    """Check that a test leaves as many descriptors open as there were before."""
    folder = Path("/proc/self/fd")
    before = len(list(folder.iterdir()))
    yield
    assert len(list(folder.iterdir())) == before


@pytest.fixture
def path(spools, talk):
    writer = spools.writer()
    talk(writer, 1)
    writer.close(1_000_000)
    return writer.path


def test_a_spool_is_closed_if_its_header_cannot_be_read(spools, path, unchanged, monkeypatch):
    with monkeypatch.context() as disk:
        disk.setattr(os, "pread", failing)
        with pytest.raises(OSError, match="Input/output"):
            read_spool(path, boot_key=spools.boot_key)


def test_an_opened_spool_is_closed_if_the_next_spool_cannot_be_opened(spools, path, unchanged):
    keys = SpoolKeys(spools.boot_key)
    with pytest.raises(FileNotFoundError) as raised:
        _in_order([path, path.with_name("gone.spool")], keys)
    assert open_files(path) == 0, raised  # whose traceback holds the reader: it lives still


def open_files(path):
    links = (os.path.realpath(each) for each in Path("/proc/self/fd").iterdir())
    return sum(link == str(path) for link in links)


@pytest.mark.parametrize("written", [failing, lambda *_: 3])
def test_a_key_file_is_closed_and_removed_if_its_first_write_fails(
    tmp_path, unchanged, monkeypatch, written
):
    path = tmp_path / "keys" / "call.1.keys"
    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", written)
        with pytest.raises(OSError, match=r"Input/output|No space"):
            KeySlots(path, bytes(32))
    assert not path.exists()


def test_duplicated_descriptors_are_closed_if_a_copy_cannot_start(tmp_path, unchanged, monkeypatch):
    (tmp_path / "file").touch()
    first, second, beside = (os.open(tmp_path / "file", os.O_RDONLY) for _ in range(3))
    spools = EarlierSpools()
    spools.add(first, "call.1.spool")
    spools.add(second, "call.2.spool")
    real, given = os.dup, []

    def one(fd):
        given.append(fd)
        return real(fd) if len(given) == 1 else failing()

    with monkeypatch.context() as disk:
        disk.setattr(os, "dup", one)
        with pytest.raises(OSError, match="Input/output"):
            spools.copy_to(beside, tmp_path)
    spools.close()
