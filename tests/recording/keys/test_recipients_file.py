"""An older set of recipients that is put back is refused; the newest set stays in force."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from recording.age.file import Identity
from recording.errors import KeySetError
from recording.files.atomic import read_small
from recording.keys import keyring
from recording.keys.keyring import OfficerKeys, RecipientSet, RecipientsFile

FORMER, PRESENT = Identity.generate().recipient, Identity.generate().recipient


class Room:
    """An officer, and the file on the server."""

    def __init__(self, folder):
        self.officer = OfficerKeys.generate()
        self.path = folder / "recipients.json"
        self.copies = tuple(folder / each / "newest.json" for each in ("keys", "switch"))

    def put(self, serial, *keys, at="2026-11-25T09:00:00Z", by=None):
        named = RecipientSet.of([("one", key) for key in keys], serial).named
        content = RecipientSet(named, serial, at).sign((by or self.officer).signing)
        self.path.write_bytes(content)
        return content

    @property
    def file(self):
        return RecipientsFile(self.path, self.copies, self.officer.public_key)

    def lose(self, copy, how):
        """Lose a copy of the newest set, and the place for another."""
        match how:
            case "missing":
                shutil.rmtree(copy.parent)
            case "replaced":
                shutil.rmtree(copy.parent)
                copy.parent.write_text("not a folder")
            case "emptied":
                copy.write_bytes(b"")
            case "full":
                shutil.rmtree(copy.parent)
                copy.parent.symlink_to("/dev/full")

    def in_force(self):
        """Return the keys in force, as a process that has just started reads them."""
        return self.file.load().recipients.recipients


@pytest.fixture
def room(tmp_path):
    return Room(tmp_path)


def test_a_set_with_a_lower_number_is_refused_and_the_newest_set_stays_in_force(room):
    room.put(1, FORMER)
    assert room.in_force() == [FORMER]
    newest = room.put(2, PRESENT)
    assert room.in_force() == [PRESENT]
    room.put(1, FORMER)
    assert room.in_force() == [PRESENT]
    found = room.file.load()
    assert found.content == newest
    assert found.put_back is not None
    assert found.put_back.serial == 1


def test_the_officer_can_return_to_an_earlier_recipient_with_a_higher_serial_number(room):
    for serial, key in ((1, FORMER), (2, PRESENT), (3, FORMER)):
        room.put(serial, key)
        assert room.in_force() == [key]


def test_the_later_of_two_sets_with_the_same_serial_number_is_in_force(room):
    room.put(1, PRESENT, at="2026-11-25T10:00:00Z")
    assert room.in_force() == [PRESENT]
    room.put(1, FORMER, at="2026-11-25T09:00:00Z")
    assert room.in_force() == [PRESENT]
    room.put(1, FORMER, at="2026-11-25T11:00:00Z")
    assert room.in_force() == [FORMER]


def test_a_new_officers_set_is_in_force_even_with_a_lower_number(room):
    room.put(7, PRESENT)
    room.in_force()
    room.officer = OfficerKeys.generate()
    room.put(1, FORMER)
    assert room.in_force() == [FORMER]


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff"])
def test_a_damaged_copy_is_replaced_by_the_set_in_the_file(room, damage):
    for copy in room.copies:
        copy.parent.mkdir()
        copy.write_bytes(damage)
    content = room.put(1, PRESENT)
    assert room.in_force() == [PRESENT]
    assert [copy.read_bytes() for copy in room.copies] == [content, content]


WAYS = ["missing", "replaced", "emptied", "full"]


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("how", WAYS)
def test_an_older_set_is_refused_if_one_of_the_two_copies_is_lost(room, lost, how):
    """Each call of `in_force` is that of a process that has just started."""
    room.put(1, FORMER)
    assert room.in_force() == [FORMER]
    room.put(2, PRESENT)
    assert room.in_force() == [PRESENT]
    room.lose(room.copies[lost], how)
    room.put(1, FORMER)
    assert room.in_force() == [PRESENT]
    assert room.in_force() == [PRESENT]
    assert room.file.read().put_back is not None


@pytest.mark.parametrize("how", WAYS)
def test_an_older_set_is_refused_by_a_running_process_if_both_copies_are_lost(room, how):
    file = room.file
    room.put(2, PRESENT)
    assert file.load().recipients.recipients == [PRESENT]
    for copy in room.copies:
        room.lose(copy, how)
    room.put(1, FORMER)
    if how in {"missing", "emptied"}:  # the process writes the copies again, for the others
        assert file.load().recipients.recipients == [PRESENT]
        assert room.in_force() == [PRESENT]
    else:
        with pytest.raises(KeySetError, match="number cannot be stored"):
            file.load()
        assert file.read().recipients.recipients == [PRESENT]


@pytest.mark.parametrize("how", ["replaced", "full"])
def test_a_set_whose_number_cannot_be_stored_anywhere_is_not_used(room, how):
    """Otherwise, after a restart, nothing would show that an older set had replaced this one."""
    room.put(1, FORMER)
    assert room.in_force() == [FORMER]
    room.lose(room.copies[0], how)
    room.put(2, PRESENT)
    assert room.in_force() == [PRESENT], "one copy is enough"
    room.lose(room.copies[1], how)
    room.put(3, FORMER)
    with pytest.raises(KeySetError, match="set number 3 is not used") as error:
        room.in_force()
    assert error.value.hint


def test_a_lost_copy_is_written_again(room):
    content = room.put(1, PRESENT)
    room.in_force()
    room.lose(room.copies[0], "missing")
    room.in_force()
    assert room.copies[0].read_bytes() == content


def test_threads_that_write_the_first_copies_at_once_all_use_the_set(room):
    for serial in range(1, 20):
        room.put(serial, PRESENT)
        for copy in room.copies:
            shutil.rmtree(copy.parent, ignore_errors=True)
        start = threading.Barrier(8)

        def load(start=start):
            start.wait()
            return room.in_force()

        with ThreadPoolExecutor(8) as pool:
            found = [each.result() for each in [pool.submit(load) for _ in range(8)]]
        assert found == [[PRESENT]] * 8
        assert all([*copy.parent.iterdir()] == [copy] for copy in room.copies)


def test_an_unsigned_or_missing_set_is_refused_even_if_there_is_a_copy(room):
    room.put(1, PRESENT)
    room.in_force()
    room.put(2, FORMER, by=OfficerKeys.generate())
    with pytest.raises(KeySetError):
        room.in_force()
    room.path.unlink()
    with pytest.raises(KeySetError):
        room.in_force()


def test_reading_without_loading_writes_nothing(room):
    room.put(1, PRESENT)
    assert set(room.file.read().missing) == set(room.copies)
    assert not any(copy.exists() for copy in room.copies)


def test_an_unchanged_set_is_verified_once(room, monkeypatch):
    """The file is read for each call that ends, but its content has not changed."""
    room.put(1, PRESENT)
    verified = []
    real = keyring.parse_public

    def noted(officer_key):
        verified.append(officer_key)
        return real(officer_key)

    monkeypatch.setattr(keyring, "parse_public", noted)
    for _ in range(5):
        assert room.file.read().recipients.recipients == [PRESENT]
    assert len(verified) == 1


def test_a_changed_set_of_the_same_size_and_time_is_in_force_at_the_next_load(room):
    file = room.file
    room.put(1, FORMER)
    assert file.load().recipients.recipients == [FORMER]
    before = room.path.stat()
    room.put(2, PRESENT)
    os.utime(room.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert room.path.stat().st_size == before.st_size
    assert file.load().recipients.recipients == [PRESENT]


@pytest.fixture
def remembered(room, monkeypatch):
    """A process that has read the files and remembers them, and the list of files that it reads."""
    monkeypatch.setattr(keyring, "_SETTLED_NS", -(10**18))
    room.put(1, FORMER)
    file = room.file
    file.load()
    file.load()
    paths = []

    def noted(path):
        paths.append(path)
        return read_small(path)

    monkeypatch.setattr(keyring, "read_small", noted)
    return file, paths


def test_files_that_have_not_changed_are_not_read_again(remembered):
    file, paths = remembered
    for _ in range(3):
        assert file.load().recipients.recipients == [FORMER]
    assert not paths


def test_a_new_set_that_replaces_a_remembered_set_is_in_force_at_the_next_load(room, remembered):
    file, paths = remembered
    old = room.path.with_name("old.json")
    room.path.rename(old)
    room.put(2, PRESENT)
    assert file.load().recipients.recipients == [PRESENT]
    assert set(paths) == {room.path, *room.copies}
    old.replace(room.path)
    found = file.load()
    assert found.recipients.recipients == [PRESENT]
    assert found.put_back is not None


@pytest.mark.parametrize("how", ["missing", "emptied"])
def test_a_remembered_copy_that_is_lost_is_written_again(room, remembered, how):
    file, _ = remembered
    room.lose(room.copies[0], how)
    assert file.load().missing == (room.copies[0],)
    assert room.copies[0].read_bytes() == room.path.read_bytes()
    assert not file.load().missing


def test_a_remembered_set_that_is_removed_is_an_error(room, remembered):
    file, _ = remembered
    room.path.unlink()
    with pytest.raises(KeySetError):
        file.load()


def test_a_verified_set_is_refused_under_another_officers_key(room):
    room.put(1, PRESENT)
    room.in_force()
    other = OfficerKeys.generate()
    with pytest.raises(KeySetError):
        RecipientsFile(room.path, room.copies, other.public_key).load()
