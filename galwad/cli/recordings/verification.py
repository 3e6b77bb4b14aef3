"""Verification of recordings: those in a folder, one recording, or all recordings on the server.

The module `recording.archive.verify` checks whether a recording is complete and unchanged. This
module finds the recordings to verify, and makes a text from the verdict about each recording.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec

from galwad.call_id import is_call_id
from galwad.cli.support import sealed
from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, one_line
from galwad.cli.support.index_check import fetch_index_check
from galwad.cli.support.periods import read_period
from galwad.cli.support.public_keys import public_key
from recording.age.file import Identity
from recording.archive.disposal import Certificate
from recording.archive.index_row import (
    NOT_COMMITTED,
    ROW_DELETED,
    compare_file,
    day_folder,
    disagreement,
)
from recording.archive.manifest import Gap
from recording.archive.party_network import PartyNetwork
from recording.archive.stability import check_when_stable
from recording.archive.summary import LaterCaller, RecordingSummary
from recording.archive.verify import (
    RecordingVerdict,
    recordings_below,
    verify_disposal,
    verify_indexed,
    verify_recording,
)

_PAGE: Final = 500
_US: Final = 1_000_000
_SUFFIXES: Final = frozenset({".header", ".payload", ".raw", ".manifest", ".disposal"})


def as_json(verdict: RecordingVerdict) -> dict[str, object]:
    """Return the verdict as a mapping for JSON output."""
    return {
        "call_id": verdict.call_id,
        "whole": verdict.whole,
        "problems": [*verdict.problems, *verdict.faults],
        "notes": list(verdict.notes),
        "disposal": None if verdict.disposal is None else msgspec.to_builtins(verdict.disposal),
    }


def sentence(verdict: RecordingVerdict) -> str:
    """Return the verdict as one line of text."""
    notes = f" ({'; '.join(verdict.notes)})" if verdict.notes else ""
    if verdict.has_unexplained_damage:
        text = f"NOT WHOLE: {'; '.join((*verdict.problems, *verdict.faults))}"
    elif verdict.disposal is not None:
        text = disposal_text(verdict.disposal) + notes
    else:
        text = f"whole{notes}"
    return one_line(f"{verdict.call_id}  {text}")


def disposal_text(certificate: Certificate) -> str:
    """Return a text about the disposal of a recording, from its certificate of disposal."""
    place = certificate.audit
    return (
        f"disposed of {certificate.disposed} ({certificate.reason}) by {certificate.by}, "
        f"by certificate: entry {place.seq} of {place.node}'s audit"
    )


def verify(
    what: str,
    *,
    since: str = "",
    node_key: str | None,
    officer_keys: Sequence[str] = (),
    identity: Path | None,
    server: str,
) -> list[RecordingVerdict]:
    """Verify recordings in a folder or on the server, and return the verdict for each recording.

    `what` is a folder, one file of a recording, or the call id of a recording on the server. If
    `what` is empty, all recordings on the server at `server` are verified.

    `since` is a period in words, such as "last week". Only recordings of calls that began at or
    after the start of this period are verified.

    `node_key` is the node's public key, or the name of a file that holds the key. If it is None, a
    recording may be signed with any key.

    `officer_keys` are the public keys of officers whose rewraps are accepted, or names of files
    that hold the keys.

    `identity` is the path of a key file with an age identity. If it is not None, each recording in
    a folder is also decrypted to its end. If the key file also has a signing key, rewraps that were
    signed with this key are accepted too.
    """
    key = public_key(node_key, "--node-key") if node_key else None
    officers = [public_key(text, "--officer-key") for text in officer_keys]
    identities: Sequence[Identity] = ()
    if identity is not None:
        file = sealed.read_identity(identity)
        identities = file.identities
        officers += sealed.signer_of(file)
    begin = _begin(since)
    if is_call_id(what):
        found = fetch_index_check(server, call_id=what).findings
        if ROW_DELETED in found.get(what, ()):
            return [RecordingVerdict(what, tuple(found[what]))]
        return _with_findings([_verify_on_server(what, key, officers, server)], found)
    if not what:
        verdicts = [
            _verify_on_server(each, key, officers, server) for each in _indexed(begin, server)
        ]
        return _with_findings(verdicts, fetch_index_check(server, since=begin).findings)

    def verify_one(folder: Path, call_id: str) -> RecordingVerdict:
        return verify_recording(
            folder, call_id, public_key=key, officer_keys=officers, identities=identities
        )

    return [
        check_when_stable(
            partial(verify_one, folder, call_id),
            attrgetter("has_unexplained_damage"),
            folder,
            call_id,
        )
        for folder, call_id in _recordings_in(what, begin)
    ]


def _with_findings(
    verdicts: Sequence[RecordingVerdict], findings: Mapping[str, Sequence[str]]
) -> list[RecordingVerdict]:
    """Add what the server found in its index and ledger to the verdicts, sorted by call id.

    If there is no verdict about a call, because its row is gone, a verdict is added.
    """
    by_call = {verdict.call_id: verdict for verdict in verdicts}
    for call_id, found in findings.items():
        verdict = by_call.get(call_id, RecordingVerdict(call_id))
        new = (each for each in found if each not in verdict.problems)
        by_call[call_id] = replace(verdict, problems=(*verdict.problems, *new))
    return [by_call[call_id] for call_id in sorted(by_call)]


def _recordings_in(what: str, begin: float) -> list[tuple[Path, str]]:
    """Return the folder and the call id of each recording to verify.

    `what` is a folder or a file of one recording. In a folder, only recordings of calls that began
    at or after `begin`, in Unix seconds, are included.
    """
    path = Path(what)
    if path.is_dir():
        first = time.strftime("%Y%m%d-%H%M%S", time.gmtime(begin))
        try:
            return [each for each in recordings_below(path) if each[1] >= first]
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise CliError(
                f"cannot read {error.filename}: {reason}", "no recording in it was verified"
            ) from None
    if path.is_file() and path.suffix in _SUFFIXES:
        return [(path.parent, path.stem)]
    raise CliError(
        f"{what} is neither a folder, a recording's file nor a call id",
        "give the folder that holds ID.header, ID.payload and ID.manifest",
    )


def _begin(words: str) -> float:
    """Return the start, in Unix seconds, of the period that `words` names.

    Return 0 if `words` is empty.
    """
    since = read_period(words, "--since")
    return since.since if since is not None else 0.0


def _indexed(begin: float, server: str) -> Iterator[str]:
    """Yield the call ids of the recordings in the server's index; the index is read page by page.

    Only calls that began at or after `begin`, in Unix seconds, are included.
    """
    query: dict[str, Any] = {"since": begin, "limit": _PAGE}
    while True:
        page = ask(server, "POST", "/recordings/search", query)
        yield from (row["call_id"] for row in page["rows"])
        if page["after"] is None:
            return
        query["after"] = page["after"]


def _verify_on_server(
    call_id: str, key: str | None, officers: Sequence[str], server: str
) -> RecordingVerdict:
    """Verify the manifest of a recording that is on the server, and compare it with the index."""
    if not is_call_id(call_id):
        return RecordingVerdict(call_id, (disagreement("call id"),))
    detail: dict[str, Any] = ask(server, "GET", f"/recordings/{call_id}")
    row = _row_of(detail)
    manifest = None if detail["manifest"] is None else detail["manifest"].encode()
    if detail.get("disposal"):
        verdict = verify_disposal(call_id, detail["disposal"].encode(), manifest, key)
        if verdict.manifest is None:
            return verdict
        compared, _ = compare_file(row, manifest, key)
        notes = () if compared.is_committed else (NOT_COMMITTED,)
        problems = (*verdict.problems, *compared.problems)
        return replace(verdict, problems=problems, notes=(*verdict.notes, *notes))
    return verify_indexed(
        row,
        manifest,
        public_key=key,
        rewrap=(detail.get("rewrap") or "").encode(),
        officer_keys=officers,
    )


def _row_of(detail: Mapping[str, Any]) -> RecordingSummary:
    """Return the recording's row in the index from the server's response about the recording."""
    row, call_id = detail["recording"], detail["recording"]["call_id"]
    return RecordingSummary(
        call_id=call_id,
        # An older server does not report the folder.
        folder=detail.get("folder") or day_folder(call_id),
        started=row["started"],
        talk_us=round(row["talk_s"] * _US),
        interrupted=row["interrupted"],
        number=row["number"],
        line=row["line"],
        advisor=row["advisor"],
        extension=row["extension"],
        payload_size=row["payload_size"],
        payload_sha256=row["payload_sha256"],
        manifest_sha256=row["manifest_sha256"],
        unexplained_us=round(row["unexplained_s"] * _US),
        raw_size=row["raw_size"],
        gaps=tuple(Gap(**gap) for gap in row["gaps"]),
        salt=detail.get("salt", ""),
        # An older server has no later callers and no network.
        later_callers=tuple(LaterCaller(**caller) for caller in row.get("later_callers", ())),
        network=tuple(PartyNetwork(**party) for party in row.get("network", ())),
    )
