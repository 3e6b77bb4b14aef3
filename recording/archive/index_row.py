"""Compares a recording's row in the index with its signed manifest.

The manifest has most facts of the row in clear, and commitments to the facts about people. So every
changed value contradicts the manifest, and the result names it. Manifests of older software have no
commitments; then the facts about people cannot be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

from recording.archive.commitments import FACTS, changed_facts
from recording.archive.manifest import MANIFEST, Commitments, Manifest, ObjectFacts
from recording.archive.party_network import party_networks
from recording.archive.summary import RecordingSummary
from recording.errors import ManifestError

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


@dataclass(frozen=True, slots=True)
class RowComparison:
    """The result of comparing a recording's row with its manifest.

    The problems name each changed value. `is_committed` means that the manifest has commitments to
    the facts about people. `salt_missing` means that it has, but the row has neither these facts
    nor their salt. This is right if the row was made again from the manifest, or if the facts were
    erased; only the audit chain shows it.
    """

    problems: tuple[str, ...] = ()
    is_committed: bool = False
    salt_missing: bool = False


def compare_file(
    row: RecordingSummary, data: bytes | None, node_keys: Collection[str] = ()
) -> tuple[RowComparison, Manifest | None]:
    """Compare a row with a manifest's file (None if missing); return a valid manifest too.

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
    """Compare a row with a manifest whose signature and digest were verified before."""
    problems = list(_clear_facts(row, manifest))
    committed = manifest.index
    if committed is None:
        return RowComparison(tuple(problems))
    if not row.salt:
        if row.has_personal_facts:
            problems.append(disagreement("salt"))
        return RowComparison(tuple(problems), True, not row.has_personal_facts)
    return RowComparison((*problems, *map(disagreement, _wrong_facts(row, committed))), True)


def _wrong_facts(row: RecordingSummary, committed: Commitments) -> list[str]:
    """Return the names of the facts that do not match their commitments, or "salt"."""
    try:
        salt = bytes.fromhex(row.salt)
    except ValueError:
        return ["salt"]
    facts = {name: getattr(row, name) for name in FACTS}
    changed = list(changed_facts(committed, salt, row.call_id, facts))
    # One wrong fact leaves the others right, so a wrong salt is the likely cause if all are wrong.
    all_wrong = {name for name in FACTS if getattr(committed, name) is not None} <= {*changed}
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


def day_folder(call_id: str) -> str:
    """Return the folder `YYYY/MM/DD` that a recording with this call id has in the archive."""
    return f"{call_id[:4]}/{call_id[4:6]}/{call_id[6:8]}"


def disagreement(name: str) -> str:
    """Return the problem that a value of the row, such as "length", contradicts the manifest."""
    return f"index and manifest do not agree on its {name}: keep the journal, report it"
