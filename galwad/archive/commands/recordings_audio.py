"""Export of a decrypted recording to a file: the whole recording or a slice, as FLAC or WAV.

A decrypted recording is a FLAC file, so it is simply copied if the whole recording is exported as
FLAC. A slice is cut in memory. Its start and end are exact to the millisecond. In every export, the
caller is on the left channel and the advisor on the right channel, and no sample is changed.
"""

from __future__ import annotations

import warnings
from typing import BinaryIO

import numpy as np
import soundfile

from galwad.cli.support.console import CliError, clock

with warnings.catch_warnings():
    # The import of pydub gives two warnings: about invalid escapes, and about a missing ffmpeg,
    # which is not needed here.
    warnings.simplefilter("ignore")
    from pydub import AudioSegment

_BLOCK_FRAMES = 1 << 16
_LONGEST_SLICE_S = 3600.0


def export(
    plain: BinaryIO, target: BinaryIO, kind: str, from_s: float | None, to_s: float | None
) -> float:
    """Write the recording, or a slice of it, to `target`; return the written length in seconds.

    `kind` is "flac" or "wav". `from_s` and `to_s` are the start and the end of the slice, in
    seconds from the recording's start. None stands for the recording's own start or end.

    Raises:
        CliError: The audio cannot be read, the slice is longer than an hour, or `from_s` is not
            before the recording's end.
        ArchiveError: The recording is damaged.
    """
    _read_to_the_end(plain)
    try:
        with soundfile.SoundFile(plain) as source:
            if from_s is None and to_s is None:
                _all(source, plain, target, kind)
                return float(source.frames / source.samplerate)
            return _slice(source, target, kind, from_s or 0.0, to_s)
    except soundfile.LibsndfileError:
        raise CliError(
            "the recording opened, but its audio cannot be read",
            "`galwad recordings verify` with --purpose and --reference shows more",
        ) from None


def _read_to_the_end(plain: BinaryIO) -> None:
    """Read the whole recording to authenticate it: libsndfile may ignore an error in the middle."""
    while plain.read(1 << 20):
        continue
    plain.seek(0)


def _all(source: soundfile.SoundFile, plain: BinaryIO, target: BinaryIO, kind: str) -> None:
    if kind == "flac":
        plain.seek(0)
        while block := plain.read(1 << 20):
            target.write(block)
        return
    with _writer(target, kind, source.samplerate, source.channels) as writer:
        for block in source.blocks(_BLOCK_FRAMES, dtype="int16", always_2d=True):
            writer.write(block)


def _slice(
    source: soundfile.SoundFile, target: BinaryIO, kind: str, from_s: float, to_s: float | None
) -> float:
    length = source.frames / source.samplerate
    end = length if to_s is None else min(to_s, length)
    if from_s >= length:
        raise CliError(
            f"--from is after the recording's end at {clock(length)}",
            "choose an earlier --from",
            status=2,
        )
    if end - from_s > _LONGEST_SLICE_S:
        raise CliError(
            "the slice is longer than an hour",
            "choose a shorter one, or fetch the whole recording",
            status=2,
        )
    first = int(from_s)
    source.seek(first * source.samplerate)
    frames = round((end - first) * source.samplerate)
    samples = source.read(frames, dtype="int16", always_2d=True)
    segment = AudioSegment(
        data=samples.tobytes(),
        sample_width=2,
        frame_rate=source.samplerate,
        channels=source.channels,
    )
    segment = segment[round((from_s - first) * 1000) :]
    cut = np.frombuffer(segment.raw_data, dtype=np.int16).reshape(-1, source.channels)
    with _writer(target, kind, source.samplerate, source.channels) as writer:
        writer.write(cut)
    return len(cut) / float(source.samplerate)


def _writer(target: BinaryIO, kind: str, rate: int, channels: int) -> soundfile.SoundFile:
    return soundfile.SoundFile(
        target, "w", samplerate=rate, channels=channels, format=kind.upper(), subtype="PCM_16"
    )
