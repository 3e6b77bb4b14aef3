"""The folder and the recipients of new spools, and keys that cannot be read."""

import msgspec
import pytest

from galwad.settings import Settings
from galwad.switch.call.spools import CallSpools, SpoolFactory
from recording.age.file import Identity
from recording.errors import KeyFileError
from recording.keys.keyring import OfficerKeys, RecipientSet
from recording.spool import Clock


@pytest.fixture
def officer():
    return OfficerKeys.generate()


@pytest.fixture
def recipients(tmp_path, officer):
    path = tmp_path / "recipients.json"
    path.write_bytes(signed(officer, 1))
    return path


@pytest.fixture
def room(settings):
    return SpoolFactory(settings)


@pytest.fixture
def settings(tmp_path, officer, recipients):
    settings = {
        "node": {"state": tmp_path / "state", "runtime": tmp_path / "run"},
        "sip": {"listen": ["udp:127.0.0.1:5060"]},
        "recording": {"officer_key": officer.public_key, "recipients": recipients},
        "retention": [{"category": "general", "keep": "by hand"}],
    }
    (tmp_path / "run").mkdir()
    return Settings.model_validate(settings)


def signed(officer, serial):
    people = RecipientSet.of([("officer", Identity.generate().recipient)], serial)
    return people.sign(officer.signing)


def fault(room):
    """Return the reason why no recipient could open the next spool."""
    assert room.recipients() is None
    return room.fault


def faultless(room):
    return len(room.recipients()) == 1 and room.fault is None


def test_a_set_of_recipients_signed_by_the_officer_is_accepted(room):
    assert faultless(room)


def test_a_new_set_signed_by_the_officer_is_accepted(room, officer, recipients):
    assert faultless(room)
    recipients.write_bytes(signed(officer, 2))
    assert faultless(room)


def test_a_new_set_signed_by_another_officer_is_refused(room, recipients):
    assert faultless(room)
    recipients.write_bytes(signed(OfficerKeys.generate(), 2))
    assert "not signed by the officer" in fault(room)
    assert "not signed by the officer" in fault(room)


def test_a_set_that_was_edited_after_its_signature_is_refused(room, recipients):
    assert faultless(room)
    content = msgspec.json.decode(recipients.read_bytes())
    content["recipients"][0]["recipient"] = str(Identity.generate().recipient)
    recipients.write_bytes(msgspec.json.encode(content))
    assert "not signed by the officer" in fault(room)


def test_a_deleted_set_of_recipients_is_a_fault(room, recipients):
    assert faultless(room)
    recipients.unlink()
    assert str(recipients) in fault(room)


def test_a_spool_without_valid_recipients_sets_a_fault_until_a_good_set_returns(room, recipients):
    """The set is checked for each spool: it can have changed since the process started."""
    started = Clock(1_772_355_600.0, 5.0)
    room.open("20260301-090000-abcdefgh", 1, started).close(5_000_000)
    assert room.fault is None
    good = recipients.read_bytes()
    recipients.write_bytes(signed(OfficerKeys.generate(), 2))
    room.open("20260301-090000-abcdefgh", 2, started).close(5_000_000)
    assert "not signed by the officer" in str(room.fault)
    recipients.write_bytes(good)
    room.open("20260301-090000-abcdefgh", 3, started).close(5_000_000)
    assert room.fault is None


def test_calls_are_recorded_with_a_boot_key_when_the_host_key_is_unreadable(settings, tmp_path):
    unattended = settings.recording.model_copy(update={"unattended_recovery": True})
    settings = settings.model_copy(update={"recording": unattended})
    (settings.spool_folder / "host.key").mkdir(parents=True)
    room = SpoolFactory(settings)
    assert room.key_fault == f"{settings.spool_folder}/host.key: Is a directory"
    room.open("20260301-090000-abcdefgh", 1, Clock(1_772_355_600.0, 5.0)).close(5_000_000)
    assert (tmp_path / "run" / "boot.key").exists()


def test_an_unreadable_boot_key_is_an_error_and_is_not_replaced_by_a_key_on_disk(settings):
    (settings.node.runtime / "boot.key").mkdir()
    with pytest.raises(KeyFileError):
        SpoolFactory(settings)
    assert not (settings.spool_folder / "host.key").exists()


def test_calls_are_recorded_when_there_is_no_spare_folder(settings):
    settings.spare_folder.parent.mkdir()
    settings.spare_folder.write_text("", encoding="ascii")
    room = SpoolFactory(settings)
    writer = room.open("20261125-090000-abcdefgh", 1, Clock(1_795_597_200.0, 0.0))
    writer.close(0)
    assert writer.path.parent == settings.spool_folder


def test_a_spool_on_the_spare_disk_counts_for_the_next_life_number(room, settings):
    (settings.spare_folder / "20261125-090000-abcdefgh.3.spool").touch()
    assert room.next_life("20261125-090000-abcdefgh", 2) == 4


def test_a_spool_that_a_dead_process_created_is_not_replaced(room, settings):
    call_id, started = "20261125-090000-abcdefgh", Clock(1_795_597_200.0, 0.0)
    left = settings.spool_folder / f"{call_id}.1.spool"
    left.write_bytes(b"left behind")
    spools = CallSpools(room, call_id)
    spools.follow()
    recorder = spools.recorder(started, lambda _: None)
    recorder.close()
    assert (spools.lives, left.read_bytes()) == (2, b"left behind")


def test_the_first_spool_of_a_call_has_number_1_and_a_later_spool_the_next_number_not_in_use(
    room, settings
):
    call_id, started = "20261125-090000-abcdefgh", Clock(1_795_597_200.0, 0.0)
    spools = CallSpools(room, call_id)
    spools.recorder(started, lambda _: None).close()
    assert spools.lives == 1
    (settings.spare_folder / f"{call_id}.2.spool").touch()
    spools.recorder(started, lambda _: None).close()
    assert spools.lives == 3


def test_the_spool_folders_are_not_searched_for_earlier_spools_of_a_new_call(room, monkeypatch):
    searched = []

    def search(call_id, lives):
        searched.append((call_id, lives))
        return 1

    monkeypatch.setattr(room, "next_life", search)
    spools = CallSpools(room, "20261125-090000-abcdefgh")
    spools.recorder(Clock(1_795_597_200.0, 0.0), lambda _: None).close()
    assert (spools.lives, searched) == (1, [])
