"""Verification of recordings: those in a folder, one recording, or all recordings on the server.

The module `recording.archive.verify` checks whether a recording is complete and unchanged. This
module finds the recordings to verify, and makes a text from the verdict about each recording.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec

from galwad.cli.support.archive_client import (
    FetchPurpose,
    fetch_index_check,
    indexed_rows,
    receive,
    temporary_file_errors,
)
from galwad.cli.support.client import ask, http_errors, open_client
from galwad.cli.support.console import CliError, one_line
from galwad.cli.support.identities import public_key, read_identity, signer_of, trusted_keys
from galwad.cli.support.options import checked_period, read_period
from recording.age.file import Identity
from recording.archive.commitments import NOT_COMMITTED, ROW_DELETED, compare_file, disagreement
from recording.archive.disposal import Certificate
from recording.archive.manifest import day_folder
from recording.archive.rewrap import UNPROVEN
from recording.archive.summary import RecordingSummary
from recording.archive.verify import (
    RecordingVerdict,
    VerdictState,
    check_when_stable,
    recordings_below,
    verify_disposal,
    verify_indexed,
    verify_recording,
)
from recording.call_id import is_call_id

_US: Final = 1_000_000
_WITHOUT_FILES: Final = frozenset({404, 409, 410})
"""The statuses with which the server refuses files that are missing, changed or destroyed."""
_SUFFIXES: Final = frozenset({".header", ".payload", ".raw", ".manifest", ".disposal"})


def as_json(verdict: RecordingVerdict) -> dict[str, object]:
    """Return the verdict as a mapping for JSON output."""
    return {
        "call_id": verdict.call_id,
        "state": verdict.state.value,
        "whole": verdict.whole,
        "signer": verdict.signer,
        "problems": [*verdict.problems, *verdict.faults],
        "notes": list(verdict.notes),
        "disposal": None if verdict.disposal is None else msgspec.to_builtins(verdict.disposal),
    }


def sentence(verdict: RecordingVerdict) -> str:
    """Return the verdict as one line of text."""
    all_notes = list(verdict.notes)
    if verdict.signer and not verdict.is_trusted:
        all_notes.append(f"no trusted key vouches for its signer, {verdict.signer}")
    notes = f" ({'; '.join(all_notes)})" if all_notes else ""
    if verdict.state is VerdictState.NOT_WHOLE:
        text = f"NOT WHOLE: {'; '.join((*verdict.problems, *verdict.faults))}"
    elif verdict.state is VerdictState.WHOLE:
        text = f"whole{notes}"
    elif verdict.state is VerdictState.INDEX_ONLY:
        text = f"INDEX ONLY: header and payload were not read{notes}"
    else:
        text = "" if verdict.is_trusted else "UNKNOWN SIGNER: "
        if verdict.disposal is not None:
            text += disposal_text(verdict.disposal) + notes
        else:
            text += f"its files belong together, but who signed them is not known{notes}"
    return one_line(f"{verdict.call_id}  {text}")


def counts(verdicts: Iterable[RecordingVerdict]) -> str:
    """Return one line with the number of recordings in each state, such as `3 recordings: …`."""
    found = Counter(verdict.state for verdict in verdicts)
    total = found.total()
    parts = [f"{found[state]} {state.value}" for state in VerdictState if found[state]]
    return f"{total} recording{'' if total == 1 else 's'}: {', '.join(parts)}"


def next_step(verdicts: Sequence[RecordingVerdict]) -> str:
    """Return what the user can do about the worst of the verdicts; "" if all are good."""
    states = {verdict.state for verdict in verdicts}
    if VerdictState.NOT_WHOLE in states:
        damaged = [each for each in verdicts if each.state is VerdictState.NOT_WHOLE]
        if all(UNPROVEN in "".join(each.problems) for each in damaged):
            return "give the officer's key with --officer-key"
        return (
            "restore damaged files from another copy; docs/operations/audit.md says what to do "
            "about a row that was changed"
        )
    if VerdictState.UNKNOWN_SIGNER in states:
        return "give a node's key that you trust (--node-key), or a file of `keys trust` (--trust)"
    if VerdictState.INDEX_ONLY in states:
        return "add --purpose and --reference to fetch the files, or verify a copy of the archive"
    return ""


def disposal_text(certificate: Certificate) -> str:
    """Return a text about the disposal of a recording, from its certificate of disposal."""
    place, rule = certificate.audit, certificate.rule
    text = (
        f"disposed of {certificate.disposed} ({certificate.reason}) by {certificate.by}, "
        f"by certificate: entry {place.seq} of {place.node}'s audit"
    )
    if rule is None:
        return text
    return (
        f"{text}; rule {rule.category} of version {rule.version}: {rule.keep} from the "
        f"{rule.counted_from}, due {rule.due}"
    )


def verify(
    what: str,
    *,
    since: str = "",
    node_keys: Sequence[str] = (),
    trust: Path | None = None,
    officer_keys: Sequence[str] = (),
    identity: Path | None,
    fetch: FetchPurpose | None = None,
    server: str,
) -> list[RecordingVerdict]:
    """Verify recordings in a folder or on the server, and return the verdict for each recording.

    `what` is a folder, one file of a recording, or the call id of a recording on the server; ""
    means all on the server. `since` is a period such as "last week". In a folder or on the whole
    server, only calls since the start of this period are verified.

    Keys are public keys or files with them. `node_keys` belong to trusted nodes, and `officer_keys`
    to officers whose rewraps and trust files are accepted. The trust file `trust`, or else the file
    beside `identity`, names more nodes. Without a trusted key, no recording is whole.

    With the key file `identity`, each recording is also decrypted to its end. A signing key in this
    file is accepted as an officer's key too. If `fetch` is None, only the manifests and rows on
    the server are verified.

    Raises `CliError` if a key, a file or a folder cannot be read, or the server refused a request.
    """
    officers = [public_key(text, "--officer-key") for text in officer_keys]
    identities: Sequence[Identity] = ()
    if identity is not None:
        file = read_identity(identity)
        identities = file.identities
        officers += signer_of(file)
    keys = [public_key(text, "--node-key") for text in node_keys]
    keys += trusted_keys(trust, identity, officers)
    checked_period(since, "--since")
    if not what or is_call_id(what):
        if identity is not None and fetch is None:
            raise CliError(
                "--identity needs the files of the recordings, which are on the server",
                "add --purpose and --reference to fetch them, or verify a copy of the archive",
                status=2,
            )
        verify_one_on_server = partial(
            _verify_on_server, keys=keys, officers=officers, identities=identities, fetch=fetch
        )
        if what:
            found = fetch_index_check(server, call_id=what).findings
            if ROW_DELETED in found.get(what, ()):
                return [RecordingVerdict(what, tuple(found[what]))]
            return _with_findings([verify_one_on_server(what, server=server)], found)
        verdicts = [
            verify_one_on_server(row["call_id"], server=server)
            for row in indexed_rows(server, since=since or 0.0)
        ]
        # A response has named the centre's time zone by now. `_begin` reads `since` in this zone.
        return _with_findings(verdicts, fetch_index_check(server, since=_begin(since)).findings)
    if fetch is not None:
        raise CliError(
            "--purpose and --reference fetch recordings from the server",
            "leave them out to verify a folder",
            status=2,
        )

    def verify_one(folder: Path, call_id: str) -> RecordingVerdict:
        return verify_recording(
            folder, call_id, node_keys=keys, officer_keys=officers, identities=identities
        )

    return [
        check_when_stable(
            partial(verify_one, folder, call_id),
            attrgetter("has_unexplained_damage"),
            folder,
            call_id,
        )
        for folder, call_id in _recordings_in(what, _begin(since))
    ]


def _with_findings(
    verdicts: Sequence[RecordingVerdict], findings: Mapping[str, Sequence[str]]
) -> list[RecordingVerdict]:
    """Return the verdicts with the server's findings. A call without a verdict gets one."""
    by_call = {verdict.call_id: verdict for verdict in verdicts}
    for call_id, found in findings.items():
        verdict = by_call.get(call_id, RecordingVerdict(call_id))
        new = (each for each in found if each not in verdict.problems)
        by_call[call_id] = replace(verdict, problems=(*verdict.problems, *new))
    return [by_call[call_id] for call_id in sorted(by_call)]


