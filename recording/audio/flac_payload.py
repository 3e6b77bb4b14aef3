"""Writes a FLAC file into an age payload. libsndfile encodes, `PayloadWriter` encrypts."""

from __future__ import annotations

import os
from collections.abc import Iterable

import soundfile

from recording.age.file import PayloadWriter, new_file_key
from recording.age.stream import CHUNK
from recording.audio.codecs import Samples
from recording.errors import ArchiveError, PayloadError


class FlacPayload:
    """The audio payload of one recording: samples are encoded and encrypted as they are written.

    Only `close` completes the file. Without it, no key can decrypt the file.
    """

    def __init__(self, fd: int, rate: int, call_id: str) -> None:
        """Begin the FLAC file, titled `call_id`, in the empty file `fd`; `rate` is in Hz.

        Raises `ArchiveError` and `OSError`.
        """
        self.file_key = new_file_key()
        self._writer = PayloadWriter(fd, self.file_key)
        self._sink = _Sink(self._writer)
        try:
            self._file = soundfile.SoundFile(
                self._sink,
                "w",
                samplerate=rate,
                channels=2,
                subtype="PCM_16",
                format="FLAC",
                # Level 0 encodes a quarter faster than the default, and files with speech are 1 %
                # larger.
                compression_level=0.0,
            )
            self._file.title = call_id
        except soundfile.SoundFileError as error:
            self._writer.discard()
            raise _refusal(error) from None

    @property
    def held_bytes(self) -> int:
        """The size in bytes of the encoded audio that is not in the file yet."""
        return self._writer.held_bytes

    def write_all(self, blocks: Iterable[Samples]) -> None:
        """Write blocks of shape (n, 2). Raises `ArchiveError` and `OSError`."""
        try:
            for block in blocks:
                self._file.write(block)
                self._sink.check()
        except soundfile.SoundFileError as error:
            raise _refusal(error) from None

    def close(self) -> None:
        """Complete the FLAC file and the payload. Raises `ArchiveError` and `OSError`."""
        try:
            self._file.close()
        except soundfile.SoundFileError as error:
            raise _refusal(error) from None
        self._sink.check()
        self._writer.close()

    def discard(self) -> None:
        """Release the encoder and the payload writer. After `close`, do nothing."""
        try:
            self._file.close()
        except soundfile.SoundFileError:
            # The file is discarded, so the end of the FLAC file does not matter.
            return
        finally:
            self._sink.discard()
            self._writer.discard()


class _Sink:
    """A file object through which libsndfile writes into the age payload.

    libsndfile writes each FLAC frame by itself, several a second; one long write takes less time. A
    C library cannot pass on a Python exception, so `check` raises the error of a failed write
    later.
    """

    def __init__(self, writer: PayloadWriter) -> None:
        self._writer = writer
        self._collected = bytearray()
        """The bytes before `_position` that are not in the payload yet."""
        self._position = 0
        self._failure: OSError | PayloadError | None = None

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._pass_on()
        self._position = self._writer.seek(offset, whence)
        return self._position

    def write(self, data: bytes) -> int:
        self._collected += data
        self._position += len(data)
        if len(self._collected) >= CHUNK:
            self._pass_on()
        return len(data)

    def read(self, _count: int = -1) -> bytes:
        return b""

    def check(self) -> None:
        """Write what was collected, and raise the error of the first write that failed."""
        self._pass_on()
        if self._failure is not None:
            raise self._failure

    def discard(self) -> None:
        self._collected = bytearray()

    def _pass_on(self) -> None:
        if not self._collected:
            return
        collected, self._collected = self._collected, bytearray()
        try:
            self._writer.write(collected)
        except (OSError, PayloadError) as error:
            self._failure = self._failure or error


def _refusal(error: soundfile.SoundFileError) -> ArchiveError:
    return ArchiveError(f"the audio cannot be encoded: {error}")
