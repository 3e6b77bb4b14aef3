"""Rewrapping: a header for other recipients replaces the old one, and no header is lost.

Covers `recording/archive/rewrap.py` and `recording/files/atomic.py`.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from recording.age.file import Identity, new_file_key, open_header
from recording.age.header import make_header
from recording.archive.disposal import AuditPlace, DisposalOrder, Disposer
from recording.archive.manifest import Manifest, read_manifest
from recording.archive.rewrap import (
    REWRAP,
    HeaderStatus,
    HeaderStore,
    check_stanzas,
    classify_header,
    facts_of,
    rewrap,
)
from recording.errors import AgeError, HeaderError, HeaderMacError, RewrapError, SpoolKeyError
from recording.keys.keyring import OfficerKeys, RecipientSet, RecipientsFile

CALL_ID = "20260301-090000-abcdefgh"
WALL = 1_772_355_600.25
KINDS = ("header", "manifest", "rewrap")


class Room:
    """One sealed recording, the officer's keys, a deputy, and a set with both in force."""

    def __init__(self, office):
        office.seal(office.simple())
        self.office, self.officer = office, office.officer
        self.deputy = Identity.generate()
        self.set_file = office.root / "recipients.json"
        self.sign(("Officer", self.officer.identity.recipient), ("Deputy", self.deputy.recipient))

    def sign(self, *named, serial=2, by=None):
        self.set = RecipientSet.of(named, serial)
        self.set_file.write_bytes(self.set.sign((by or self.officer).signing))

    @property
    def headers(self):
        return HeaderStore(
            self.office.root / "archive",
            RecipientsFile(
                self.set_file, (self.office.root / "newest.json",), self.officer.public_key
            ),
        )

    def read(self, kind):
        path = self.office.folder / f"{CALL_ID}.{kind}"
        return path.read_bytes() if path.exists() else None

    @property
    def manifest(self):
        return read_manifest(self.read("manifest"))

    @property
    def payload_sha256(self):
        return self.manifest.payload.sha256

    def make(self, recipients=None, signing=None):
        """Return the new header and record as the officer's client makes them."""
        identities = [self.officer.identity, self.deputy]
        signing = signing or self.officer.signing
        return rewrap(
            self.manifest, self.read("header"), identities, recipients or self.set, signing
        )

    def signed(self, new, **changes):
        """Return the record of a replacement with changed facts, signed again."""
        record = msgspec.structs.replace(REWRAP.read(new.record), **changes)
        return REWRAP.sign(record, self.officer.signing)

    def stage(self, new):
        return self.headers.stage(CALL_ID, self.payload_sha256, new.header, new.record)

    def commit(self, new):
        digest = facts_of(new.header).sha256
        self.headers.commit(CALL_ID, self.payload_sha256, digest)

    def put(self, new):
        new.verify(self.stage(new))
        self.commit(new)

    def replace(self):
        new = self.make()
        self.put(new)
        return new

    def judged(self, *keys):
        found = facts_of(self.read("header"))
        return classify_header(self.manifest, found, self.read("rewrap"), keys)

    def verdict(self, **more):
        return self.office.verdict(officer_keys=[self.officer.public_key], **more)

    def opens(self, identity):
        return self.office.verdict(
            officer_keys=[self.officer.public_key], identities=[identity]
        ).whole


@pytest.fixture
def room(office):
    return Room(office)


def test_a_rewrapped_recording_opens_for_the_new_set_and_verifies(room):
    manifest, payload = room.read("manifest"), room.read("payload")
    assert not room.opens(room.deputy)
    room.replace()
    assert room.opens(room.deputy)
    assert room.opens(room.officer.identity)
    assert (room.read("manifest"), room.read("payload")) == (manifest, payload)
    (note,) = (note for note in room.verdict().notes if "rewrapped" in note)
    assert note.endswith(f"to set 2: {', '.join(room.set.fingerprints)}")


