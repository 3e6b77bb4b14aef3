"""Files that get their final name only when they are complete.

Covers `recording/files/atomic.py`.
"""

import os
from pathlib import Path

import pytest

from recording.files.atomic import write_new


@pytest.fixture
def synced(monkeypatch):
    """The path of each file and folder that was synced, in order, with the names in the folder."""
    made, fsync = [], os.fsync

    def note(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        made.append((path, sorted(each.name for each in path.iterdir()) if path.is_dir() else []))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return made


def test_the_folder_of_a_new_file_is_synced_after_the_file_has_its_name(tmp_path, synced):
    write_new(tmp_path / "node.key", b"key", 0o600)
    folder, names = synced[-1]
    assert folder == tmp_path
    assert "node.key" in names


def test_an_existing_file_is_never_replaced(tmp_path):
    path = tmp_path / "node.key"
    path.write_bytes(b"first")
    with pytest.raises(FileExistsError):
        write_new(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
