"""Checks that need an identity: whether a recording opens, its length, and its silent gaps.

They find changes by a person who stole the node's key and signed the manifest again.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import soundfile

from recording.age.file import Identity, open_parts
from recording.archive.manifest import Manifest
from recording.errors import AgeError
from recording.keys.keyring import fingerprint

_US: Final = 1_000_000
_BLOCK: Final = 1 << 20
_FRAMES: Final = 1 << 16


def check_content(
    folder: Path, call_id: str, manifest: Manifest, identities: list[Identity]
) -> Iterator[str]:
    """Yield how the recording's content differs from the manifest."""
    try:
        header = (folder / f"{call_id}.header").read_bytes()
        with (folder / f"{call_id}.payload").open("rb") as payload:
            reader = _read_to_its_end(header, payload, identities)
            if _samples(manifest):
                reader.seek(0)
                with soundfile.SoundFile(reader) as audio:
                    yield from _audio_problems(audio, manifest)
            elif reader.tell():
                yield "there is audio inside, and the manifest says that there is none"
        if manifest.raw is not None:
            with (folder / f"{call_id}.raw").open("rb") as raw:
                _read_to_its_end(header, raw, identities)
    except AgeError as error:
        mine = ", ".join(fingerprint(identity.recipient) for identity in identities)
        yield f"it does not open with {mine}: {error}"
    except soundfile.SoundFileError:
        yield "what is inside is no whole FLAC file"
    except OSError as error:
        yield f"it cannot be read: {(error.strerror or '').lower()}"


def _read_to_its_end(
    header: bytes, payload: BinaryIO, identities: list[Identity]
) -> io.BufferedIOBase:
    """Open a payload and authenticate all of it before any of it is decoded.

    Raises `AgeError`, `OSError`.
    """
    reader = io.BufferedReader(open_parts(header, payload, identities), _BLOCK)
    while reader.read(_BLOCK):
        continue
    return reader


def _samples(manifest: Manifest) -> int:
    """Return the expected samples of each channel; 0: there is no FLAC file.

    It is 0 if the recording process died before the first sample.
    """
    return manifest.talk_us * manifest.rate // _US


def _count_samples(audio: soundfile.SoundFile, manifest: Manifest) -> tuple[int, int]:
    """Return the number of samples, and the number of gaps with a sample that is not zero.

    Gaps by a fault are not counted: sound from before and after may reach into their edges.
    """
    rate, at = manifest.rate, 0
    meant = (gap for gap in manifest.gaps if gap.reason != "fault")
    gaps = sorted((-(-gap.from_us * rate // _US), gap.to_us * rate // _US) for gap in meant)
    loud: set[int] = set()
    first = 0
    for block in audio.blocks(_FRAMES, dtype="int16"):
        end = at + len(block)
        while first < len(gaps) and gaps[first][1] <= at:
            first += 1
        for number in range(first, len(gaps)):
            start, to = gaps[number]
            if start >= end:
                break
            if block[max(0, start - at) : max(0, to - at)].any():
                loud.add(number)
        at = end
    return at, len(loud)


def _audio_problems(audio: soundfile.SoundFile, manifest: Manifest) -> Iterator[str]:
    expected = _samples(manifest)
    if (audio.samplerate, audio.channels) != (manifest.rate, 2):
        yield "the audio inside is not of the kind that the manifest says"
    decoded, loud = _count_samples(audio, manifest)
    if loud:
        yield f"there is sound in {loud} of its gaps, which no fault explains"
    if decoded != expected:
        yield f"the audio inside has {decoded} samples, the manifest says {expected}"
    if audio.title != manifest.call_id:
        yield "the audio inside is that of another call"