@pytest.mark.peer
def test_age_and_pyrage_open_a_rewrapped_recording(room, tmp_path):
    room.sign(("Deputy", room.deputy.recipient), serial=3)
    room.replace()
    joined = room.read("header") + room.read("payload")
    key = tmp_path / "deputy.txt"
    key.write_text(f"{room.deputy}\n")
    opened = subprocess.run(
        ["age", "-d", "-i", key], input=joined, capture_output=True, check=True
    ).stdout
    assert opened[:4] == b"fLaC"
    assert pyrage.decrypt(joined, [pyrage.x25519.Identity.from_str(str(room.deputy))]) == opened


DOCUMENT = Path(__file__).parents[3].joinpath("docs/file-formats.md").read_text(encoding="utf-8")
(BY_HAND,) = [part for part in DOCUMENT.split("\n```\n") if part.startswith("KIND=rewrap")]


def by_hand(room, folder, kind, signer):
    """Run the document's commands in a folder with the record, and return their output."""
    for path in room.office.folder.iterdir():
        shutil.copy(path, folder)
    (folder / "officer.pub").write_text(room.officer.public_key)
    (folder / "NODE.pub").write_text(room.office.public_key)
    first, rest = BY_HAND.replace("ID.", f"{CALL_ID}.").split("\n", 1)
    assert "KIND=disposal SIGNER=NODE.pub" in first
    script = f"exec 2>&1; KIND={kind} SIGNER={signer}\n{rest}"
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False
    ).stdout


@pytest.mark.peer
def test_openssl_verifies_record_and_certificate_with_the_documented_commands(room, tmp_path):
    room.replace()
    folder = tmp_path / "by-hand"
    folder.mkdir()
    said = by_hand(room, folder, "rewrap", "officer.pub")
    assert "Signature Verified Successfully" in said
    assert f"{CALL_ID}.header: OK" in said
    assert "Signature Verified Successfully" not in by_hand(room, folder, "rewrap", "NODE.pub")
    place = AuditPlace("galwad-1", 1, "ab" * 32)
    order = DisposalOrder(CALL_ID, room.payload_sha256, "retention", "user:gwen", place)
    Disposer(room.office.root / "archive", room.office.node).dispose(order)
    said = by_hand(room, folder, "disposal", "NODE.pub")
    assert "Signature Verified Successfully" in said


@given(record=st.binary(max_size=400), key=st.sampled_from(["", "A" * 44]))
def test_random_bytes_are_never_accepted_as_a_rewrap_record(record, key):
    facts = facts_of(b"header")
    known: dict[str, Any] = {"call_id": CALL_ID, "header": facts, "payload": facts}
    manifest = Manifest(**{name: known.get(name, []) for name in Manifest.__struct_fields__})
    found = classify_header(manifest, facts_of(b"other"), record, [key] if key else [])
    assert (found.header, found.record) == (HeaderStatus.UNKNOWN, None)
    assert found.problem


def test_a_replaced_header_is_overwritten_on_the_disk(room, tmp_path):
    """The old header opens the payload too, and a disposal destroys only the new one."""
    path = room.office.folder / f"{CALL_ID}.header"
    before, disk = path.read_bytes(), tmp_path / "the same blocks"
    os.link(path, disk)
    new = room.make()
    room.stage(new)
    assert disk.read_bytes() == before, "until the new one is in its place"
    room.commit(new)
    assert disk.read_bytes() == bytes(len(before))
    assert path.read_bytes() == new.header
    assert room.opens(room.deputy)


def test_a_copy_of_the_old_header_still_opens_after_a_rewrap(room):
    before = room.read("header")
    room.sign(("Deputy", room.deputy.recipient), serial=3)
    room.replace()
    assert not room.opens(room.officer.identity)
    key = open_header(before, [room.officer.identity])
    assert key == open_header(room.read("header"), [room.deputy])


