"""A spool of another boot opens only with an officer's identity."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.spools import SpoolRoom
from recording.age.file import Identity, encrypt_small
from recording.errors import SpoolHeaderError, SpoolKeyError
from recording.spool import EventRecord
from recording.spool.recovery import (
    RecoveredKey,
    SpoolKeys,
    recover_key,
    recovered_keys,
    shred_recovered,
)

FEW = settings(max_examples=examples(50), deadline=None, suppress_health_check=list(HealthCheck))
OFFICER = Identity.generate()
CALL_ID = "20260301-090000-abcdefgh"


def spool_of(spools, *recipients):
    writer = spools.writer(wrap=lambda key: encrypt_small(key, recipients) if recipients else b"")
    writer.event("answered", {"advisor": "sian"}, 0)
    writer.close(1_000_000)
    return writer.path


def test_an_officers_identity_recovers_the_key_of_a_spool_from_another_boot(spools, tmp_path):
    path = spool_of(spools, OFFICER.recipient)
    key = recover_key(path, [Identity.generate(), OFFICER])
    (tmp_path / key.name).write_bytes(bytes(key))
    keys = SpoolKeys(None, None, recovered_keys(tmp_path, [path]))
    with keys.open(path) as reader:
        assert [r.kind for r in reader if isinstance(r, EventRecord)] == ["answered"]
    shred_recovered(tmp_path, path)
    shred_recovered(tmp_path, path)
    assert recovered_keys(tmp_path, [path]) == {}
    assert path.exists()


def test_the_key_is_recovered_from_the_first_130_kilobytes_of_a_spool(spools, tmp_path):
    path = spool_of(spools, OFFICER.recipient)
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes()[: 130 * 1024])
    assert recover_key(copy, [OFFICER]) == recover_key(path, [OFFICER])


def test_the_seconds_lost_in_a_power_cut_are_one_gap(office):
    """Each lost frame had its own key; between two frames there was no sound."""
    call = office.call()
    call.answer()
    call.talk(0, 8_300_000)
    call.writer.abandon()
    keys = SpoolKeys(office.boot_key)  # without the frame keys that were in memory
    sealed = office.archive.seal(CALL_ID, [call.writer.path], keys, office.recipients)
    (gap,) = sealed.manifest.gaps
    assert (gap.reason, gap.trigger) == ("fault", "crash")
    assert [fault.why for fault in sealed.manifest.faults] == [
        "part of the spool cannot be read: unreleased",
        "spool 1 has no end",
    ]
    assert len(sealed.manifest.segments) == 1
    assert gap.to_us - gap.from_us > 4_000_000
    assert sealed.manifest.unexplained == []


def test_an_identity_that_is_not_a_recipient_recovers_no_key(spools):
    path = spool_of(spools, OFFICER.recipient)
    with pytest.raises(SpoolKeyError, match="not for these identities"):
        recover_key(path, [Identity.generate()])


def test_a_spool_without_recipients_cannot_be_recovered(spools):
    with pytest.raises(SpoolKeyError, match="the spool has no key for recipients"):
        recover_key(spool_of(spools), [OFFICER])


def test_a_wrapped_key_that_is_not_the_spools_is_refused(spools):
    writer = spools.writer(wrap=lambda _key: encrypt_small(os.urandom(32), [OFFICER.recipient]))
    writer.close(0)
    with pytest.raises(SpoolKeyError, match="not the spool's key"):
        recover_key(writer.path, [OFFICER])


def test_a_recovered_key_does_not_appear_in_its_repr():
    assert "key" not in repr(RecoveredKey("20260301-090000-abcdefgh", 1, bytes(32)))


def test_recovering_a_key_from_a_file_that_is_not_a_spool_raises_spool_header_error(tmp_path):
    (tmp_path / "a").write_bytes(b"no spool")
    with pytest.raises(SpoolHeaderError):
        recover_key(tmp_path / "a", [OFFICER])


@given(text=st.binary(max_size=200) | st.binary(min_size=32, max_size=32).map(lambda k: k.hex()))
@FEW
def test_a_recovered_key_file_with_a_wrong_key_or_no_key_is_ignored(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("room")
    path = spool_of(SpoolRoom(folder), OFFICER.recipient)
    name = recover_key(path, [OFFICER]).name
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    assert recovered_keys(folder, [path]) == {}
