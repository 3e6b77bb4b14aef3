"""Rows, files and spools without their counterparts are named with a fix, and not changed."""

import os
import time

import pytest

from recording.index.orphans import UnsealedSpool, orphans, spool_orphans

CALL_ID = "20260301-090000-abcdefgh"
OTHER = "20260301-091000-bcdefghi"
LATER_S = 700.0
DAY_S = 86_400.0


@pytest.fixture
def archive(office):
    """A real archive with one recording."""
    office.seal(office.simple())
    return office.root / "archive"


def found(archive, rows, spools=(), *, after=LATER_S, disposed=frozenset()):
    named = {spool.name: spool for spool in spools}
    return list(orphans(archive, rows, disposed, named, time.time() + after))


def kinds(*arguments, **more):
    return [orphan.kind for orphan in found(*arguments, **more)]


ROWS = {CALL_ID: "2026/03/01"}


def test_a_complete_recording_is_not_an_orphan(archive):
    assert found(archive, ROWS) == []


def test_a_row_without_files_is_reported(archive):
    (orphan,) = found(archive, {**ROWS, OTHER: "2026/03/01"})
    assert (orphan.kind, orphan.call_id) == ("row without files", OTHER)


def test_a_recording_without_a_row_is_reported_once_it_is_older_than_a_few_minutes(archive):
    assert kinds(archive, {}, after=1.0) == []
    (orphan,) = found(archive, {})
    assert (orphan.kind, orphan.name) == ("files without row", f"2026/03/01/{CALL_ID}")
    assert "whole recording" in orphan.text


@pytest.mark.parametrize(
    ("lost", "kind"),
    [
        ("payload", "manifest without payload"),
        ("header", "no header"),
        ("manifest", "no manifest"),
    ],
)
def test_a_missing_object_is_reported(archive, office, lost, kind):
    (office.folder / f"{CALL_ID}.{lost}").unlink()
    (orphan,) = found(archive, ROWS)
    assert orphan.kind == kind
    assert f"this recording has no {lost}" in orphan.text


def test_a_header_beside_the_certificate_of_its_disposal_is_reported(archive, office):
    """This happens when a file copy from before the disposal is put back."""
    (office.folder / f"{CALL_ID}.disposal").write_bytes(b"{}")
    assert kinds(archive, ROWS, after=1.0) == [], "it is being disposed of"
    (orphan,) = found(archive, ROWS)
    assert (orphan.kind, orphan.name) == ("header of a disposal", f"2026/03/01/{CALL_ID}")
    (office.folder / f"{CALL_ID}.header").unlink()
    assert found(archive, ROWS, disposed={CALL_ID}) == []


def test_a_disposal_certificate_that_is_not_in_the_index_is_reported(archive, office):
    """The reply to the purge was lost, or the file was planted to hide the recording."""
    (office.folder / f"{CALL_ID}.disposal").write_bytes(b"{}")
    (office.folder / f"{CALL_ID}.header").unlink()
    (orphan,) = found(archive, ROWS)
    assert (orphan.kind, orphan.name) == ("disposal without row", f"2026/03/01/{CALL_ID}")
    assert kinds(archive, ROWS, after=1.0) == []


def test_files_without_a_manifest_and_a_spool_are_reported(archive, office):
    (office.folder / f"{CALL_ID}.manifest").unlink()
    (orphan,) = found(archive, {})
    assert orphan.name == f"2026/03/01/{CALL_ID}.header"
    assert "there is no spool to make a new one from" in orphan.text


def test_files_of_a_call_that_still_has_a_spool_are_not_orphans(archive, office):
    (office.folder / f"{CALL_ID}.manifest").unlink()
    assert kinds(archive, {}, [UnsealedSpool(f"{CALL_ID}.1.spool", CALL_ID, 0.0)]) == []


def test_files_in_another_folder_than_the_indexed_one_are_reported(archive, office):
    office.folder.rename(office.folder.with_name("02"))
    (orphan,) = found(archive, ROWS)
    assert (orphan.kind, orphan.name) == ("files of another day", f"2026/03/02/{CALL_ID}")
    assert "2026/03/01" in orphan.text