def test_a_rewrapped_header_is_not_trusted_without_the_officers_key(room):
    room.replace()
    (problem,) = room.office.verdict().problems
    assert "--officer-key" in problem
    stranger = OfficerKeys.generate().public_key
    assert room.judged(stranger).problem == "the rewrap is signed by another officer's key"
    assert room.judged(stranger, room.officer.public_key).header is HeaderStatus.REWRAPPED


def test_an_invalid_rewrap_record_beside_the_original_header_is_reported(room):
    """The header is valid; only the rewrap record beside it is not."""
    (room.office.folder / f"{CALL_ID}.rewrap").write_bytes(b"{}")
    assert room.office.verdict().whole
    assert room.verdict().problems == ("the rewrap is malformed",)


def test_a_header_from_before_the_last_rewrap_is_recognised_as_earlier(room):
    first = room.read("header")
    second = room.replace().header
    room.sign(("Deputy", room.deputy.recipient), serial=3)
    room.replace()
    for older in (first, second):
        (room.office.folder / f"{CALL_ID}.header").write_bytes(older)
        assert room.judged(room.officer.public_key).header is HeaderStatus.EARLIER
        assert "before its last rewrap" in room.verdict().problems[0]
        assert room.make().header  # and the officer's client can rewrap it


def test_a_header_that_no_record_names_is_reported(room):
    room.replace()
    other = make_header(new_file_key(), room.set.recipients)
    (room.office.folder / f"{CALL_ID}.header").write_bytes(other)
    assert room.judged(room.officer.public_key).header is HeaderStatus.UNKNOWN
    assert room.verdict().problems == ("the header was changed or swapped: it has another digest",)


def refused(room, new, text):
    """Check that the server refuses the header, and that no file has changed."""
    before = {kind: room.read(kind) for kind in KINDS}
    with pytest.raises(RewrapError, match=text):
        room.put(new)
    assert {kind: room.read(kind) for kind in KINDS} == before


def test_the_server_refuses_a_header_that_the_officer_did_not_sign(room):
    thief = OfficerKeys.generate()
    refused(room, room.make(signing=thief.signing), "another officer's key")
    new = room.make()
    junk = dataclasses.replace(new, header=make_header(new_file_key(), room.set.recipients))
    refused(room, junk, "another header")
    refused(room, dataclasses.replace(new, record=b"{}"), "malformed")
    refused(room, dataclasses.replace(new, header=b"no header\n"), "not an age file")


def test_the_server_refuses_a_header_for_another_set_than_the_one_in_force(room):
    other = RecipientSet.of([("Officer", room.officer.identity.recipient)], 2)
    refused(room, room.make(other), "1 stanzas, but the set has 2")
    two = RecipientSet.of([("a", room.deputy.recipient), ("b", Identity.generate().recipient)], 2)
    refused(room, room.make(two), "does not match set number 2")
    same = RecipientSet.of(zip("ab", room.set.recipients, strict=True), 3)
    refused(room, room.make(same), "does not match set number 2")
    room.set_file.write_text("{}")
    refused(room, room.make(), "set of recipients|malformed")


def test_the_server_refuses_a_header_for_another_recording_or_earlier_header(room):
    new = room.make()
    for changes, text in (
        ({"call_id": "20260301-090000-zzzzzzzz"}, "another recording"),
        ({"payload_sha256": "0" * 64}, "another recording"),
        ({"replaces": "0" * 64}, "replaced meanwhile"),
    ):
        refused(room, dataclasses.replace(new, record=room.signed(new, **changes)), text)
    with pytest.raises(RewrapError, match="digest in the index"):
        room.headers.stage(CALL_ID, "0" * 64, new.header, new.record)


