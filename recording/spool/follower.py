"""Reads a spool while it is still being written, but only frames that can no longer change.

A media frame is *final* as soon as its key is in the file. Before that, a late payment trigger can
still erase the frame; afterwards nothing can (`SpoolWriter.erase_back_to`). So the follower returns
the same records as `read_spool` returns after the end of the call, or only the first of them. If
a frame is damaged or missing, the follower returns no more records, and `complete` stays False. The
caller must then read the whole spool with `read_spool`.
"""

import os
from collections.abc import Sequence

from recording.spool.format import FrameCipher, FrameKind, SpoolFrame
from recording.spool.reader import RECENT, Batcher, SpoolReader
from recording.spool.records import SpoolHeader
from recording.spool.scanner import frame_at


class SpoolFollower(SpoolReader):
    """Returns the records of a growing spool, frame by frame.

    The follower remembers two places in the file. The records of all frames before the first place
    (`_offset`) were returned. All frames before the second place (`_ahead`), some seconds later,
    were searched for keys and tombstones. The memory used grows only with the distance between the
    two places.
    """

    def __init__(self, fd: int, header: SpoolHeader, seal: FrameCipher, start: int) -> None:
        """Set up a follower of an open file; call `open` instead."""
        super().__init__(fd, header, seal, start)
        self._offset = self._ahead = start
        self._ahead_index = 1
        self._frame: SpoolFrame | None = None
        self._recent: dict[int, int] = {}
        self._stuck = False

    @property
    def complete(self) -> bool:
        """True if the spool has an END frame and no damage, and all its records were returned."""
        whole = not self.interrupted and not self.damaged and not self._stuck
        return whole and self._offset == os.fstat(self._fd).st_size

    def take(self, batch: Batcher) -> Sequence[object] | None:
        """Return the records of the next frame; the result is empty if the frame has none.

        Return None if the next frame is not written yet, if it can still change, or if the follower
        has stopped because of damage. `batch` makes one value of all packets of a frame (see
        `SpoolReader.batched`).
        """
        self._batch = batch
        self._end = os.fstat(self._fd).st_size
        if self._stuck or not self.interrupted:
            return None
        if self._frame is None:
            self._frame = self._frame_of(self._offset, self._next_index)
        frame = self._frame
        if frame is None or not self._is_final(frame):
            return None
        records = self._records_of(frame)
        if records is None:
            self._stuck = True
            return None
        given = list(records)
        self._offset += frame.size
        self._frame = None
        self._keys.pop(frame.index, None)
        return given

    def _frame_of(self, offset: int, index: int) -> SpoolFrame | None:
        """Return the frame at the place `offset` in the file if its index is `index`.

        Return None if the frame has another index or is not written yet.
        """
        frame = frame_at(self._fd, offset, self._end)
        return frame if frame is not None and frame.index == index else None

    def _is_final(self, frame: SpoolFrame) -> bool:
        while self._ahead <= self._offset or not self._is_decided(frame):
            if self._stuck or not self._look_ahead():
                return False
        return not self._stuck

    def _is_decided(self, frame: SpoolFrame) -> bool:
        """Return whether the follower knows the key of a frame, or knows that it was erased.

        If an erased frame has a replacement frame, the replacement's key must also be known.
        """
        index = frame.index
        if frame.kind is not FrameKind.MEDIA or index in self._replacements:
            return True
        while index in self._erased:
            if index not in self._replacement_of:
                return True
            index = self._replacement_of[index][0]
        return index in self._keys

    def _look_ahead(self) -> bool:
        """Search the frame at `_ahead` for keys and for a list of erased frames.

        Return False if this frame has not been written yet.
        """
        frame = self._frame_of(self._ahead, self._ahead_index)
        if frame is None:
            return False
        if frame.kind is FrameKind.MEDIA:
            self._recent[frame.index] = self._ahead
            if len(self._recent) > RECENT:
                del self._recent[next(iter(self._recent))]
        else:
            erased = set(self._erased)
            self._stuck = not self._learn(frame, self._recent)
            self._check(self._erased - erased)
        self._ahead += frame.size
        self._ahead_index += 1
        return True

    def _check(self, erased: set[int]) -> None:
        """Stop the follower if one of these erased frames was returned or already had its key.

        Also forget the keys of frames that were returned. Such keys come again, because each key is
        published twice.
        """
        if any(index < self._next_index or index in self._keys for index in erased):
            self._stuck = True
        for index in [index for index in self._keys if index < self._next_index]:
            del self._keys[index]
