"""Checks the audio of a recording with an age identity that opens the recording.

The audio must be as long as the manifest says, and silent in the gaps. This also finds a manifest
that was changed and then signed with a stolen key of the node.
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
    """Yield a description of each difference between the recording's audio and the manifest.

    If no identity opens the recording, yield only that.
    """
    try:
        header = (folder / f"{call_id}.header").read_bytes()
        with (folder / f"{call_id}.payload").open("rb") as payload:
            reader = _read_to_its_end(header, payload, identities)
            if _samples(manifest):
                reader.seek(0)
                with soundfile.SoundFile(reader) as audio:
                    yield from _audio_problems(audio, manifest)
            elif reader.tell():
                yield "the payload has audio, but the manifest says that it has none"
        if manifest.raw is not None:
            with (folder / f"{call_id}.raw").open("rb") as raw:
                _read_to_its_end(header, raw, identities)
    except AgeError as error:
        mine = ", ".join(fingerprint(identity.recipient) for identity in identities)
        yield f"it cannot be opened with {mine}: {error}"
    except soundfile.SoundFileError:
        yield "the decrypted payload is not a complete FLAC file"
    except OSError as error:
        yield f"it cannot be read: {(error.strerror or '').lower()}"


def _read_to_its_end(
    header: bytes, payload: BinaryIO, identities: list[Identity]
) -> io.BufferedIOBase:
    """Return a file object with a payload's plaintext, after all of it was authenticated.

    So the audio decoder never gets bytes that were changed. Raises `AgeError`, `OSError`.
    """
    reader = io.BufferedReader(open_parts(header, payload, identities), _BLOCK)
    while reader.read(_BLOCK):
        continue
    return reader


def _samples(manifest: Manifest) -> int:
    """Return the samples that each channel should have; 0 if the process died before the first."""
    return manifest.talk_us * manifest.rate // _US


def _count_samples(audio: soundfile.SoundFile, manifest: Manifest) -> tuple[int, int]:
    """Return the samples in each channel, and the number of gaps with a sample that is not zero.

    Gaps with the reason `fault` are not checked, because sound around them may overlap their edges.
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
        yield "the audio's rate or channels are not those in the manifest"
    decoded, loud = _count_samples(audio, manifest)
    if loud:
        yield f"there is sound in {loud} of its gaps that are not faults"
    if decoded != expected:
        yield f"the audio has {decoded} samples, but the manifest says {expected}"
    if audio.title != manifest.call_id:
        yield "the audio is that of another call"
