"""What is to be proven whole: a folder's recordings, one of them, or one that the server has.

`recording.archive.verify` decides; here it is found out what was meant, and said.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec

from galwad.cli import sealed
from galwad.cli.client import ask
from galwad.cli.console import CliError, one_line
from galwad.cli.fetching import CALL_ID
from galwad.when import HINT, period
from recording.age.file import Identity
from recording.archive.disposal import Certificate
from recording.archive.stability import at_rest
from recording.archive.verify import (
    Verdict,
    recordings_below,
    verify_disposal,
    verify_indexed,
    verify_recording,
)
from recording.errors import KeySetError
from recording.keys.keyring import parse_public

_PAGE: Final = 500
_SUFFIXES: Final = frozenset({".header", ".payload", ".raw", ".manifest", ".disposal"})


def as_json(verdict: Verdict) -> dict[str, object]:
    """For machines."""
    return {
        "call_id": verdict.call_id,
        "whole": verdict.whole,
        "problems": [*verdict.problems, *verdict.faults],
        "notes": list(verdict.notes),
        "disposal": None if verdict.disposal is None else msgspec.to_builtins(verdict.disposal),
    }


def sentence(verdict: Verdict) -> str:
    """For people."""
    notes = f" ({'; '.join(verdict.notes)})" if verdict.notes else ""
    if verdict.lost:
        text = f"NOT WHOLE: {'; '.join((*verdict.problems, *verdict.faults))}"
    elif verdict.disposal is not None:
        text = disposed(verdict.disposal) + notes
    else:
        text = f"whole{notes}"
    return f"{verdict.call_id}  {one_line(text)}"


def disposed(certificate: Certificate) -> str:
    """That a recording was disposed of, as its certificate says."""
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
) -> list[Verdict]:
    """Verify a folder, one file of a recording, a recording by its id, or all that the server has.

    `since`: words for a time, from the beginning of which on calls are meant.
    `node_key` is the node's public key or a file that holds it; without it a manifest is shown
    to be of one piece only. `officer_keys`: those whose rewraps are believed, in the same way,
    and so is the officer's whose file `identity` is.
    """
    key = public_key(node_key, "--node-key") if node_key else None
    officers = [public_key(text, "--officer-key") for text in officer_keys]
    identities: Sequence[Identity] = ()
    if identity is not None:
        file = sealed.read_identity(identity)
        identities = file.identities
        officers += sealed.signer_of(file)
    if CALL_ID.fullmatch(what):
        return [_by_server(what, key, officers, server)]
    begin = _begin(since)
    if not what:
        return [_by_server(each, key, officers, server) for each in _indexed(begin, server)]

    def look(folder: Path, call_id: str) -> Verdict:
        return verify_recording(
            folder, call_id, public_key=key, officer_keys=officers, identities=identities
        )

    return [
        at_rest(partial(look, folder, call_id), attrgetter("lost"), folder, call_id)
        for folder, call_id in _lying_in(what, begin)
    ]


def _lying_in(what: str, begin: float) -> list[tuple[Path, str]]:
    """The recordings in a folder, of calls from this time on; or the one that a file is of."""
    path = Path(what)
    if path.is_dir():
        first = time.strftime("%Y%m%d-%H%M%S", time.gmtime(begin))
        try:
            return [each for each in recordings_below(path) if each[1] >= first]
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise CliError(
                f"{error.filename} cannot be read: {reason}", "nothing is proven of what is in it"
            ) from None
    if path.is_file() and path.suffix in _SUFFIXES:
        return [(path.parent, path.stem)]
    raise CliError(
        f"{what} is neither a folder, a recording's file nor an id",
        "name the folder that holds ID.header, ID.payload and ID.manifest",
    )


def _begin(words: str) -> float:
    """The beginning of a time in words, in Unix seconds."""
    try:
        return period(words, time.time()).since if words else 0.0
    except ValueError:
        raise CliError("--since is no time", HINT, status=2) from None


def _indexed(begin: float, server: str) -> Iterator[str]:
    """The ids of all recordings that the server has from this time on, page by page."""
    query: dict[str, Any] = {"since": begin, "limit": _PAGE}
    while True:
        page = ask(server, "POST", "/recordings/search", query)
        yield from (row["call_id"] for row in page["rows"])
        if page["after"] is None:
            return
        query["after"] = page["after"]


def public_key(text: str, option: str) -> str:
    """A public signing key in base64, from a file with it or as it is."""
    path = Path(text)
    try:
        found = path.read_text(encoding="ascii").strip() if path.is_file() else text
        parse_public(found)
    except (KeySetError, OSError, UnicodeDecodeError):
        raise CliError(
            f"{option} is no public key", "44 characters of base64, or a file with them", status=2
        ) from None
    return found


def _by_server(call_id: str, key: str | None, officers: Sequence[str], server: str) -> Verdict:
    """The manifest that lies in the archive is whole, and is the one that was indexed."""
    detail: dict[str, Any] = ask(server, "GET", f"/recordings/{call_id}")
    row, text = detail["recording"], detail["manifest"]
    if detail.get("disposal"):
        manifest = None if text is None else text.encode()
        return verify_disposal(call_id, detail["disposal"].encode(), manifest, key)
    if text is None:
        return Verdict(call_id, ("the manifest is missing from the archive",))
    return verify_indexed(
        call_id,
        text.encode(),
        manifest_sha256=row["manifest_sha256"],
        payload_sha256=row["payload_sha256"],
        payload_size=row["payload_size"],
        public_key=key,
        rewrap=(detail.get("rewrap") or "").encode(),
        officer_keys=officers,
    )
