"""`galwad check` on full, read-only and damaged disks: folders, keys and the database.

Covers `galwad/cli/checks/host.py`, `galwad/cli/checks/keys.py` and `galwad/cli/checks/database.py`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
from pathlib import Path

import pytest

from galwad.host.database import upgrade
from helpers.root import as_root
from helpers.site import Site

DAMAGED = ("database", "fault")


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "node")


@pytest.fixture
def checked(run, site):
    def checked():
        found = run("check", "--json", "--config", site.config).json()
        return {(e["name"], e["text"]): e["grade"] for e in found}

    return checked


@pytest.fixture
def small_disk(site):
    """A disk of 512 kB on which only the spool is."""
    owner = f"uid={os.getuid()},gid={os.getgid()}"
    as_root("mount", "-t", "tmpfs", "-o", f"size=512k,{owner}", "tmpfs", str(site.spool))
    yield site.spool
    as_root("umount", str(site.spool))


def open_files():
    """The paths of the files that this process has open."""
    return [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]


@pytest.mark.peer
def test_the_free_space_of_each_disk_is_reported(checked, site, small_disk):
    rooms = {text: grade for (name, text), grade in checked().items() if name == "disk"}
    assert rooms.pop(f"0.0 GB free under {small_disk}") == "fault"
    [rest] = rooms
    assert rest.endswith(f"GB free under {site.root}/state")


@pytest.mark.peer
def test_a_read_only_disk_is_a_fault_and_the_check_leaves_no_file_behind(checked, site, small_disk):
    told = "disk", f"cannot write to {small_disk}: read-only file system"
    assert told not in checked()
    assert list(small_disk.iterdir()) == []
    as_root("mount", "-o", "remount,ro", str(small_disk))
    assert checked()[told] == "fault"


def test_an_unreadable_key_is_a_fault_and_the_other_checks_still_run(checked, site):
    key = site.root / "run" / "boot.key"
    key.unlink()
    key.mkdir()
    found = checked()
    assert found["disk", f"{key}: is a directory"] == "fault"
    assert "limits" in {name for name, _ in found}


def test_a_file_or_broken_link_in_place_of_the_archive_is_a_fault(checked, site):
    archive = site.settings.archive
    archive.touch()
    assert checked()["state", f"{archive} is not a folder"] == "fault"
    archive.unlink()
    archive.symlink_to("nowhere")
    assert checked()["state", f"{archive} is not a folder"] == "fault"


def test_a_truncated_node_key_is_a_fault(checked, site):
    key = site.root / "state" / "finaliser" / "manifest.key"
    key.parent.mkdir()
    key.write_bytes(bytes(31))
    text = f"{key} is not a key of 32 bytes: no recording can be sealed"
    assert checked()["node key", text] == "fault"
    key.write_bytes(bytes(32))
    assert "node key" not in {name for name, _ in checked()}


def test_a_database_with_a_damaged_page_is_a_fault(checked, site):
    database = site.settings.database
    upgrade(database)

    def told():
        return [text for (name, text), grade in checked().items() if (name, grade) == DAMAGED]

    assert told() == []
    with contextlib.closing(sqlite3.connect(database)) as connection:
        table = "SELECT rootpage FROM sqlite_master WHERE name = 'recording_disposals'"
        (page,) = connection.execute(table).fetchone()  # of a table that is not read here
    with database.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    (text,) = told()
    assert text.startswith("the database is damaged: ")


@pytest.mark.peer
def test_a_full_disk_under_the_database_is_reported_and_leaves_no_file_open(run, site):
    add = (
        "users",
        "add",
        "huw",
        "--role",
        "machine",
        "--right",
        "metrics",
        "--config",
        site.config,
    )
    database = site.settings.database
    database.parent.mkdir(parents=True)
    owner = f"uid={os.getuid()},gid={os.getgid()}"
    as_root("mount", "-t", "tmpfs", "-o", f"size=2m,{owner}", "tmpfs", str(database.parent))
    try:
        upgrade(database)
        with contextlib.suppress(OSError), (database.parent / "filler").open("wb", 0) as file:
            while file.write(bytes(4096)):
                pass
        gc.disable()  # a file that only the garbage collector closes stays open
        done = run(*add)
        assert done.status == 1
        assert "database or disk is full" in done.err
        assert not [file for file in open_files() if file.startswith(str(database.parent))]
        (database.parent / "filler").unlink()
        assert run(*add).status == 0
    finally:
        gc.enable()
        as_root("umount", str(database.parent))
