"""The archive's part of a backup: complete copies, and nothing that was disposed of returns."""

from __future__ import annotations

import shutil

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.file_sizes import file_size_limit
from recording.archive.backup import (
    back_up,
    certificates,
    certificates_in,
    repeat_disposals,
    restore,
)
from recording.archive.disposal import CERTIFICATE, AuditPlace, DisposalOrder, Disposer
from recording.archive.manifest import SealingNode
from recording.archive.verify import verify_recording
from recording.keys.keyring import public_text

CALL_ID = "20260301-090000-abcdefgh"
AUDIT = AuditPlace("galwad-1", 17, "ab" * 32)


class Room:
    """One sealed recording, and a backup of its archive."""

    def __init__(self, office):
        self.office = office
        self.manifest = office.seal(office.simple()).manifest
        self.archive = office.root / "archive"
        (self.archive / "galwad-1.pub").write_text(office.public_key)
        self.copy = office.root / "backup"

    def back_up(self):
        self.copy.mkdir()
        return back_up(self.archive, self.copy)

    def dispose(self, node=None):
        order = DisposalOrder(
            CALL_ID, self.manifest.payload.sha256, "retention", "user:gwen", AUDIT
        )
        return Disposer(self.archive, node or self.office.node).dispose(order)

    def lose(self, *kept):
        """Delete all files of the recording except payloads and files with the `kept` suffixes."""
        for path in self.office.folder.iterdir():
            if path.suffix not in {".payload", *kept}:
                path.unlink()

    def restore(self, *places):
        found = certificates([self.copy, self.archive, *places], {self.office.public_key})
        back = restore(self.copy, self.archive, found.proven.keys())
        return back, repeat_disposals(self.archive, found.proven), found.problems

    def path(self, suffix):
        return self.office.folder / f"{CALL_ID}.{suffix}"


@pytest.fixture
def room(office):
    return Room(office)


def test_a_restore_brings_back_a_lost_header_and_manifest(room):
    copied = room.back_up()
    assert (copied.recordings, copied.headers, copied.disposals) == (1, 1, 0)
    assert not list(room.copy.rglob("*.payload"))
    room.lose()
    back, destroyed, problems = room.restore()
    assert (back.headers, destroyed, problems) == (1, [], [])
    assert room.office.verdict(identities=[room.office.officer.identity]).whole


@pytest.mark.parametrize("octets", [100, 400, 1000])
def test_a_restore_that_a_full_disk_stopped_is_completed_by_a_second_restore(room, octets):
    room.back_up()
    room.lose()
    with file_size_limit(octets), pytest.raises(OSError, match="too large"):
        room.restore()
    back, _, problems = room.restore()
    assert (back.headers, problems) == (1, [])
    assert room.office.verdict(identities=[room.office.officer.identity]).whole
    assert not list(room.archive.rglob(".*"))


def test_a_restore_does_not_bring_back_a_header_disposed_of_after_the_backup(room):
    room.back_up()
    room.dispose()
    room.lose(".disposal")  # certificates are copied with the payloads
    back, destroyed, _ = room.restore()
    assert (back.headers, destroyed) == (0, [])
    assert not room.path("header").exists()
    assert not room.office.verdict().has_unexplained_damage


def test_a_restore_with_the_officers_certificate_does_not_bring_back_a_disposed_header(
    room, tmp_path
):
    room.back_up()
    kept = tmp_path / "certificate.json"
    kept.write_bytes(room.dispose())
    room.lose()
    back, _, problems = room.restore(kept)
    assert (back.headers, problems) == (0, [])
    assert room.path("disposal").read_bytes() == kept.read_bytes()
    assert not room.office.verdict().has_unexplained_damage


def test_certificates_in_a_folder_are_recognised_by_their_content(room, tmp_path):
    """The officer chooses the file names: `purge -o` writes to any name."""
    kept = tmp_path / "kept"
    (kept / "2026").mkdir(parents=True)
    certificate = room.dispose()
    for name in ("certificate.json", "2026/R-17", "damaged.disposal"):
        (kept / name).write_bytes(certificate if name[0] != "d" else b"")
    for other in ("notes.txt", "recording.payload", "recipients.json"):
        (kept / other).write_bytes(other.encode() * 10_000)
    named = {str(path.relative_to(kept)) for path in certificates_in(kept)}
    assert named == {"certificate.json", "2026/R-17", "damaged.disposal"}
    assert certificates_in(kept / "notes.txt") == [
        kept / "notes.txt"
    ]  # a file that the user names is always read


def test_a_disposal_is_repeated_after_an_older_archive_was_copied_back(room, tmp_path):
    room.back_up()
    older = tmp_path / "older"
    shutil.copytree(room.archive, older)
    certificate = room.dispose()
    shutil.rmtree(room.archive)
    shutil.copytree(older, room.archive)
    room.path("disposal").write_bytes(certificate)
    _, destroyed, _ = room.restore()
    assert destroyed == [CALL_ID]
    assert not room.path("header").exists()


def test_a_certificate_signed_by_another_nodes_key_destroys_no_header(room):
    room.back_up()
    thief = SealingNode("galwad-1", "x", Ed25519PrivateKey.generate())
    header = room.path("header").read_bytes()
    room.dispose(thief)
    room.path("header").write_bytes(header)
    back, destroyed, problems = room.restore()
    assert (back.headers, destroyed) == (0, [])
    assert room.path("header").read_bytes() == header
    assert "another node's key" in problems[0]
    trusted = {room.office.public_key, public_text(thief.key.public_key())}
    assert certificates([room.archive], trusted).problems == []


def test_a_certificate_with_a_malformed_call_id_is_a_problem_and_others_are_read(room):
    trusted = {room.office.public_key}
    odd = msgspec.structs.replace(CERTIFICATE.read(room.dispose(), trusted), call_id="x")
    (room.archive / "odd.disposal").write_bytes(CERTIFICATE.sign(odd, room.office.node.key))
    found = certificates([room.archive], trusted)
    assert found.proven.keys() == {CALL_ID}
    assert found.problems == [f"{room.archive}/odd.disposal: this is not a call id"]


def test_a_restore_does_not_replace_existing_files(room):
    room.back_up()
    newer = room.path("header").read_bytes() + b"x"
    room.path("header").write_bytes(newer)
    (room.copy / "2026" / "03" / "01" / f"{CALL_ID}.rewrap").write_bytes(b"older")
    back, _, _ = room.restore()
    assert back.headers == 0
    assert room.path("header").read_bytes() == newer
    assert not room.path("rewrap").exists()


@settings(max_examples=examples(30))
@given(garbage=st.binary(max_size=300))
def test_random_bytes_are_never_accepted_as_a_certificate(tmp_path_factory, garbage):
    file = tmp_path_factory.mktemp("c") / "x.disposal"
    file.write_bytes(garbage)
    found = certificates([file], {"A" * 44})
    assert not found.proven
    assert len(found.problems) == 1


def test_a_backup_verifies_offline_except_for_its_missing_payloads(room):
    room.back_up()
    folder = room.copy / "2026" / "03" / "01"
    verdict = verify_recording(folder, CALL_ID, node_keys=[room.office.public_key])
    assert verdict.problems == ("the payload is missing",)
