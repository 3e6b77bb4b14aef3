"""A recording is proven from its files before the index takes it back."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.archive.manifest import read_manifest
from recording.archive.store import verify_unindexed
from recording.errors import ArchiveError
from recording.index.orphans import unindexed
from recording.keys.keyring import public_text

CALL_ID = "20260301-090000-abcdefgh"


@pytest.fixture
def archive(office):
    """A real archive with one recording."""
    office.seal(office.simple())
    return office.root / "archive"


@pytest.fixture
def key(office):
    return office.public_key


def test_an_intact_recording_is_described_as_it_was_when_sealed(archive, office, key):
    found = verify_unindexed(archive, CALL_ID, (key,))
    data = (office.folder / f"{CALL_ID}.manifest").read_bytes()
    assert found.recording.manifest == read_manifest(data)
    assert found.recording.manifest_sha256 == hashlib.sha256(data).hexdigest()
    assert found.recording.folder == "2026/03/01"
    assert found.recording.personal is None
    assert (found.node_key, found.disposal) == (key, None)


def test_only_a_manifest_signed_by_a_trusted_node_key_is_accepted(archive, key):
    stranger = public_text(Ed25519PrivateKey.generate().public_key())
    with pytest.raises(ArchiveError, match="another node's key"):
        verify_unindexed(archive, CALL_ID, (stranger,))
    assert verify_unindexed(archive, CALL_ID, (stranger, key)).node_key == key


@pytest.mark.parametrize("suffix", ["payload", "header", "manifest"])
def test_a_changed_or_missing_object_is_refused(archive, office, key, suffix):
    path = office.folder / f"{CALL_ID}.{suffix}"
    whole = path.read_bytes()
    for at in {0, len(whole) // 2, len(whole) - 2}:
        changed = bytearray(whole)
        changed[at] ^= 0x20
        path.write_bytes(changed)
        with pytest.raises(ArchiveError):
            verify_unindexed(archive, CALL_ID, (key,))
    path.unlink()
    with pytest.raises(ArchiveError, match="missing"):
        verify_unindexed(archive, CALL_ID, (key,))


def test_files_renamed_to_another_call_id_are_refused(archive, office, key):
    other = "20260301-091000-bcdefghi"
    for suffix in ("payload", "header", "manifest"):
        path = office.folder / f"{CALL_ID}.{suffix}"
        path.rename(path.with_name(f"{other}.{suffix}"))
    with pytest.raises(ArchiveError, match=f"belongs to {CALL_ID}"):
        verify_unindexed(archive, other, (key,))


def test_a_recording_with_a_manifest_and_no_row_is_unindexed(archive, office):
    assert unindexed(archive, {CALL_ID}) == []
    assert unindexed(archive, set()) == [CALL_ID]
    (office.folder / f"{CALL_ID}.manifest").unlink()
    assert unindexed(archive, set()) == []
