"""Proving a recording whole: from the outside with no key, from the inside with an identity."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import soundfile

from recording.age import Header, Identity, open_parts
from recording.errors import AgeError, HeaderError, ManifestError
from recording.keys import fingerprint
from recording.manifest import Manifest, verify_manifest

_BLOCK: Final = 1 << 20
_FRAMES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: `problems` mean that it is not whole, `notes` are worth knowing."""

    call_id: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    manifest: Manifest | None = field(default=None, repr=False)

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def recordings_below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Folder and call id of whatever recording has any object here or below, in order."""
    found = {
        (path.parent, path.name.rpartition(".")[0])
        for path in folder.rglob("*.*")
        if path.suffix in {".payload", ".header", ".manifest"} and not path.name.startswith(".")
    }
    yield from sorted(found, key=lambda each: each[1])


def verify_recording(
    folder: Path,
    call_id: str,
    *,
    public_key: str | None = None,
    identities: Iterable[Identity] = (),
) -> Verdict:
    """Compare the three objects of a recording with each other and with the signature.

    Args:
        folder: where they lie.
        call_id: the recording.
        public_key: the node's signing key, known from elsewhere (base64).
        identities: with them, the audio is opened, decoded to its end and measured too.
    """
    try:
        manifest = verify_manifest(folder / f"{call_id}.manifest", public_key)
    except ManifestError as error:
        return Verdict(call_id, (str(error),))
    problems, notes = list(_outside(folder, call_id, manifest)), list(_notes(manifest))
    if public_key is None:
        notes.append("the node's key was taken from the manifest itself")
    given = list(identities)
    if given and not problems:
        problems += _inside(folder, call_id, manifest, given)
    return Verdict(call_id, tuple(problems), tuple(notes), manifest)


def _outside(folder: Path, call_id: str, manifest: Manifest) -> Iterator[str]:
    if manifest.call_id != call_id:
        yield f"the manifest is that of {manifest.call_id}"
    try:
        with (folder / f"{call_id}.payload").open("rb") as payload:
            yield from _payload(payload, manifest)
    except FileNotFoundError:
        yield "the payload is missing"
    except OSError as error:
        yield f"the payload cannot be read: {(error.strerror or '').lower()}"
    try:
        Header.parse((folder / f"{call_id}.header").read_bytes())
    except FileNotFoundError:
        yield "the header is missing: nobody can open the recording"
    except HeaderError as error:
        yield f"the header is damaged: {error}"
    except OSError as error:
        yield f"the header cannot be read: {(error.strerror or '').lower()}"


def _payload(payload: BinaryIO, manifest: Manifest) -> Iterator[str]:
    size, expected = os.fstat(payload.fileno()).st_size, manifest.payload.size
    if size < expected:
        yield f"the payload is cut: {size} of {expected} bytes"
    elif size > expected:
        yield f"the payload has {size - expected} bytes too many"
    else:
        digest = hashlib.sha256()
        while block := payload.read(_BLOCK):
            digest.update(block)
        if digest.hexdigest() != manifest.payload.sha256:
            yield "the payload was changed or swapped: it has another digest"


def _notes(manifest: Manifest) -> Iterator[str]:
    if manifest.interrupted:
        yield "the recording was interrupted"
    if manifest.damaged:
        yield "a spool was damaged before it was sealed"
    if manifest.unexplained:
        yield f"{manifest.unexplained_us / 1e6:.1f} s are unexplained"


def _inside(
    folder: Path, call_id: str, manifest: Manifest, identities: list[Identity]
) -> Iterator[str]:
    header = (folder / f"{call_id}.header").read_bytes()
    try:
        with (folder / f"{call_id}.payload").open("rb") as payload:
            reader = io.BufferedReader(open_parts(header, payload, identities), _BLOCK)
            while reader.read(_BLOCK):  # all of it authenticates before any of it is decoded
                continue
            reader.seek(0)
            with soundfile.SoundFile(reader) as audio:
                yield from _audio(audio, manifest)
    except AgeError as error:
        mine = ", ".join(fingerprint(identity.recipient) for identity in identities)
        yield f"it does not open with {mine}: {error}"
    except soundfile.SoundFileError:
        yield "what is inside is no whole FLAC file"


def _audio(audio: soundfile.SoundFile, manifest: Manifest) -> Iterator[str]:
    expected = manifest.talk_us * manifest.rate // 1_000_000
    if (audio.samplerate, audio.channels) != (manifest.rate, 2):
        yield "the audio inside is not of the kind that the manifest says"
    decoded = sum(len(block) for block in audio.blocks(_FRAMES, dtype="int16"))
    if decoded != expected:
        yield f"the audio inside has {decoded} samples, the manifest says {expected}"
    if audio.title != manifest.call_id:
        yield "the audio inside is that of another call"
