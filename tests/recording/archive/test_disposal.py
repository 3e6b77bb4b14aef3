"""Disposal: the certificate comes first, and a disposed recording is not taken for a lost one.

Covers `recording/index/custody.py` and `recording/keys/signed_document.py`.
"""

from __future__ import annotations

import json

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.archive.disposal import (
    CERTIFICATE,
    AuditPlace,
    DisposalOrder,
    Disposer,
    destroy_header,
)
from recording.archive.manifest import SealingNode, sign_manifest
from recording.archive.summary import RecordingSummary
from recording.archive.verify import recordings_below, verify_recording
from recording.errors import DisposalError
from recording.index.catalogue import Catalogue
from recording.index.custody import Custodian
from recording.index.orphans import orphans
from recording.keys.keyring import public_text
from recording.keys.signed_document import unverified_key

CALL_ID = "20260301-090000-abcdefgh"
AUDIT = AuditPlace("galwad-1", 17, "ab" * 32)


class Room:
    """One sealed recording, and its disposer."""

    def __init__(self, office):
        self.office = office
        self.manifest = office.seal(office.simple()).manifest
        self.disposals = Disposer(office.root / "archive", office.node)

    def order(self, **changes):
        facts = {
            "call_id": CALL_ID,
            "payload_sha256": self.manifest.payload.sha256,
            "reason": "retention",
            "by": "user:gwen",
            "audit": AUDIT,
        }
        return DisposalOrder(**{**facts, **changes})

    def path(self, suffix):
        return self.office.folder / f"{CALL_ID}.{suffix}"

    def certificate(self):
        return self.disposals._certificate(self.order())

    def dispose(self, **changes):
        return self.disposals.dispose(self.order(**changes))


@pytest.fixture
def room(office):
    return Room(office)


def test_a_disposal_destroys_the_header_and_leaves_a_signed_certificate(room):
    header = room.path("header").read_bytes()
    certificate = CERTIFICATE.read(room.dispose(), (room.office.public_key,))
    assert not room.path("header").exists()
    assert room.path("payload").exists()
    assert (certificate.call_id, certificate.reason, certificate.by) == (
        CALL_ID,
        "retention",
        "user:gwen",
    )
    assert certificate.payload == room.manifest.payload
    assert certificate.header_sha256 == room.manifest.header.sha256
    assert certificate.audit == AUDIT
    everything = b"".join(path.read_bytes() for path in room.office.folder.iterdir())
    assert header.splitlines()[2] not in everything


def test_verification_distinguishes_a_disposed_recording_from_a_lost_one(room):
    room.dispose()
    verdict = room.office.verdict()
    assert (verdict.whole, verdict.has_unexplained_damage) == (False, False)
    assert verdict.disposal.reason == "retention"
    room.path("raw").write_bytes(b"packets that nobody could decode, under the same header")
    assert not room.office.verdict().has_unexplained_damage
    room.path("payload").unlink()  # unreadable by now: it may be deleted
    assert not room.office.verdict().has_unexplained_damage
    room.path("manifest").unlink()
    assert list(recordings_below(room.office.folder)) == [(room.office.folder, CALL_ID)]
    assert not room.office.verdict().has_unexplained_damage
    assert room.office.verdict().notes == ("the manifest is missing",)
    without_key = verify_recording(room.office.folder, CALL_ID)
    assert without_key.has_unexplained_damage, "anybody could have signed it"
    assert without_key.problems[0] == "the manifest is missing"
    assert "--node-key" in without_key.problems[1]
    room.path("disposal").unlink()
    assert room.office.verdict().has_unexplained_damage


def test_a_manifest_that_was_signed_again_after_the_disposal_is_damage(room):
    """A thief of the node's key could otherwise change what the record says about the call."""
    room.dispose()
    other = msgspec.structs.replace(room.manifest, talk_us=1)
    room.path("manifest").write_bytes(sign_manifest(other, room.office.node.key))
    verdict = room.office.verdict()
    assert verdict.problems == (
        "the disposal certificate is about another version of the manifest",
    )
    assert verdict.has_unexplained_damage


def test_a_header_that_returns_after_disposal_is_damage_until_destroyed_again(room):
    header = room.path("header").read_bytes()
    first = room.dispose()
    room.path("header").write_bytes(header)
    verdict = room.office.verdict()
    assert verdict.has_unexplained_damage
    assert "exists again" in verdict.problems[0]
    assert room.dispose(reason="mistake", by="user:huw") == first
    assert not room.path("header").exists()
    assert not room.office.verdict().has_unexplained_damage


