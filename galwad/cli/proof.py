"""Proving recordings whole: offline in a folder, or from the server's index and manifest.

Three files make a recording: `ID.header`, `ID.payload`, `ID.manifest`. Offline, their digests
and signatures are compared; with an identity every chunk is opened as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from galwad.cli import sealed
from galwad.cli.client import ask
from galwad.cli.console import CliError
from galwad.cli.fetching import CALL_ID
from recording.age import Header, Identity
from recording.errors import AgeError

_PARTS: Final = ("header", "payload", "manifest")
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One recording, and what is wrong with it."""

    call_id: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "call_id": self.call_id,
            "whole": not self.problems,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }

    def sentence(self) -> str:
        """For people."""
        if self.problems:
            return f"{self.call_id}  NOT WHOLE: {'; '.join(self.problems)}"
        return f"{self.call_id}  whole" + (f" ({'; '.join(self.notes)})" if self.notes else "")


def verify(what: str, *, identity: Path | None, server: str) -> list[Finding]:
    """Verify a folder, one `.manifest` file, or a recording by its id."""
    identities = sealed.read_identity(identity) if identity is not None else []
    if CALL_ID.fullmatch(what):
        return [_by_server(what, server)]
    path = Path(what)
    if path.is_dir():
        stems = {found.with_suffix("") for part in _PARTS for found in path.rglob(f"*.{part}")}
        stems = {stem for stem in stems if CALL_ID.fullmatch(stem.name)}
        return [_offline(stem, identities) for stem in sorted(stems)]
    if path.is_file() and path.suffix.removeprefix(".") in _PARTS:
        return [_offline(path.with_suffix(""), identities)]
    raise CliError(
        f"{what} is neither a folder, a recording's file nor an id",
        "name the folder that holds ID.header, ID.payload and ID.manifest",
    )


def _by_server(call_id: str, server: str) -> Finding:
    """The manifest that lies in the archive is the one that was indexed."""
    detail: dict[str, Any] = ask(server, "GET", f"/recordings/{call_id}")
    row, text = detail["recording"], detail["manifest"]
    problems = []
    if text is None:
        problems.append("its manifest is missing from the archive")
    elif hashlib.sha256(text.encode()).hexdigest() != row["manifest_sha256"]:
        problems.append("its manifest is not the one that was indexed")
    if row["unexplained_s"]:
        problems.append(f"{row['unexplained_s']:.1f} s are explained by nothing")
    notes = ["interrupted"] if row["interrupted"] else []
    return Finding(call_id, tuple(problems), tuple(notes))


def _offline(stem: Path, identities: list[Identity]) -> Finding:
    files = {part: stem.with_suffix(f".{part}") for part in _PARTS}
    problems = [f"its {part} is missing" for part, file in files.items() if not file.is_file()]
    if not problems:
        problems += _manifest_problems(files)
        problems += _opening_problems(files, identities)
    notes = ["opened to its end"] if identities and not problems else []
    return Finding(stem.name, tuple(problems), tuple(notes))


def _manifest_problems(files: dict[str, Path]) -> Iterator[str]:
    """What the manifest says of the payload, against the payload itself."""
    manifest = files["manifest"].read_bytes()
    with files["payload"].open("rb") as payload:
        digest = hashlib.file_digest(payload, "sha256").hexdigest()
    if digest.encode() not in manifest:
        yield "its payload was changed: the manifest states another digest"


def _opening_problems(files: dict[str, Path], identities: list[Identity]) -> Iterator[str]:
    """What age says: of the header alone, or of every chunk when we can open it."""
    header = files["header"].read_bytes()
    try:
        Header.parse(header)
    except AgeError as error:
        yield f"its header: {error}"
        return
    if not identities:
        return
    try:
        with (
            files["payload"].open("rb") as payload,
            sealed.opened(header, payload, identities) as plain,
        ):
            while plain.read(_BLOCK):
                continue
    except CliError as error:
        yield error.message
