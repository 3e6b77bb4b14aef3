"""`galwad keys rewrap`: new headers for the set in force, made and proven on the officer's machine.

It takes one recording after another. It fetches the header, judges it by what was signed, opens it,
makes a new one, sends that, reads it back, proves it, and only then puts it in force. Recordings
that are done are passed over, so an interrupted run can be started again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from galwad.cli.support.client import check, refusal, told_as_ours
from galwad.cli.support.console import CliError, one_line
from galwad.cli.support.progress import bar
from recording.age.file import Identity
from recording.archive.manifest import read_manifest
from recording.archive.rewrap import HeaderIs, facts_of, judge_header, rewrap
from recording.errors import KeySetError, RecordingError
from recording.keys.keyring import OfficerKeys, RecipientSet, fingerprint

_THIS_ONE_ALONE = frozenset({404, 409, 422})


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of a rewrap, as given on the command line."""

    officer: OfficerKeys
    identities: Sequence[Identity]
    reference: str
    recipients: RecipientSet | None
    """The signed set that the server must have; None for any set that this officer signed."""
    node_key: str | None
    former: Sequence[str]
    """Public keys of officers before this one, whose rewraps are accepted."""
    only_count: bool


@dataclass(slots=True)
class Outcome:
    """The result of a run."""

    recipients: RecipientSet
    recordings: int = 0
    waiting: int = 0
    """The number of recordings whose header was not for the set's recipients."""
    rewrapped: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the outcome for JSON output."""
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
    """Yield the name and the fingerprint of each recipient."""
    keys = zip(recipients.named, recipients.recipients, strict=True)
    yield from ((entry.name, fingerprint(key)) for entry, key in keys)


class _RefusedError(Exception):
    """The header of this recording stays as it is; the run continues."""


class _GoneError(Exception):
    """The recording was disposed of during the run, so there is nothing to rewrap."""


def run(client: httpx.Client, wish: Wish, *, quiet: bool) -> Outcome:
    """Rewrap all recordings that are not sealed to the set in force; `quiet` draws no bar."""
    with told_as_ours():
        outcome = Outcome(_set_in_force(client, wish))
        waiting = _waiting(client, outcome)
    outcome.waiting = len(waiting)
    if not wish.only_count:
        with bar("rewrapping", quiet=quiet) as shown:
            for call_id in shown.track(waiting):
                _one(client, wish, outcome, call_id)
    return outcome


def _set_in_force(client: httpx.Client, wish: Wish) -> RecipientSet:
    content = _read(client.get("/recipients"))["content"]
    try:
        found = RecipientSet.parse(content.encode(), wish.officer.public_key)
    except KeySetError as error:
        raise CliError(f"the server's set: {error}", "give it the set that you signed") from None
    if wish.recipients is not None and found != wish.recipients:
        raise CliError(
            f"the server has another set, number {found.serial}", "put yours there first"
        )
    return found


def _waiting(client: httpx.Client, outcome: Outcome) -> list[str]:
    """Return the recordings whose header is not for the set's recipients."""
    wanted = sorted(outcome.recipients.fingerprints)
    waiting: list[str] = []
    after, more = "", True
    while more:
        page = _read(client.post("/headers/search", json={"after": after}))
        for row in page["rows"]:
            after = row["call_id"]
            if row["disposed"]:
                continue
            outcome.recordings += 1
            if not row["current"] or sorted(row["recipients"]) != wanted:
                waiting.append(after)
        more = page["more"]
    return waiting


def _one(client: httpx.Client, wish: Wish, outcome: Outcome, call_id: str) -> None:
    try:
        with told_as_ours():
            _replace(client, wish, outcome.recipients, call_id)
        outcome.rewrapped += 1
    except _GoneError:
        outcome.recordings -= 1
        outcome.waiting -= 1
    except (_RefusedError, RecordingError) as error:
        outcome.failed[call_id] = str(error)
    except CliError as error:
        done = f"{outcome.rewrapped} of {outcome.waiting} are rewrapped"
        more = "" if error.hint in {"", "try again"} else f"; {error.hint}"
        hint = f"run it again, it goes on where it ended{more}"
        raise CliError(f"{error.message}: {done}", hint) from None


def _replace(client: httpx.Client, wish: Wish, recipients: RecipientSet, call_id: str) -> None:
    """Replace one header; until the last request, the header in force does not change."""
    path, why = f"/recordings/{call_id}/header", {"reference": wish.reference}
    sealed = _answer(client.post(path, json=why))
    header, record = sealed["header"].encode(), sealed["rewrap"]
    manifest = read_manifest(sealed["manifest"].encode(), wish.node_key)
    if manifest.call_id != call_id:
        raise _RefusedError(f"the manifest is that of {manifest.call_id}")
    officers = wish.officer.public_key, *wish.former
    signed = None if record is None else record.encode()
    judged = judge_header(manifest, facts_of(header), signed, officers)
    if judged.header is HeaderIs.UNKNOWN:
        raise _RefusedError(judged.problem)
    new = rewrap(manifest, header, wish.identities, recipients, wish.officer.signing)
    offer = {"header": new.header.decode(), "rewrap": new.record.decode()}
    new.prove(_answer(client.put(path, json=offer))["header"].encode())
    digest = facts_of(new.header).sha256
    _answer(client.put(f"{path}/commit", json={**why, "sha256": digest}))


def _answer(response: httpx.Response) -> Any:
    """Return the JSON answer.

    Raises:
        _GoneError: The recording was disposed of.
        _RefusedError: The server refuses this recording.
        CliError: The server refuses for a reason that ends the run.
    """
    if response.status_code == httpx.codes.GONE:
        raise _GoneError
    if response.status_code in _THIS_ONE_ALONE:
        raise _RefusedError(refusal(response)[0])
    return _read(response)


def _read(response: httpx.Response) -> Any:
    """Return the JSON answer, None if it is empty; a refusal ends the run."""
    check(response)
    if response.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        return response.json()
    except ValueError:
        raise CliError("what answered is no Galwad server", "check the address") from None


def told(outcome: Outcome, *, only_count: bool) -> Iterator[str]:
    """Yield lines for people: the set, what was done, and what was not."""
    found = outcome.recipients
    yield f"set number {found.serial}, signed {found.signed_at}"
    for name, mark in named(found):
        yield f"  {name:<16} {mark}"
    done = f"{outcome.waiting} to rewrap" if only_count else f"{outcome.rewrapped} rewrapped"
    yield f"{outcome.recordings} recordings: {done}, {outcome.recordings - outcome.waiting} already"
    for call_id, why in outcome.failed.items():
        yield f"{call_id}  NOT REWRAPPED: {one_line(why)}"