def _recordings_in(what: str, begin: float) -> list[tuple[Path, str]]:
    """Return folder and call id of each recording in `what`, a folder or a recording's file.

    Of a folder, only calls that began at `begin` (Unix seconds) or later are returned.
    """
    path = Path(what)
    if path.is_dir():
        first = time.strftime("%Y%m%d-%H%M%S", time.gmtime(begin))
        try:
            return [each for each in recordings_below(path) if each[1] >= first]
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise CliError(
                f"cannot read {error.filename}: {reason}",
                "correct this, then run the command again: no recording was verified",
            ) from None
    if path.is_file() and path.suffix in _SUFFIXES:
        return [(path.parent, path.stem)]
    raise CliError(
        f"{what} is neither a folder, a recording's file nor a call id",
        "give the folder that holds ID.header, ID.payload and ID.manifest",
    )


def _begin(words: str) -> float:
    """Return the start of a period in words, in Unix seconds; 0 if `words` is empty."""
    since = read_period(words, "--since")
    return since.since if since is not None else 0.0


def _verify_on_server(
    call_id: str,
    *,
    keys: Sequence[str],
    officers: Sequence[str],
    identities: Sequence[Identity],
    fetch: FetchPurpose | None,
    server: str,
) -> RecordingVerdict:
    if not is_call_id(call_id):
        return RecordingVerdict(call_id, (disagreement("call id"),))
    detail: dict[str, Any] = ask(server, "GET", f"/recordings/{call_id}")
    manifest = None if detail["manifest"] is None else detail["manifest"].encode()
    if detail.get("disposal"):
        verdict = verify_disposal(call_id, detail["disposal"].encode(), manifest, keys)
        if verdict.manifest is None:
            return verdict
        compared, _ = compare_file(_row_of(detail), manifest, keys)
        notes = () if compared.is_committed else (NOT_COMMITTED,)
        problems = (*verdict.problems, *compared.problems)
        return replace(verdict, problems=problems, notes=(*verdict.notes, *notes))
    if fetch is None or manifest is None:
        return _verify_indexed(detail, keys, officers)
    with fetched_files(detail, fetch, server) as files:
        return verify_fetched(detail, files, keys, officers, identities)


