"""Copies of recordings, in which stretches or a whole party can be silenced.

The copy is a FLAC file of the same length, rate and channels. A silenced sample is 0, and no other
sample is changed. An officer signs a redaction note about each copy: which recording it was made
from, and which stretches are silent in it. The recording in the archive is not changed.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Final, Self

import numpy as np
import numpy.typing as npt
import soundfile

from recording.archive.manifest import Interval, ObjectFacts, RecordingDocument
from recording.errors import RedactionError
from recording.keys.signed_document import DocumentType

FORMAT: Final = "galwad-redaction-note-1"
CHANNELS: Final = ("caller", "advisor")
"""The parties, in the order of the channels."""
BOTH: Final = "both"
_FRAMES: Final = 1 << 16
_US: Final = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Silence(Interval):
    """A stretch in which a party is silenced. `party` is "caller", "advisor" or "both"."""

    party: str


class CopyFacts(ObjectFacts, frozen=True):
    """The size and SHA-256 of a FLAC file, and the SHA-256 of its samples.

    The samples are those that `flac -d` writes as little-endian signed 16-bit numbers.
    """

    samples_sha256: str


class RedactionNote(RecordingDocument, frozen=True):
    """An officer's statement about a copy of a recording."""

    made: str
    """The time at which the copy was made, in ISO 8601, UTC."""
    purpose: str
    reference: str
    recipient: str
    """The name of the person or body that the copy is for."""
    manifest_sha256: str
    """The SHA-256 of the recording's manifest."""
    payload_sha256: str
    """The SHA-256 of the recording's encrypted payload, which the manifest has too."""
    verdict: str
    """The verdict about the recording (`recording.archive.verify.VerdictState`)."""
    original: CopyFacts
    """The decrypted recording."""
    copy: CopyFacts
    """The same as `original` if nothing is silenced."""
    rate: int
    """Samples per second in both files."""
    silenced: list[Silence]
    reason: str
    """Why parts are silenced; "" if nothing is."""
    files: dict[str, str]
    """The SHA-256 of each other file in the evidence pack, such as the letter, by its name."""


REDACTION_NOTE: Final = DocumentType("redaction-note", FORMAT, RedactionNote, "officer")


@dataclass(frozen=True, slots=True)
class AudioCopy:
    """A copy of a recording, and the facts about both for the redaction note."""

    flac: bytes
    rate: int
    original: CopyFacts
    facts: CopyFacts

    @classmethod
    def of(cls, plain: BinaryIO, silenced: Collection[Silence] = (), talk_us: int = 0) -> Self:
        """Read a decrypted recording to its end, and return a copy in which parts are silenced.

        A stretch that ends at `talk_us` or later ends with the last sample, even if the audio is
        longer. Recording and copy are held in memory: each has about 30 MB for an hour of speech.
        Without `silenced`, the copy has the same bytes as the recording.

        Raises:
            RedactionError: The file is not FLAC audio with a channel for each party, or a stretch
                begins after its end.
            ArchiveError: The recording is damaged.
        """
        content = plain.read()
        try:
            with soundfile.SoundFile(io.BytesIO(content)) as source:
                _check(source, silenced)
                length_us = -(-source.frames * _US // source.samplerate)
                silenced = [
                    replace(each, to_us=max(each.to_us, length_us))
                    if talk_us and each.to_us >= talk_us
                    else each
                    for each in silenced
                ]
                before, after, flac = _copied(source, silenced)
                rate = source.samplerate
        except soundfile.LibsndfileError:
            raise RedactionError("the audio of the recording cannot be read") from None
        original = _facts(content, before)
        if not silenced:
            return cls(content, rate, original, original)
        return cls(flac, rate, original, _facts(flac, after))


def _check(source: soundfile.SoundFile, silenced: Collection[Silence]) -> None:
    if source.channels != len(CHANNELS):
        raise RedactionError(f"the recording has {source.channels} channels, not {len(CHANNELS)}")
    length_us = source.frames * _US // source.samplerate
    for each in silenced:
        if each.from_us >= length_us:
            raise RedactionError("a stretch to silence begins after the end of the recording")


def _copied(source: soundfile.SoundFile, silenced: Collection[Silence]) -> tuple[str, str, bytes]:
    """Return the digests of the samples before and after, and the copy as a FLAC file."""
    before, after, target = hashlib.sha256(), hashlib.sha256(), io.BytesIO()
    options = {"samplerate": source.samplerate, "channels": source.channels}
    with soundfile.SoundFile(target, "w", format="FLAC", subtype="PCM_16", **options) as copy:
        copy.title = source.title
        for at, block in _blocks(source):
            before.update(block.astype("<i2").tobytes())
            for each in silenced:
                _silence(block, at, each, source.samplerate)
            after.update(block.astype("<i2").tobytes())
            copy.write(block)
    return before.hexdigest(), after.hexdigest(), target.getvalue()


def _blocks(source: soundfile.SoundFile) -> Iterator[tuple[int, npt.NDArray[np.int16]]]:
    """Yield the blocks of samples, each with the number of its first frame."""
    at = 0
    for block in source.blocks(_FRAMES, dtype="int16", always_2d=True):
        yield at, block
        at += len(block)


def _silence(block: npt.NDArray[np.int16], at: int, silence: Silence, rate: int) -> None:
    """Set the samples of a silenced stretch to 0: every sample that it touches."""
    first = silence.from_us * rate // _US - at
    end = -(-silence.to_us * rate // _US) - at
    if end <= 0:
        return
    rows = slice(max(0, first), end)
    if silence.party == BOTH:
        block[rows] = 0
    else:
        block[rows, CHANNELS.index(silence.party)] = 0


def _facts(flac: bytes, samples_sha256: str) -> CopyFacts:
    return CopyFacts(len(flac), hashlib.sha256(flac).hexdigest(), samples_sha256)
