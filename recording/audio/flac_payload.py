"""A FLAC file written into an age payload: libsndfile encodes, `PayloadWriter` seals."""

from __future__ import annotations

from collections.abc import Iterable

import soundfile

from recording.age.file import PayloadWriter, new_file_key
from recording.audio.codecs import Samples
from recording.errors import ArchiveError, PayloadError


class FlacPayload:
    """Stereo samples, encoded and sealed into an empty file as they come.

    Only `close` completes the file. `discard` does nothing after `close`; before it, `discard`
    leaves a file that no key opens.
    """

    def __init__(self, fd: int, rate: int, call_id: str) -> None:
        """Begin the file; its title is the call's id. Raises `ArchiveError`, `OSError`."""
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
                compression_level=0.0,  # a quarter faster and, on speech, 1 % larger
            )
            self._file.title = call_id
        except soundfile.SoundFileError as error:
            self._writer.discard()
            raise _refusal(error) from None

    def write_all(self, blocks: Iterable[Samples]) -> None:
        """Encode blocks of shape (n, 2). Raises `ArchiveError`, `OSError`."""
        try:
            for block in blocks:
                self._file.write(block)
                self._sink.check()
        except soundfile.SoundFileError as error:
            raise _refusal(error) from None

    def close(self) -> None:
        """Complete FLAC and payload. Raises `ArchiveError`, `OSError`."""
        try:
            self._file.close()
        except soundfile.SoundFileError as error:
            raise _refusal(error) from None
        self._sink.check()
        self._writer.close()

    def discard(self) -> None:
        """Release everything that was not closed."""
        try:
            self._file.close()
        except soundfile.SoundFileError:
            return  # the rest that it would write is not needed
        finally:
            self._writer.discard()


class _Sink:
    """The payload as libsndfile sees a file; stores the error that C cannot pass on."""

    def __init__(self, writer: PayloadWriter) -> None:
        self._writer = writer
        self.seek = writer.seek
        self.tell = writer.tell
        self._failure: OSError | PayloadError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._writer.write(data)
        except (OSError, PayloadError) as error:
            self._failure = self._failure or error
            return len(data)

    def read(self, _count: int = -1) -> bytes:
        return b""

    def check(self) -> None:
        """Raise the first error of a write, if there was one."""
        if self._failure is not None:
            raise self._failure


def _refusal(error: soundfile.SoundFileError) -> ArchiveError:
    return ArchiveError(f"the audio cannot be encoded: {error}")
