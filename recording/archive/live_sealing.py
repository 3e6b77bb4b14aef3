"""Seals a call while it is in progress, so that little work remains at its end.

The steps are those of `sealing.seal_audio`, but only frames that can no longer change are read. If
the spool is incomplete or damaged, the whole call must be sealed again with `seal_audio`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from recording.archive.packet_ledger import CHANNELS
from recording.archive.sealing import SealedAudio, SealingPass, SpoolKeys
from recording.audio.codecs import NARROW, WIDE
from recording.audio.flac_payload import FlacPayload
from recording.audio.raw_packets import RawPayload
from recording.audio.timeline import WidebandError
from recording.files.atomic import PendingFile
from recording.spool.burst import unpack_burst


class LiveSealing:
    """Seals one call, which must have only one spool, into a temporary file.

    Every method raises the errors of `seal_audio`; after one, only `discard` may be called.
    `held_bytes` is the audio in memory after the latest `step`. It grows while digits are keyed,
    because this audio is held back.
    """

    def __init__(
        self,
        part: PendingFile,
        raw: RawPayload,
        spool: Path,
        keys: SpoolKeys,
        call_id: str,
        *,
        near_pause_s: float = 0.0,
    ) -> None:
        self.part = part
        self.raw = raw
        self.spool = spool
        self._keys = keys
        self._call_id = call_id
        self._near_pause_s = near_pause_s
        self.held_bytes = 0
        self._begin(NARROW)

    def _begin(self, rate: int) -> None:
        self._reader = self._keys.follow(self.spool)
        with contextlib.ExitStack() as stack:
            stack.callback(self._reader.close)
            started_us = self._reader.header.started_wall_us
            self._reading = SealingPass(rate, started_us, self._near_pause_s)
            self._flac = FlacPayload(self.part.fd, rate, self._call_id)
            self.raw.begin(self._flac.file_key, self._call_id, CHANNELS)
            stack.pop_all()
        self._reading.begin(self._reader)

    def step(self, frames: int) -> bool:
        """Seal up to `frames` more frames (of about a second) that can no longer change.

        Return False if there are no more such frames at present.
        """
        try:
            more = self._take(frames)
        except WidebandError:
            self._restart_wideband()
            return True
        self._reading.write(self._flac, self.raw)
        self.held_bytes = self._reading.held_bytes + self._flac.held_bytes
        return more

    def _take(self, frames: int) -> bool:
        for _ in range(frames):
            records = self._reader.take(unpack_burst)
            if records is None:
                return False
            for record in records:
                for _ in self._reading.take(record):
                    self._reading.write(self._flac, self.raw)
        return True

    def finish(self) -> SealedAudio | None:
        """Seal the rest of the spool after the end of the call, and return the result.

        None if the spool is incomplete or damaged; the call must then be sealed with `seal_audio`.
        """
        while self.step(1000):
            pass
        if not self._reader.complete:
            return None
        self._reading.end(self._reader)
        try:
            return self._reading.finish(self._flac, self.raw)
        # One of the packets that `SealingPass.finish` decodes can be the first wideband packet.
        except WidebandError:
            self._restart_wideband()
            return self.finish()

    def discard(self) -> None:
        """Close the spool, and remove the files that were not committed."""
        self._release()
        self.part.discard()
        self.raw.discard()

    def _restart_wideband(self) -> None:
        """Start again from the spool's beginning with 16 kHz, which is enough for every codec."""
        self._release()
        os.ftruncate(self.part.fd, 0)
        self._begin(WIDE)

    def _release(self) -> None:
        self._flac.discard()
        self._reader.close()