def test_an_unfinished_file_left_by_a_crash_is_reported_after_a_day(archive, office):
    part = office.folder / f".{OTHER}.payload.part"
    part.write_bytes(bytes(16))
    assert kinds(archive, ROWS) == []
    assert kinds(archive, ROWS, after=DAY_S + 1) == ["unfinished file"]


def test_an_empty_archive_is_reported_once_and_not_for_each_row(archive, office):
    rows = {f"20260301-09{n // 60:02}{n % 60:02}-abcdefgh": "2026/03/01" for n in range(3000)}
    for path in office.folder.iterdir():
        path.unlink()
    (orphan,) = found(archive, rows)
    assert (orphan.kind, orphan.call_id) == ("archive is empty", "")
    assert "3000 recordings" in orphan.text


def test_files_of_one_call_in_two_day_folders_are_reported_for_each_folder(archive, office):
    """One call may have files in two folders; they are reported in order of date."""
    later = archive / "2026" / "12" / "31"
    later.mkdir(parents=True)
    for suffix in ("payload", "header", "manifest"):
        (later / f"20261231-090000-abcdefgh.{suffix}").touch()
    (office.folder / f"{CALL_ID}.header").rename(later / f"{CALL_ID}.header")
    rows = {**ROWS, "20261231-090000-abcdefgh": "2026/12/31"}
    assert [(each.kind, each.name) for each in found(archive, rows)] == [
        ("no header", f"2026/03/01/{CALL_ID}"),
        ("files of another day", f"2026/12/31/{CALL_ID}"),
    ]


def test_a_missing_archive_is_reported_only_if_the_index_has_rows(tmp_path):
    assert found(tmp_path / "archive", {}) == []
    assert kinds(tmp_path / "archive", ROWS) == ["archive is empty"]


def test_files_that_belong_to_no_recording_are_ignored(archive, office):
    (office.folder / "notes.txt").write_text("x")
    (archive / "galwad-1.pub").write_text("x")
    assert found(archive, ROWS) == []


def test_a_check_for_orphans_changes_no_file(archive, office):
    (office.folder / f"{CALL_ID}.header").unlink()
    before = {path: path.stat().st_mtime_ns for path in archive.rglob("*")}
    assert found(archive, {OTHER: "2026/03/01"})
    assert {path: path.stat().st_mtime_ns for path in archive.rglob("*")} == before


def test_a_file_that_vanishes_during_the_check_is_not_an_error(archive, office):
    (office.folder / f"{OTHER}.header").symlink_to("nowhere")
    assert [o.call_id for o in found(archive, ROWS)] == [OTHER]


def test_unsealed_spools_are_reported_with_their_reason(archive):
    spools = {
        name: UnsealedSpool(name, call_id, 1000.0, why)
        for name, call_id, why in (
            ("a.1.spool", CALL_ID, "recording.locked"),
            ("b.1.spool", OTHER, "recording.not_sealed"),
        )
    }
    assert list(spool_orphans(spools, {CALL_ID}, 1100.0)) == []
    locked, stranger = spool_orphans(spools, {CALL_ID}, 2000.0)
    assert (locked.kind, stranger.kind) == ("spool not sealed", "spool without call")
    assert locked.why == "recording.locked"
    assert "recording.not_sealed" in stranger.text


def test_files_and_spools_dated_in_the_future_are_reported_at_once(archive, office):
    """A forged date, or a clock that was ahead, does not hide a file for years."""
    (office.folder / f"{CALL_ID}.header").unlink()
    part = office.folder / f".{OTHER}.payload.part"
    part.touch()
    ahead = time.time() + 10 * DAY_S
    for path in office.folder.iterdir():
        os.utime(path, (ahead, ahead))
    assert kinds(archive, ROWS, after=0.0) == ["no header", "unfinished file"]
    spool = UnsealedSpool(f"{OTHER}.1.spool", OTHER, ahead)
    (orphan,) = spool_orphans({spool.name: spool}, set(), time.time())
    assert orphan.kind == "spool without call"
