"""The watched folder: which of its entries are imported, whatever another system puts there."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callerid import import_folder
from callerid.errors import WatchedFileError
from callerid.import_folder import FAILED, LAST_REPORT, ImportFolder
from helpers.root import as_root

REPORT = "people.csv: 1 added\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(import_folder, "QUIET_S", 0.0)
    path = tmp_path / "import"
    path.mkdir(mode=0o750)
    return path


def write(folder, name, text="reference,name,numbers\n", written=0):
    path = folder / name
    path.write_text(text)
    if written:
        os.utime(path, (written, written))
    return path


def found(watched):
    file = watched.next_file()
    assert file is not None
    return file


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_oldest_file_comes_first_so_that_the_newest_stays_in_force(folder):
    write(folder, "a.csv", written=300)
    write(folder, "b.csv", written=100)
    write(folder, "c.csv", written=200)
    names = []
    with ImportFolder(folder) as watched:
        while file := watched.next_file():
            names.append(file.name)
            watched.accept(file, REPORT)
    assert names == ["b.csv", "c.csv", "a.csv"]


def test_only_names_that_end_with_csv_and_do_not_begin_with_a_dot_count(folder):
    for name in (".people.csv", "people.csv.part", "people.txt", "people.CSV", "csv"):
        write(folder, name)
    with ImportFolder(folder) as watched:
        assert watched.next_file() is None


def test_a_file_that_is_still_being_written_is_not_imported(folder, monkeypatch):
    path = write(folder, "people.csv", "reference,")
    parts, seen = ["name,", "numbers\n", "C-1,Elin,01632 960001\n"], []

    def sleep(_seconds):
        seen.append(path.stat().st_size)
        if parts:
            with path.open("a") as file:
                file.write(parts.pop(0))

    monkeypatch.setattr(time, "sleep", sleep)
    with ImportFolder(folder) as watched, found(watched).open() as file:
        assert file.read().decode() == "reference,name,numbers\nC-1,Elin,01632 960001\n"
    assert len(seen) == 4


def test_a_file_that_was_written_or_replaced_during_its_import_is_found_and_kept(folder):
    path = write(folder, "people.csv", "old")
    with ImportFolder(folder) as watched:
        file = found(watched)
        write(folder, "people.csv.part", "new").rename(path)
        with pytest.raises(WatchedFileError, match="has changed while it was imported"):
            file.check_unchanged()
        watched.accept(file, REPORT)
        watched.refuse(file, REPORT)
    assert path.read_text() == "new"


def test_an_imported_file_is_removed_and_only_its_report_stays(folder):
    write(folder, "people.csv")
    with ImportFolder(folder) as watched:
        watched.accept(found(watched), REPORT)
    assert names_in(folder) == [LAST_REPORT]
    assert (folder / LAST_REPORT).read_text() == REPORT


def test_a_refused_file_and_its_report_stay_in_a_folder_until_they_are_removed(folder):
    write(folder, "people.csv", "bad")
    with ImportFolder(folder) as watched:
        watched.refuse(found(watched), "people.csv:1: bad\n")
        assert watched.next_file() is None
        assert names_in(folder) == [FAILED]
        assert names_in(folder / FAILED) == ["people.csv", "people.csv.report.txt"]
        assert (folder / FAILED / "people.csv.report.txt").read_text() == "people.csv:1: bad\n"
        (folder / FAILED / "kept").mkdir()
        watched.remove_refused()
    assert names_in(folder / FAILED) == ["kept"]


def make_link(path):
    target = path.with_name("secret")
    target.write_text("reference,name,numbers\n")
    path.symlink_to(target)


def make_hard_link(path):
    target = path.with_name("secret")
    target.write_text("reference,name,numbers\n")
    path.hardlink_to(target)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def make_device(path):
    as_root("mknod", str(path), "c", "1", "5")


def make_foreign(path):
    path.write_text("reference,name,numbers\n")
    as_root("chown", "12345", str(path))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_link, "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
        (make_socket, "is not a regular file"),
        (make_device, "is not a regular file"),
        (Path.mkdir, "is not a regular file"),
        (make_foreign, "belongs to another user than the folder"),
        (make_hard_link, "has a second name"),
    ],
)
def test_anything_but_a_plain_file_of_the_folders_owner_is_refused(folder, make, problem):
    path = folder / "people.csv"
    make(path)
    with ImportFolder(folder) as watched:
        file = found(watched)
        with pytest.raises(WatchedFileError, match=problem):
            file.open()
        watched.refuse(file, REPORT)
        assert watched.next_file() is None
    assert (folder / FAILED / "people.csv").lstat()


def test_a_link_that_replaces_the_file_after_the_check_is_not_followed(folder):
    path = write(folder, "people.csv")
    with ImportFolder(folder) as watched:
        file = found(watched)
        path.unlink()
        make_link(path)
        with pytest.raises(WatchedFileError, match="cannot be read"):
            file.open()


def test_another_file_that_takes_the_name_after_the_check_is_not_opened(folder):
    path = write(folder, "people.csv", "old")
    with ImportFolder(folder) as watched:
        file = found(watched)
        write(folder, "people.csv.part", "new").rename(path)
        with pytest.raises(WatchedFileError, match="has changed while it was opened"):
            file.open()


def test_a_link_in_place_of_the_folder_of_refused_files_is_not_followed(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write(elsewhere, "kept")
    (folder / FAILED).symlink_to(elsewhere)
    write(folder, "people.csv")
    with ImportFolder(folder) as watched:
        file = found(watched)
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            watched.refuse(file, REPORT)
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            watched.remove_refused()
    assert names_in(elsewhere) == ["kept"]


def test_a_link_in_place_of_a_report_is_replaced_and_not_followed(folder, tmp_path):
    target = write(tmp_path, "target", "untouched")
    for name in (LAST_REPORT, ".report.new"):
        (folder / name).symlink_to(target)
    write(folder, "people.csv")
    with ImportFolder(folder) as watched:
        watched.accept(found(watched), REPORT)
    assert target.read_text() == "untouched"
    assert not (folder / LAST_REPORT).is_symlink()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "cannot be used: No such file or directory"),
        (Path.touch, "cannot be used: Not a directory"),
        (lambda path: path.symlink_to(path.parent), "cannot be used"),
        (lambda path: (path.mkdir(), path.chmod(0o777)), "must not be writable for every user"),
    ],
)
def test_a_folder_that_cannot_be_trusted_is_an_error(tmp_path, make, problem):
    path = tmp_path / "folder"
    make(path)
    with pytest.raises(WatchedFileError, match=problem):
        ImportFolder(path)


NAMES = st.builds(
    lambda body, end: body + end,
    st.binary(min_size=1, max_size=120).map(lambda raw: raw.replace(b"/", b"").replace(b"\0", b"")),
    st.sampled_from([b".csv", b"\n.csv", b"\x1b[31m.csv", b""]),
).filter(lambda name: name not in {b"", b".", b".."})


@settings(deadline=None)
@given(st.sets(NAMES, max_size=5))
def test_any_file_name_is_handled_and_shown_only_as_printable_ascii(names):
    """Each name is a real file, so the operating system decides which names there are."""
    with tempfile.TemporaryDirectory() as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_folder, "QUIET_S", 0.0)
        folder = os.fsencode(made)
        for name in names:
            Path(os.fsdecode(os.path.join(folder, name))).touch()  # noqa: PTH118 - bytes
        with ImportFolder(Path(made)) as watched:
            while file := watched.next_file():
                assert file.shown_name.isprintable()
                assert file.shown_name.isascii()
                with contextlib.suppress(WatchedFileError), file.open():
                    assert file.shown_name == file.name
                watched.refuse(file, REPORT)
        left = {name for name in os.listdir(folder) if name != FAILED.encode()}  # noqa: PTH208
        assert left == {
            name for name in names if not name.endswith(b".csv") or name.startswith(b".")
        }
