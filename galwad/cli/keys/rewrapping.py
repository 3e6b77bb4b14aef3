"""The work of `galwad keys rewrap`: new headers, made and verified on the officer's machine.

The recordings are rewrapped one after another. For each recording, the command fetches the header,
compares it with the signed manifest or rewrap record, and makes a new header. The new header is
sent to the server, read back and verified. Only then does the server replace the old header.

If an interrupted command is started again, it skips the recordings that it has already rewrapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from galwad.cli.support.client import answer_of, http_errors, refusal
from galwad.cli.support.console import CliError, one_line
from galwad.cli.support.progress import progress_bar
from recording.age.file import Identity
from recording.archive.manifest import MANIFEST
from recording.archive.rewrap import HeaderStatus, classify_header, facts_of, rewrap
from recording.errors import KeySetError, RecordingError
from recording.keys.keyring import OfficerKeys, RecipientSet, fingerprint

_PER_RECORDING_STATUSES = frozenset({404, 409, 422})


@dataclass(frozen=True, slots=True)
class RewrapOptions:
    """The options of `galwad keys rewrap`, as given on the command line."""

    officer: OfficerKeys
    identities: Sequence[Identity]
    reference: str
    recipients: RecipientSet | None
    """The signed set of recipients. If the server has another set, the command stops. If None, the
    server may have any set that `officer` signed."""
    node_keys: Sequence[str]
    """The public keys of the nodes that may have signed a manifest. If empty, any key may."""
    former: Sequence[str]
    """The public signing keys of earlier officers, whose rewraps are accepted."""
    only_count: bool


@dataclass(slots=True)
class RewrapResult:
    """The results of a rewrap so far: the server's recipient set, counts, and errors.

    `failed` has an error text for the call id of each recording that was not rewrapped.
    """

    recipients: RecipientSet
    recordings: int = 0
    waiting: int = 0
    """The number of recordings whose headers needed a rewrap when the command began."""
    rewrapped: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the results as a mapping for JSON output."""
        return {
            "set": {
                "serial": self.recipients.serial,
                "recipients": [
                    {"name": name, "fingerprint": mark} for name, mark in named(self.recipients)
                ],
            },
            "recordings": self.recordings,
            "already": self.recordings - self.waiting,
            "rewrapped": self.rewrapped,
            "failed": [{"call_id": key, "error": why} for key, why in self.failed.items()],
        }


def named(recipients: RecipientSet) -> Iterator[tuple[str, str]]:
    """Yield for each recipient in the set its name and its fingerprint."""
    keys = zip(recipients.named, recipients.recipients, strict=True)
    yield from ((entry.name, fingerprint(key)) for entry, key in keys)


class _RefusedError(Exception):
    """A recording cannot be rewrapped.

    Its header is not changed, and the command continues with the next recording.
    """


class _GoneError(Exception):
    """A recording was disposed of during the run, so it has no header to rewrap."""


def run(client: httpx2.Client, options: RewrapOptions, *, quiet: bool) -> RewrapResult:
    """Rewrap each recording whose header is not for the server's recipients; return the results.

    If `quiet` is true, no progress bar is shown.
    """
    with http_errors():
        result = RewrapResult(_set_in_force(client, options))
        waiting = _waiting(client, result)
    result.waiting = len(waiting)
    if not options.only_count:
        with progress_bar("rewrapping", quiet=quiet) as shown:
            for call_id in shown.track(waiting):
                _rewrap_one(client, options, result, call_id)
    return result


def _set_in_force(client: httpx2.Client, options: RewrapOptions) -> RecipientSet:
    content = answer_of(client.get("/recipients"))["content"]
    try:
        found = RecipientSet.parse(content.encode(), options.officer.public_key)
    except KeySetError as error:
        raise CliError(
            f"cannot use the server's set: {error}", "put the set that you signed there"
        ) from None
    if options.recipients is not None and found != options.recipients:
        raise CliError(
            f"the server has another set, number {found.serial}", "put your set there first"
        )
    return found