@pytest.mark.parametrize("kind", ["another's", "empty"])
def test_an_invalid_certificate_beside_a_good_header_suggests_no_purge(room, kind):
    other = msgspec.structs.replace(room.certificate(), call_id="20260301-090000-zzzzzzzz")
    data = CERTIFICATE.sign(other, room.office.node.key) if kind == "another's" else b""
    room.path("disposal").write_bytes(data)
    (problem,) = room.office.verdict().problems
    assert "purge" not in problem
    assert room.office.verdict().disposal is None


def test_a_disposal_also_destroys_a_staged_header(room):
    staged = room.office.folder / f".{CALL_ID}.header.new"
    staged.write_bytes(room.path("header").read_bytes())
    room.dispose()
    assert not staged.exists()
    assert destroy_header(room.office.folder, CALL_ID) is False


def test_a_certificate_signed_by_another_nodes_key_is_refused(room):
    """A thief without the node's key removes a header and signs a certificate with another key."""
    thief = SealingNode("galwad-1", "x", Ed25519PrivateKey.generate())
    Disposer(room.office.root / "archive", thief).dispose(room.order())
    (problem,) = room.office.verdict().problems
    assert problem == "the disposal is signed by another node's key"
    without_key = verify_recording(room.office.folder, CALL_ID)
    assert without_key.problems == (problem,), "the manifest beside it says whose it must be"
    with pytest.raises(DisposalError, match="did not sign"):
        room.dispose()


def test_a_certificate_of_another_recording_is_refused(room):
    data = json.loads(room.dispose())
    forged = data["disposal"] | {"call_id": "20260301-090000-zzzzzzzz"}
    certificate = CERTIFICATE._interpreted(forged)
    room.path("disposal").write_bytes(CERTIFICATE.sign(certificate, room.office.node.key))
    assert room.office.verdict().problems == (
        "the disposal certificate belongs to another recording",
    )
    assert room.disposals.find(CALL_ID) is None
    changed = json.dumps(data | {"disposal": forged}).encode()
    room.path("disposal").write_bytes(changed)
    assert "signature is wrong" in room.office.verdict().problems[0]
    assert unverified_key(changed) == public_text(room.office.node.key.public_key())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"payload_sha256": "0" * 64}, "not that of the recording in the index"),
        ({"reason": "boredom"}, "the reason of the disposal is unknown"),
    ],
)
def test_a_disposal_order_with_a_wrong_digest_or_reason_changes_nothing(room, changes, text):
    with pytest.raises(DisposalError, match=text):
        room.dispose(**changes)
    assert room.office.verdict().whole


def test_a_recording_without_a_manifest_cannot_be_disposed_of(room):
    room.path("manifest").unlink()
    with pytest.raises(DisposalError, match="cannot be certified"):
        room.dispose()
    assert room.path("header").exists()


@pytest.mark.parametrize(("call", "nth"), [("fsync", n) for n in range(1, 5)] + [("rename", 1)])
def test_a_crash_during_disposal_leaves_a_whole_recording_or_a_certificate(room, dying, call, nth):
    with dying(call, nth) as died:
        room.dispose()
    assert died
    readable = room.office.verdict(identities=[room.office.officer.identity])
    assert room.path("disposal").exists() or readable.whole
    room.dispose()
    assert not room.office.verdict().has_unexplained_damage
    assert not room.path("header").exists()


def test_a_disposed_recording_is_not_an_orphan(room):
    room.dispose()
    late = room.path("manifest").stat().st_mtime + 10_000
    rows = {CALL_ID: "2026/03/01"}
    assert list(orphans(room.office.root / "archive", rows, {CALL_ID}, {}, late)) == []
    room.path("disposal").unlink()
    assert list(orphans(room.office.root / "archive", rows, {CALL_ID}, {}, late)) != []


@pytest.fixture
async def custodian(engine):
    """A custodian with one recording in the index."""
    row = RecordingSummary(
        call_id=CALL_ID,
        folder="2026/03/01",
        started=1.0,
        talk_us=1,
        interrupted=False,
        number=None,
        line="",
        advisor="",
        extension="",
        payload_size=1,
        payload_sha256="0" * 64,
        manifest_sha256="0" * 64,
    )
    await Catalogue(engine).add(row)
    return Custodian(engine)


async def test_a_repeated_disposal_keeps_its_first_date_and_reason(custodian):
    await custodian.disposed(CALL_ID, "retention", 7.0)
    await custodian.disposed(CALL_ID, "order", 8.0)
    found = await custodian.one(CALL_ID)
    assert (found.disposed, found.reason) == (7.0, "retention")
