"""Commitments to personal facts, and the encrypted copy of these facts for the recipients.

The caller's number, the line, the advisor, the extension, the later callers and the later advisors
are in clear only in the index. The manifest has commitments to them. A commitment is an
HMAC-SHA-256 whose key is the recording's salt, from the recording's row in the index. Without the
salt, a commitment discloses nothing. A changed fact or salt contradicts the manifest. A commitment
covers the call id, the name of the fact and its value, as canonical JSON, so it cannot be used for
another fact or another recording.

The manifest also has a copy of the facts and the salt, encrypted with the recording's file key.
With this copy, a recipient can restore the row after the database was lost. After a disposal, the
copy cannot be decrypted. If the facts and the salt in the row are erased too, the commitments are
no longer personal data.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import msgspec

from recording.age.file import encrypt_part, open_parts
from recording.age.header import AnyIdentity
from recording.archive.manifest import MANIFEST, Manifest, ObjectFacts, day_folder
from recording.archive.summary import (
    LaterAdvisor,
    LaterCaller,
    PersonalFacts,
    RecordingSummary,
    party_networks,
)
from recording.errors import ManifestError
from recording.keys.signed_document import canonical_json

FACTS: Final = tuple(name for name in PersonalFacts.__struct_fields__ if name != "salt")
"""The names of the facts, from number to later_advisors."""
Fact: TypeAlias = str | tuple[LaterCaller, ...] | tuple[LaterAdvisor, ...] | None
"""Only a number can be None. Only later callers and advisors are a tuple."""
_PADDED: Final = 512
"""Facts are padded to a multiple of this many bytes, so that their length discloses little."""
NO_MANIFEST: Final = "the manifest is missing from the archive"
OTHER_MANIFEST: Final = "the manifest is not the one that was indexed"
OTHER_PAYLOAD: Final = "the payload that was indexed is not the one that was sealed"
NOT_COMMITTED: Final = "its number, line and advisor are not committed: older software sealed it"
ROW_DELETED: Final = (
    "the audit has it, but its row in the index is gone: keep the journal, report it"
)
SALT_MISSING: Final = (
    "its number, line, advisor or salt was removed from the index, and no audit entry says why"
)


def match(facts: PersonalFacts, manifest: Manifest) -> bool:
    """Return whether the manifest has commitments, and all these facts match them."""
    if manifest.index is None:
        return False
    try:
        return not any(changed_facts(manifest.index, manifest.call_id, facts))
    except ValueError:
        return False


def seal_facts(facts: PersonalFacts, file_key: bytes) -> str:
    """Encrypt facts with the file key of their recording. Return the result in base64.

    Raises `AgeError` if they are longer than 64 KiB.
    """
    data = canonical_json(facts)
    padded = data + b" " * (-len(data) % _PADDED)
    return base64.b64encode(encrypt_part(padded, file_key)).decode()


def open_facts(
    manifest: Manifest, header: bytes, identities: Iterable[AnyIdentity]
) -> PersonalFacts:
    """Decrypt the facts in a manifest with the recording's header and an age identity.

    Raises `AgeError` if no identity opens the header, or the encrypted facts were changed. Raises
    `ManifestError` if the manifest has no facts, or they are malformed or do not match the
    commitments.
    """
    if manifest.sealed_facts is None:
        raise ManifestError("its manifest has no facts about people: older software sealed it")
    try:
        sealed = base64.b64decode(manifest.sealed_facts, validate=True)
        data = open_parts(header, io.BytesIO(sealed), identities).readall()
        facts = msgspec.json.decode(data, type=PersonalFacts)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        raise ManifestError("the facts about people in its manifest are malformed") from None
    if not match(facts, manifest):
        raise ManifestError("the facts about people in its manifest do not match its commitments")
    return facts


def encoded(call_id: str, name: str, value: Fact) -> bytes:
    """Return the bytes that a commitment covers: a JSON object, sorted and without spaces.

    `value` is None for a number that is unknown or withheld. A later caller has the members
    `from_us`, `number` and `withheld`, a later advisor `advisor`, `extension` and `from_us`.
    """
    return canonical_json({"call_id": call_id, "name": name, "value": value})


def commitment(salt: bytes, call_id: str, name: str, value: Fact) -> str:
    """Return the commitment to one fact of a recording, in hexadecimal."""
    return hmac.new(salt, encoded(call_id, name, value), hashlib.sha256).hexdigest()


def commit(call_id: str, facts: PersonalFacts) -> dict[str, str]:
    """Return the commitments to the facts of a recording, by the names in `FACTS`.

    An empty tuple of later callers or advisors has no commitment.
    """
    salt = bytes.fromhex(facts.salt)
    values = ((name, getattr(facts, name)) for name in FACTS)
    return {name: commitment(salt, call_id, name, value) for name, value in values if value != ()}


def changed_facts(
    committed: Mapping[str, str], call_id: str, facts: PersonalFacts
) -> Iterator[str]:
    """Yield the name of each fact that does not match its commitment.

    Later callers or advisors without a commitment do not match. Raises `ValueError` if the salt is
    not in hexadecimal.
    """
    right = commit(call_id, facts)
    return (name for name in FACTS if right.get(name) != committed.get(name))


@dataclass(frozen=True, slots=True)
class RowComparison:
    """The result of comparing a recording's row with its manifest.

    The problems name each changed value. `is_committed` is False if a valid manifest has no
    commitments to the facts about people. `salt_missing` means that the manifest has commitments,
    but the row has neither these facts nor their salt. They may be missing if the row was made
    again from the manifest, or if the facts were erased. Only the audit chain shows this.
    """

    problems: tuple[str, ...] = ()
    is_committed: bool = False
    salt_missing: bool = False


def compare_file(
    row: RecordingSummary, data: bytes | None, node_keys: Collection[str] = ()
) -> tuple[RowComparison, Manifest | None]:
    """Compare a row with a manifest's file (None if missing). Also return the manifest, if valid.

    `node_keys` are trusted signing keys (base64). Without them, the key in the manifest is used.
    """
    if data is None:
        # The manifest is read from the folder in the row, so a wrong folder explains its absence.
        return RowComparison((*_folder_problems(row), NO_MANIFEST), is_committed=True), None
    other = hashlib.sha256(data).hexdigest() != row.manifest_sha256
    problems = (OTHER_MANIFEST,) if other else ()
    try:
        manifest = MANIFEST.read(data, node_keys or None)
    except ManifestError as error:
        return RowComparison((*problems, str(error)), is_committed=True), None
    compared = compare_row(row, manifest)
    return replace(compared, problems=problems + compared.problems), manifest


def compare_row(row: RecordingSummary, manifest: Manifest) -> RowComparison:
    """Compare a row with a manifest whose signature was verified before."""
    problems = list(_clear_facts(row, manifest))
    committed = manifest.index
    if committed is None:
        return RowComparison(tuple(problems))
    if not row.salt:
        if row.has_personal_facts:
            problems.append(disagreement("salt"))
        return RowComparison(tuple(problems), True, not row.has_personal_facts)
    return RowComparison((*problems, *map(disagreement, _wrong_facts(row, committed))), True)


def _wrong_facts(row: RecordingSummary, committed: Mapping[str, str]) -> list[str]:
    """Return the names of the facts that do not match their commitments, or "salt"."""
    try:
        changed = list(changed_facts(committed, row.call_id, row))
    except ValueError:
        return ["salt"]
    # One wrong fact leaves the others right, so a wrong salt is the likely cause if all are wrong.
    all_wrong = {name for name in FACTS if name in committed} <= {*changed}
    return ["salt"] if all_wrong else [name.replace("_", " ") for name in changed]


def _clear_facts(row: RecordingSummary, manifest: Manifest) -> Iterator[str]:
    """Yield a problem for each fact that the manifest has in clear and the row has differently."""
    raw_size = 0 if manifest.raw is None else manifest.raw.size
    pairs = (
        ("call id", row.call_id, manifest.call_id),
        ("start", row.started, manifest.started_us / 1_000_000),
        ("length", row.talk_us, manifest.talk_us),
        ("interruption", bool(row.interrupted), manifest.interrupted),
        ("unexplained time", row.unexplained_us, manifest.unexplained_us),
        ("undecoded packets", row.raw_size, raw_size),
        ("gaps", sorted(row.gaps, key=repr), sorted(manifest.gaps, key=repr)),
        ("network", row.network, party_networks(manifest.tracks)),
    )
    yield from _folder_problems(row)
    for name, indexed, sealed in pairs:
        if indexed != sealed:
            yield disagreement(name)
    if ObjectFacts(row.payload_size, row.payload_sha256) != manifest.payload:
        yield OTHER_PAYLOAD


def _folder_problems(row: RecordingSummary) -> Iterator[str]:
    if row.folder != day_folder(row.call_id):
        yield disagreement("folder")


def disagreement(name: str) -> str:
    """Return a text: the value `name` of the row, such as "length", contradicts the manifest."""
    return f"index and manifest do not agree on its {name}: keep the journal, report it"