def _waiting(client: httpx2.Client, result: RewrapResult) -> list[str]:
    """Return the call ids of the recordings whose headers are not for the recipients in the set.

    The set is `result.recipients`. Also store the number of all recordings, except those that were
    disposed of, in `result.recordings`.
    """
    wanted = sorted(result.recipients.fingerprints)
    waiting: list[str] = []
    after, more = "", True
    while more:
        page = answer_of(client.post("/headers/search", json={"after": after}))
        for row in page["rows"]:
            after = row["call_id"]
            if row["disposed"]:
                continue
            result.recordings += 1
            if not row["current"] or sorted(row["recipients"]) != wanted:
                waiting.append(after)
        more = page["more"]
    return waiting


def _rewrap_one(
    client: httpx2.Client, options: RewrapOptions, result: RewrapResult, call_id: str
) -> None:
    try:
        with http_errors():
            _replace(client, options, result.recipients, call_id)
        result.rewrapped += 1
    except _GoneError:
        result.recordings -= 1
        result.waiting -= 1
    except (_RefusedError, RecordingError) as error:
        result.failed[call_id] = str(error)
    except CliError as error:
        done = f"{result.rewrapped} of {result.waiting} are rewrapped"
        more = "" if error.hint in {"", "try again"} else f"; {error.hint}"
        hint = f"run it again: it continues where it stopped{more}"
        raise CliError(f"{error.message}: {done}", hint) from None


def _replace(
    client: httpx2.Client, options: RewrapOptions, recipients: RecipientSet, call_id: str
) -> None:
    """Replace the header of one recording.

    Several requests are sent to the server. Only the final request replaces the old header by the
    new one.

    Raises:
        _RefusedError: The recording cannot be rewrapped.
        _GoneError: The recording was disposed of.
        CliError: The server refuses a request for a reason that concerns all recordings.
    """
    path, why = f"/recordings/{call_id}/header", {"reference": options.reference}
    sealed = _answer(client.post(path, json=why))
    header, record = sealed["header"].encode(), sealed["rewrap"]
    manifest = MANIFEST.read(sealed["manifest"].encode(), options.node_keys or None)
    if manifest.call_id != call_id:
        raise _RefusedError(f"the manifest belongs to {manifest.call_id}")
    officers = options.officer.public_key, *options.former
    signed = None if record is None else record.encode()
    judged = classify_header(manifest, facts_of(header), signed, officers)
    if judged.header is HeaderStatus.UNKNOWN:
        raise _RefusedError(judged.problem)
    new = rewrap(manifest, header, options.identities, recipients, options.officer.signing)
    offer = {"header": new.header.decode(), "rewrap": new.record.decode()}
    new.verify(_answer(client.put(path, json=offer))["header"].encode())
    digest = facts_of(new.header).sha256
    _answer(client.put(f"{path}/commit", json={**why, "sha256": digest}))


def _answer(response: httpx2.Response) -> Any:
    """Return the JSON document in the response.

    Raises:
        _GoneError: The recording was disposed of.
        _RefusedError: The server refuses the request for this recording only.
        CliError: The server refuses the request for a reason that concerns all recordings.
    """
    if response.status_code == httpx2.codes.GONE:
        raise _GoneError
    if response.status_code in _PER_RECORDING_STATUSES:
        raise _RefusedError(refusal(response)[0])
    return answer_of(response)


def lines(result: RewrapResult, *, only_count: bool) -> Iterator[str]:
    """Yield the results as lines of text: the server's recipient set, counts, and errors.

    With `only_count`, the number of recordings to rewrap is shown instead of the number of
    rewrapped recordings.
    """
    found = result.recipients
    yield f"set number {found.serial}, signed {found.signed_at}"
    for name, mark in named(found):
        yield f"  {name:<16} {mark}"
    done = f"{result.waiting} to rewrap" if only_count else f"{result.rewrapped} rewrapped"
    yield f"{result.recordings} recordings: {done}, {result.recordings - result.waiting} already"
    for call_id, why in result.failed.items():
        yield f"{call_id}  NOT REWRAPPED: {one_line(why)}"
