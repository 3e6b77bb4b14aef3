"""A row of the index, compared with its manifest: each changed value is named."""

from __future__ import annotations

import base64
import hashlib

import msgspec
import pytest

from galwad.finaliser.sealer import sealed_message
from recording.archive.commitments import (
    NO_MANIFEST,
    OTHER_MANIFEST,
    OTHER_PAYLOAD,
    RowComparison,
    compare_file,
    compare_row,
)
from recording.archive.manifest import Gap, read_manifest
from recording.archive.summary import LaterAdvisor, LaterCaller, RecordingSummary
from recording.archive.verify import VerdictState, verify_indexed
from recording.keys.keyring import public_text
from recording.keys.signed_document import canonical_json

US = 1_000_000


@pytest.fixture
def recording(office):
    """The row and the manifest's bytes of a call with a payment pause."""
    call = office.call()
    call.event("call", 0, number="+442079460123", withheld=False, line="main")
    call.answer()
    call.event("caller", US // 2, number="+442079460999", withheld=False)
    call.talk(0, US)
    call.event("gap-start", US, reason="payment", trigger="page", actor="user:sian")
    call.event("gap-end", 2 * US)
    call.event("segment", 2 * US, **{"class": "centre", "to": ""})
    sealed = office.seal(call.end(3 * US))
    return row_of(sealed), manifest_of(office, sealed)


def row_of(sealed) -> RecordingSummary:
    message = sealed_message(sealed)
    names = RecordingSummary.__struct_fields__
    return RecordingSummary(**{name: getattr(message, name) for name in names})


def manifest_of(office, sealed) -> bytes:
    return (office.folder / f"{sealed.manifest.call_id}.manifest").read_bytes()


def older(office, data: bytes) -> bytes:
    """Return the manifest as an older release signed it: without the commitments."""
    body = msgspec.json.decode(data)["manifest"]
    del body["index"]
    key = office.node.key
    signature = key.sign(b"galwad manifest v1\n" + canonical_json(body))
    line = {
        "key": public_text(key.public_key()),
        "manifest": body,
        "signature": base64.b64encode(signature).decode(),
    }
    return canonical_json(line) + b"\n"


def test_an_unchanged_row_has_no_problem(recording):
    row, data = recording
    assert compare_file(row, data)[0] == RowComparison((), is_committed=True)
    assert verify_indexed(row, data).state is VerdictState.INDEX_ONLY


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("call_id", "20260301-090000-zzzzzzzz", "its call id"),
        ("folder", "2026/03/02", "its folder"),
        ("started", 0.0, "its start"),
        ("talk_us", 1, "its length"),
        ("interrupted", True, "its interruption"),
        ("number", None, "its number"),
        ("number", "", "its number"),
        ("line", "Main", "its line"),
        ("advisor", "sian ", "its advisor"),
        ("extension", "", "its extension"),
        ("later_callers", (), "its later callers"),
        ("later_callers", (LaterCaller(US, "+442079460999"),), "its later callers"),
        ("later_callers", (LaterCaller(US // 2, "+442079460998"),), "its later callers"),
        ("later_callers", (LaterCaller(US // 2, "+442079460999", True),), "its later callers"),
        ("unexplained_us", 1, "its unexplained time"),
        ("raw_size", 1, "its undecoded packets"),
        ("gaps", (), "its gaps"),
        ("gaps", (Gap(US, 2 * US, "payment", "page", "user:huw"),), "its gaps"),
        ("payload_size", 1, OTHER_PAYLOAD),
        ("payload_sha256", "0" * 64, OTHER_PAYLOAD),
        ("manifest_sha256", "0" * 64, OTHER_MANIFEST),
        ("salt", "0" * 64, "its salt"),
        ("salt", "no salt", "its salt"),
        ("salt", "", "its salt"),
    ],
)
def test_each_changed_value_of_a_row_is_named(recording, name, value, words):
    row, data = recording
    problems = compare_file(msgspec.structs.replace(row, **{name: value}), data)[0].problems
    assert words in problems[0]
    if name != "call_id":  # another call id is also in the encoding of the personal facts
        assert len(problems) == 1


def test_every_field_of_a_row_is_compared(recording):
    """A new column must be compared, too."""
    row, data = recording
    other = {str: "x", int: 7, float: 7.0, bool: True, tuple: ()}
    for name in RecordingSummary.__struct_fields__:
        value = other[type(getattr(row, name))]
        if name == "later_advisors":  # the recording has none
            value = (LaterAdvisor(1, "ceri", "202"),)
        changed = msgspec.structs.replace(row, **{name: value})
        assert compare_file(changed, data)[0].problems, name


def test_a_row_without_facts_and_salt_is_marked_as_missing_its_salt_and_has_no_problem(recording):
    row, data = recording
    erased = msgspec.structs.replace(
        row, number=None, line="", advisor="", extension="", salt="", later_callers=()
    )
    assert compare_row(erased, read_manifest(data)) == RowComparison((), True, salt_missing=True)
    assert verify_indexed(erased, data).state is VerdictState.INDEX_ONLY


def test_a_missing_or_unsigned_manifest_is_a_problem(recording):
    row, data = recording
    assert compare_file(row, None)[0].problems == (NO_MANIFEST,)
    broken = data.replace(b'"payment"', b'"refusal"')
    assert compare_file(row, broken)[0].problems[0] == OTHER_MANIFEST
    digest = hashlib.sha256(broken).hexdigest()
    problems = compare_file(msgspec.structs.replace(row, manifest_sha256=digest), broken)[
        0
    ].problems
    assert problems == ("the manifest was changed: its signature is wrong",)


def test_a_manifest_of_an_older_release_has_a_note_and_no_problem(office, recording):
    row, data = recording
    data = older(office, data)
    digest = hashlib.sha256(data).hexdigest()
    row = msgspec.structs.replace(row, manifest_sha256=digest, salt="")
    assert compare_file(row, data)[0] == RowComparison()
    verdict = verify_indexed(row, data)
    assert verdict.state is VerdictState.INDEX_ONLY
    assert verdict.notes == (
        "its number, line and advisor are not committed: older software sealed it",
    )
    # Facts in clear are compared all the same; facts about people cannot be.
    assert compare_file(msgspec.structs.replace(row, talk_us=1), data)[0].problems
    assert not compare_file(msgspec.structs.replace(row, number="1"), data)[0].problems