@dataclass(frozen=True, slots=True)
class FetchedFiles:
    """The encrypted files of a recording, in a temporary folder.

    `problems` has a text for each file that the server could not send.
    """

    folder: Path
    call_id: str
    problems: Sequence[str] = ()

    def path(self, part: str) -> Path:
        """Return the path of a file, such as the "payload"."""
        return self.folder / f"{self.call_id}.{part}"


@contextmanager
def fetched_files(
    detail: Mapping[str, Any], why: FetchPurpose, server: str
) -> Iterator[FetchedFiles]:
    """Fetch the files of a recording.

    `detail` is the server's answer about it. Raises `CliError` if the server refuses the request.
    """
    row = _row_of(detail)
    with temporary_file_errors(), tempfile.TemporaryDirectory(prefix="galwad-") as name:
        files = FetchedFiles(Path(name), row.call_id)
        for part in ("manifest", "rewrap"):
            if detail.get(part):
                files.path(part).write_bytes(detail[part].encode())
        yield replace(files, problems=_fetch_files(files, row, why, server))


def verify_fetched(
    detail: Mapping[str, Any],
    files: FetchedFiles,
    keys: Sequence[str],
    officers: Sequence[str],
    identities: Sequence[Identity],
) -> RecordingVerdict:
    """Verify a recording's files and its row. The arguments are as for `verify`."""
    indexed = _verify_indexed(detail, keys, officers)
    if files.problems:
        return replace(indexed, problems=(*files.problems, *indexed.problems), files_read=True)
    read = verify_recording(
        files.folder, files.call_id, node_keys=keys, officer_keys=officers, identities=identities
    )
    problems = tuple(dict.fromkeys((*indexed.problems, *read.problems)))
    both = dict.fromkeys((*indexed.notes, *read.notes))
    return replace(read, problems=problems, notes=tuple(both))


def _verify_indexed(
    detail: Mapping[str, Any], keys: Sequence[str], officers: Sequence[str]
) -> RecordingVerdict:
    manifest = None if detail["manifest"] is None else detail["manifest"].encode()
    rewrap = (detail.get("rewrap") or "").encode()
    return verify_indexed(
        _row_of(detail), manifest, node_keys=keys, rewrap=rewrap, officer_keys=officers
    )


def _fetch_files(
    files: FetchedFiles, row: RecordingSummary, why: FetchPurpose, server: str
) -> list[str]:
    """Fetch the encrypted files; return a problem for each file that is refused."""
    problems = []
    parts = ["payload", *(["raw"] if row.raw_size else [])]
    with http_errors(), open_client(server) as client:
        for part in parts:
            try:
                with files.path(part).open("wb") as file:
                    header, _ = receive(row.call_id, why, client, file, raw=part == "raw")
            except CliError as error:
                if error.http_status not in _WITHOUT_FILES:
                    raise
                problems.append(f"the server cannot send the {part}: {error.message}")
                files.path(part).unlink()
            else:
                files.path("header").write_bytes(header)
    return problems


def _row_of(detail: Mapping[str, Any]) -> RecordingSummary:
    row = detail["recording"]
    others = {
        # An older server does not report the folder and the salt.
        "folder": detail.get("folder") or day_folder(row["call_id"]),
        "salt": detail.get("salt", ""),
        "talk_us": round(row["talk_s"] * _US),
        "unexplained_us": round(row["unexplained_s"] * _US),
    }
    try:
        return msgspec.convert({**row, **others}, RecordingSummary)
    except msgspec.ValidationError as error:
        raise CliError(
            f"cannot read the server's answer: {error}", "check the server's address"
        ) from None
