"""Seals a call while it is in progress, so that little work is left at its end.

It takes the same steps in the same order as `sealing.seal_audio`, on records that cannot change
any more. Success is not guaranteed: whenever `finish` returns None, `seal_audio` must do all of
the work again.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from recording.archive.sealing import CHANNELS, SealedAudio, SealingPass, SpoolKeys
from recording.audio.codecs import NARROW, WIDE
from recording.audio.flac_payload import FlacPayload
from recording.audio.raw_packets import RawPayload
from recording.audio.timeline import WidebandError
from recording.files.atomic import PendingFile
from recording.spool.burst import unpack_burst


class LiveSealing:
    """One call with one spool, sealed into a payload that is not committed yet.

    Every method raises as `seal_audio` does; after an error, only `discard` is useful.
    """

    def __init__(
        self, part: PendingFile, raw: RawPayload, spool: Path, keys: SpoolKeys, call_id: str
    ) -> None:
        """Open the spool; `part` and `raw` are discarded with the rest, unless committed."""
        self.part = part
        self.raw = raw
        self.spool = spool
        self._keys = keys
        self._call_id = call_id
        self._begin(NARROW)

    def _begin(self, rate: int) -> None:
        self._reader = self._keys.follow(self.spool)
        with contextlib.ExitStack() as stack:
            stack.callback(self._reader.close)
            self._reading = SealingPass(rate, self._reader.header.started_wall_us)
            self._flac = FlacPayload(self.part.fd, rate, self._call_id)
            self.raw.begin(self._flac.file_key, self._call_id, CHANNELS)
            stack.pop_all()
        self._reading.begin(self._reader)

    def step(self, frames: int) -> bool:
        """Seal records that are final, from at most `frames` frames (about a second each).

        Returns False when no more records are final.
        """
        try:
            for _ in range(frames):
                records = self._reader.take(unpack_burst)
                if records is None:
                    return False
                for record in records:
                    for _ in self._reading.take(record):
                        self._reading.write(self._flac, self.raw)
        except WidebandError:
            self._restart_wideband()
        return True

    def finish(self) -> SealedAudio | None:
        """Seal the rest after the call has ended; None if the spool is not complete."""
        while self.step(1000):
            pass
        if not self._reader.complete:
            return None
        self._reading.end(self._reader)
        try:
            return self._reading.finish(self._flac, self.raw)
        except WidebandError:  # wideband packets waited for missing ones until now
            self._restart_wideband()
            return self.finish()

    def discard(self) -> None:
        """Close the spool, and remove what was not committed."""
        self._release()
        self.part.discard()
        self.raw.discard()

    def _restart_wideband(self) -> None:
        """Start again at 16 kHz, at which no codec is too wide."""
        self._release()
        os.ftruncate(self.part.fd, 0)
        self._begin(WIDE)

    def _release(self) -> None:
        self._flac.discard()
        self._reader.close()
