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
from recording.errors import AgeError, KeySetError, ManifestError
from recording.keys import parse_public
from recording.manifest import Manifest, read_manifest

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


def verify(what: str, *, node_key: str | None, identity: Path | None, server: str) -> list[Finding]:
    """Verify a folder, one `.manifest` file, or a recording by its id.

    `node_key` is the node's public key or a file that holds it; without it a manifest is shown
    to be of one piece only.
    """
    key = _key(node_key) if node_key else None
    identities = sealed.read_identity(identity) if identity is not None else []
    if CALL_ID.fullmatch(what):
        return [_by_server(what, key, server)]
    path = Path(what)
    if path.is_dir():
        stems = {found.with_suffix("") for part in _PARTS for found in path.rglob(f"*.{part}")}
        stems = {stem for stem in stems if CALL_ID.fullmatch(stem.name)}
        return [_offline(stem, key, identities) for stem in sorted(stems)]
    if path.is_file() and path.suffix.removeprefix(".") in _PARTS:
        return [_offline(path.with_suffix(""), key, identities)]
    raise CliError(
        f"{what} is neither a folder, a recording's file nor an id",
        "name the folder that holds ID.header, ID.payload and ID.manifest",
    )


def _key(text: str) -> str:
    path = Path(text)
    try:
        found = path.read_text(encoding="ascii").strip() if path.is_file() else text
        parse_public(found)
    except (KeySetError, OSError, UnicodeDecodeError):
        raise CliError(
            "--node-key is no public key", "44 characters of base64, or a file with them", status=2
        ) from None
    return found


def _by_server(call_id: str, key: str | None, server: str) -> Finding:
    """The manifest that lies in the archive is whole, and is the one that was indexed."""
    detail: dict[str, Any] = ask(server, "GET", f"/recordings/{call_id}")
    row, text = detail["recording"], detail["manifest"]
    if text is None:
        return Finding(call_id, ("its manifest is missing from the archive",))
    problems = []
    if hashlib.sha256(text.encode()).hexdigest() != row["manifest_sha256"]:
        problems.append("its manifest is not the one that was indexed")
    try:
        manifest = read_manifest(text.encode(), key)
    except ManifestError as error:
        return Finding(call_id, (*problems, str(error)))
    problems += _claims(manifest, call_id, row["payload_sha256"], row["payload_size"])
    return Finding(call_id, tuple(problems), _notes(manifest, key))


def _offline(stem: Path, key: str | None, identities: list[Identity]) -> Finding:
    """The three files, against each other and against the keys at hand."""
    files = {part: stem.with_suffix(f".{part}") for part in _PARTS}
    missing = [f"its {part} is missing" for part, file in files.items() if not file.is_file()]
    if missing:
        return Finding(stem.name, tuple(missing))
    problems: list[str] = []
    notes: tuple[str, ...] = ()
    try:
        manifest = read_manifest(files["manifest"].read_bytes(), key)
        with files["payload"].open("rb") as payload:
            digest = hashlib.file_digest(payload, "sha256").hexdigest()
        problems += _claims(manifest, stem.name, digest, files["payload"].stat().st_size)
        notes = _notes(manifest, key)
    except ManifestError as error:
        problems.append(str(error))
    problems += _opening_problems(files, identities)
    if identities:
        notes = (*notes, "opened to its end")
    return Finding(stem.name, tuple(problems), notes)


def _claims(manifest: Manifest, call_id: str, digest: str, octets: int) -> Iterator[str]:
    """Where the manifest and what it speaks of differ."""
    if manifest.call_id != call_id:
        yield "its manifest is that of another recording"
    if (manifest.payload.sha256, manifest.payload.size) != (digest, octets):
        yield "its payload is not the one that was sealed"
    if manifest.unexplained:
        yield f"{manifest.unexplained_us / 1e6:.1f} s are explained by nothing"
    if manifest.damaged:
        yield "it was sealed from a damaged spool"


def _notes(manifest: Manifest, key: str | None) -> tuple[str, ...]:
    """What is no fault of the files, but should be known."""
    interrupted = ("interrupted",) if manifest.interrupted else ()
    return (*interrupted, f"signed by {manifest.node}") if key else interrupted


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
