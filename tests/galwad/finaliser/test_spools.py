"""Spools in two folders: each is listed once, and a failing disk hides none."""

import pytest

from galwad.finaliser.spools import Spools

ONE, OTHER = "20260301-090000-abcdefgh", "20260301-090001-abcdefgh"


@pytest.fixture
def folders(tmp_path):
    first, spare = tmp_path / "spool", tmp_path / "spare"
    first.mkdir()
    spare.mkdir()
    return first, spare


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


def test_a_spool_in_both_folders_is_listed_once_as_the_finished_copy_in_the_spare_folder(folders):
    first, spare = folders
    touch(first, f"{ONE}.1.spool", f"{OTHER}.1.spool", "host.key")
    touch(spare, f"{ONE}.1.spool", f"{ONE}.2.spool", f".{OTHER}.1.spool.new")
    spools = Spools(first, spare)
    assert spools.by_call() == {
        ONE: [spare / f"{ONE}.1.spool", spare / f"{ONE}.2.spool"],
        OTHER: [first / f"{OTHER}.1.spool"],
    }
    assert spools.of(ONE) == [spare / f"{ONE}.1.spool", spare / f"{ONE}.2.spool"]
    assert spools.places(spare / f"{ONE}.1.spool") == [
        first / f"{ONE}.1.spool",
        spare / f"{ONE}.1.spool",
    ]
    assert spools.places(first / f"{OTHER}.1.spool") == [first / f"{OTHER}.1.spool"]


def test_the_spools_of_a_call_are_in_numerical_order_of_their_lives(folders):
    first, spare = folders
    touch(spare, f"{ONE}.10.spool")
    touch(first, f"{ONE}.9.spool", f"{ONE}.2.spool")
    names = [path.name for path in Spools(first, spare).of(ONE)]
    assert names == [f"{ONE}.{life}.spool" for life in (2, 9, 10)]


def test_spools_are_listed_when_there_is_no_spare_folder(folders):
    first, spare = folders
    spare.rmdir()
    touch(first, f"{ONE}.1.spool")
    assert Spools(first, spare).all() == [first / f"{ONE}.1.spool"]


def test_spools_on_the_spare_disk_are_found_when_the_first_folder_is_missing(folders):
    first, spare = folders
    first.rmdir()
    spools = Spools(first, spare)
    with pytest.raises(FileNotFoundError):
        spools.all()
    assert spools.of(ONE) == []
    touch(spare, f"{ONE}.1.spool")
    assert spools.of(ONE) == [spare / f"{ONE}.1.spool"]
