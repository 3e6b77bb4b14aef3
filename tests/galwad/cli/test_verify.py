"""Proving recordings whole: what is wrong is named, whatever byte it is."""

from __future__ import annotations

import hashlib

import pytest

CALL = "20261125-093000-abcdefgh"


@pytest.fixture
def folder(archive, tmp_path):
    """An archive's folder with one recording."""
    path = tmp_path / "archive" / "2026" / "11" / "25"
    path.mkdir(parents=True)
    (path / f"{CALL}.header").write_bytes(archive.header)
    (path / f"{CALL}.payload").write_bytes(archive.payload)
    (path / f"{CALL}.manifest").write_text(f'{{"payload_sha256": "{archive.digest}"}}')
    return path


def damage(file, where):
    data = bytearray(file.read_bytes())
    data[where] ^= 1
    file.write_bytes(data)


def test_a_whole_recording_is_whole(run, folder, officer, tmp_path):
    done = run("recordings", "verify", tmp_path / "archive")
    assert (done.status, done.out) == (0, f"{CALL}  whole\n")
    opened = run("recordings", "verify", folder, "--identity", officer)
    assert opened.out == f"{CALL}  whole (opened to its end)\n"


@pytest.mark.parametrize("where", [0, 20, 70_000, -1])
def test_a_changed_byte_of_the_payload_is_found_without_a_key(run, folder, where):
    damage(folder / f"{CALL}.payload", where)
    done = run("recordings", "verify", folder)
    assert done.status == 1
    assert "NOT WHOLE: its payload was changed" in done.out
    assert done.err.startswith("error: 1 of 1 not whole\nhint: ")


@pytest.mark.parametrize("where", [0, 20, 70_000, -1])
def test_a_change_that_the_manifest_covers_up_is_found_with_the_key(run, folder, officer, where):
    damage(folder / f"{CALL}.payload", where)
    digest = hashlib.sha256((folder / f"{CALL}.payload").read_bytes()).hexdigest()
    (folder / f"{CALL}.manifest").write_text(digest)
    done = run("recordings", "verify", folder, "--identity", officer)
    assert done.status == 1
    assert "NOT WHOLE" in done.out


def test_a_cut_tail_is_found(run, folder, officer):
    payload = folder / f"{CALL}.payload"
    payload.write_bytes(payload.read_bytes()[:-65_552])
    assert run("recordings", "verify", folder).status == 1


@pytest.mark.parametrize("part", ["header", "payload", "manifest"])
def test_a_missing_part_is_named(run, folder, part):
    (folder / f"{CALL}.{part}").unlink()
    done = run("recordings", "verify", folder, "--json")
    assert done.json()[0]["problems"] == [f"its {part} is missing"]


def test_a_folder_without_recordings_proves_nothing(run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run("recordings", "verify", tmp_path / "empty").status == 1
    assert run("recordings", "verify", tmp_path / "none").status == 1


def test_the_server_says_when_the_manifest_is_not_the_indexed_one(run, server):
    done = run("recordings", "verify", CALL)
    assert done.status == 1
    assert "its manifest is not the one that was indexed" in done.out
