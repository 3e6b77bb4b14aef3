"""The verification of a recording: each fault is named, with or without an identity.

Covers `recording/archive/verify.py` and `recording/archive/manifest.py`.
"""

import base64
import json
import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.age.file import new_file_key
from recording.age.header import make_header
from recording.archive.manifest import Interval, sign_manifest, verify_manifest
from recording.archive.verify import recordings_below, verify_recording
from recording.keys.keyring import public_text
from recording.keys.signed_document import canonical_json

US = 1_000_000
CALL_ID = "20260301-090000-abcdefgh"


def change(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def change_mac(path: Path) -> None:
    """Change the first letter of the header's MAC: it still parses, and no identity opens it."""
    start, mark, mac = path.read_bytes().partition(b"\n--- ")
    path.write_bytes(start + mark + (b"B" if mac[:1] == b"A" else b"A") + mac[1:])


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda f: change(f / f"{CALL_ID}.payload", 100), "changed or swapped"),
        (lambda f: change(f / f"{CALL_ID}.payload", -1), "changed or swapped"),
        (lambda f: change(f / f"{CALL_ID}.manifest", 300), "manifest"),
        (lambda f: change(f / f"{CALL_ID}.header", 3), "header is damaged"),
        (lambda f: change(f / f"{CALL_ID}.header", 40), "header was changed or swapped"),
        (lambda f: change_mac(f / f"{CALL_ID}.header"), "header was changed or swapped"),
        (lambda f: os.truncate(f / f"{CALL_ID}.payload", 5000), "payload is incomplete: 5000 of"),
        (lambda f: os.truncate(f / f"{CALL_ID}.header", 50), "header is damaged"),
        (lambda f: (f / f"{CALL_ID}.payload").unlink(), "payload is missing"),
        (lambda f: (f / f"{CALL_ID}.header").unlink(), "header is missing"),
        (lambda f: (f / f"{CALL_ID}.manifest").unlink(), "manifest"),
    ],
)
def test_each_kind_of_damage_to_a_recording_is_named(office, damage, problem):
    office.seal(office.simple())
    damage(office.folder)
    (found,) = office.verdict().problems
    assert problem in found


def test_another_nodes_signature_is_refused(office):
    office.seal(office.simple())
    stranger = public_text(Ed25519PrivateKey.generate().public_key())
    (found,) = verify_recording(office.folder, CALL_ID, node_keys=[stranger]).problems
    assert "another node" in found


def test_a_manifest_under_another_call_id_is_reported(office):
    office.seal(office.simple())
    other = "20260301-090000-zzzzzzzz"
    for suffix in ("payload", "header", "manifest"):
        (office.folder / f"{CALL_ID}.{suffix}").rename(office.folder / f"{other}.{suffix}")
    assert list(recordings_below(office.folder.parent)) == [(office.folder, other)]
    verdict = verify_recording(office.folder, other, node_keys=[office.public_key])
    assert f"the manifest belongs to {CALL_ID}" in verdict.problems


def test_a_header_of_another_recording_is_reported_without_an_identity(office):
    office.seal(office.simple())
    header = make_header(new_file_key(), [office.officer.identity.recipient])
    (office.folder / f"{CALL_ID}.header").write_bytes(header)
    assert "the header was changed or swapped: it has another digest" in office.verdict().problems


def test_a_manifest_without_a_header_digest_can_still_be_verified(office):
    """With such a manifest, a header of another recording is found only with an identity."""
    manifest = office.seal(office.simple()).manifest
    old = json.loads(sign_manifest(manifest, office.node.key))["manifest"]
    del old["header"], old["tracks"][0]["withheld"], old["tracks"][1]["withheld"]
    signature = office.node.key.sign(b"galwad manifest v1\n" + canonical_json(old))
    document = {
        "key": office.public_key,
        "manifest": old,
        "signature": base64.b64encode(signature).decode(),
    }
    (office.folder / f"{CALL_ID}.manifest").write_bytes(canonical_json(document) + b"\n")
    verdict = office.verdict()
    assert verdict.whole
    assert any("without a digest of the header" in note for note in verdict.notes)
    header = make_header(new_file_key(), [office.officer.identity.recipient])
    (office.folder / f"{CALL_ID}.header").write_bytes(header)
    assert office.verdict().whole
    (found,) = office.verdict(identities=[office.officer.identity]).problems
    assert "cannot be opened" in found


def test_a_recording_in_the_folder_of_another_day_is_reported(office):
    office.seal(office.simple())
    moved = office.folder.parent / "02"
    office.folder.rename(moved)
    (found,) = verify_recording(moved, CALL_ID).problems
    assert found == "it is in the folder of another day, 2026/03/02"


def test_changed_bytes_all_over_a_manifest_are_reported(office):
    office.seal(office.simple())
    path = office.folder / f"{CALL_ID}.manifest"
    whole = path.read_bytes()
    for at in range(0, len(whole) - 1, 37):
        change(path, at)
        assert verify_recording(office.folder, CALL_ID, node_keys=[office.public_key]).problems
        path.write_bytes(whole)
    assert verify_manifest(path, office.public_key).call_id == CALL_ID


def paused(office):
    """Seal a call of six seconds, of which the third and fourth are a payment pause."""
    call = office.call()
    call.answer()
    call.talk(0, 2 * US)
    call.event("gap-start", 2 * US, reason="payment", trigger="page", actor="user:sian")
    call.event("gap-end", 4 * US)
    call.event("segment", 4 * US, **{"class": "centre", "to": ""})
    call.talk(4 * US, 6 * US)
    return office.seal(call.end(6 * US)).manifest


def signed_anew(office, manifest, **changes):
    """Return the problems after a thief of the node's key has changed and signed the manifest."""
    changed = sign_manifest(msgspec.structs.replace(manifest, **changes), office.node.key)
    (office.folder / f"{CALL_ID}.manifest").write_bytes(changed)
    return office.verdict(identities=[office.officer.identity]).problems


def test_sound_in_a_lengthened_gap_is_reported(office):
    manifest = paused(office)
    assert signed_anew(office, manifest) == ()
    (gap,), (first, last) = manifest.gaps, manifest.segments
    later = replace(gap, to_us=gap.to_us + 1000)
    after = replace(last, from_us=later.to_us)
    heard = ("sound was found in 1 of its gaps that must be silent",)
    assert signed_anew(office, manifest, gaps=[later], segments=[first, after]) == heard


def test_segments_and_gaps_that_do_not_add_up_are_reported_without_an_identity(office):
    manifest = paused(office)
    text = "its segments and gaps do not add up to its talk time"
    assert text in signed_anew(office, manifest, gaps=[])
    longer = replace(manifest.gaps[0], from_us=0)
    assert text in signed_anew(office, manifest, gaps=[longer])
    unexplained = [Interval(gap.from_us, gap.to_us) for gap in manifest.gaps]
    assert text not in signed_anew(office, manifest, gaps=[], unexplained=unexplained)


@pytest.mark.parametrize("changes", [{"talk_us": 0}, {"rate": 0}])
def test_a_manifest_that_denies_audio_in_the_payload_is_reported(office, changes):
    manifest = msgspec.structs.replace(office.seal(office.simple()).manifest, **changes)
    signed = sign_manifest(manifest, office.node.key)
    (office.folder / f"{CALL_ID}.manifest").write_bytes(signed)
    verdict = office.verdict(identities=[office.officer.identity])
    assert verdict.problems == ("the payload has audio, but the manifest says that it has none",)