def test_of_two_officers_rewrapping_at_once_only_the_last_staged_commits(room):
    mine, theirs = room.make(), room.make()
    room.stage(mine)
    room.stage(theirs)
    with pytest.raises(RewrapError, match="another header was staged meanwhile"):
        room.commit(mine)
    room.commit(theirs)
    refused(room, mine, "replaced meanwhile")
    room.commit(theirs)  # asked again, it is in force already
    assert room.opens(room.deputy)


def test_the_client_refuses_a_staged_header_that_it_did_not_make(room):
    new = room.make()
    new.verify(new.header)
    with pytest.raises(RewrapError, match="another header"):
        new.verify(make_header(new_file_key(), room.set.recipients))
    other_key = make_header(new_file_key(), room.set.recipients)
    with pytest.raises(HeaderMacError):
        dataclasses.replace(new, header=other_key).verify(other_key)


def test_an_officer_who_leaves_the_set_can_still_rewrap_for_the_successor(room):
    successor = Identity.generate()
    room.sign(("Successor", successor.recipient), serial=3)
    room.replace()
    assert room.opens(successor)


@pytest.mark.parametrize(
    ("call", "nth"),
    [("fsync", n) for n in range(1, 5)] + [("rename", n) for n in (1, 2)],
)
def test_after_a_crash_during_a_rewrap_the_recording_opens_and_the_next_rewrap_works(
    room, dying, call, nth
):
    before = {"header": room.read("header"), "rewrap": None}
    with dying(call, nth) as died:
        room.replace()
    assert died
    assert any(room.opens(identity) for identity in (room.officer.identity, room.deputy)) or (
        room.judged(room.officer.public_key).header is HeaderStatus.EARLIER
        and room.read("header") == before["header"]
    )
    assert open_header(room.read("header"), [room.officer.identity])
    room.replace()
    assert room.opens(room.deputy)


def test_sealing_a_call_again_removes_the_rewrap_record_of_its_old_payload(room):
    """A second spool of the call was found after it was rewrapped."""
    room.replace()
    first = room.office.spools / f"{CALL_ID}.1.spool"
    call = room.office.call(2, wall=WALL + 5)
    call.answer()
    call.talk(0, 1_000_000)
    room.office.seal(first, call.end(1_000_000))
    assert room.read("rewrap") is None
    assert not room.office.verdict(identities=[room.officer.identity]).problems


def test_a_rewrapped_recording_still_opens_after_a_second_spool_could_not_be_opened(
    room, monkeypatch
):
    room.replace()
    call = room.office.call(2, wall=WALL + 5)
    call.answer()
    spools = [room.office.spools / f"{CALL_ID}.1.spool", call.end(1_000_000)]
    monkeypatch.setattr(room.office, "boot_key", bytes(32))
    with pytest.raises(SpoolKeyError):
        room.office.seal(*spools)
    assert room.opens(room.deputy)


@settings(max_examples=examples(60))
@given(count=st.integers(1, 5), wanted=st.integers(1, 5))
def test_a_header_must_have_as_many_stanzas_as_the_set_has_recipients(count, wanted):
    header = make_header(new_file_key(), [Identity.generate().recipient for _ in range(count)])
    if count == wanted:
        check_stanzas(header, wanted)
    else:
        with pytest.raises(HeaderError):
            check_stanzas(header, wanted)


def test_a_header_with_a_repeated_or_passphrase_stanza_is_refused(room):
    header = room.read("header")
    first, stanza, body, mac = header.splitlines(keepends=True)
    with pytest.raises(HeaderError, match="the same"):
        check_stanzas(first + stanza + body + stanza + body + mac, 2)
    scrypt = b"-> scrypt c2FsdHNhbHRzYWx0c2FsdA 18\n"
    with pytest.raises(HeaderError, match="another type"):
        check_stanzas(first + scrypt + body + mac, 1)


def test_an_identity_that_cannot_open_the_header_cannot_rewrap_it(room):
    with pytest.raises(AgeError):
        rewrap(
            room.manifest,
            room.read("header"),
            [room.deputy],
            room.set,
            room.officer.signing,
        )
