"""A reader for a spool that is still being written. Frames that can still change are not read yet.

A late payment trigger can erase a media frame until the frame's key is written to the file
(`SpoolWriter.erase_back_to`). From then on, the frame is *final*. The follower reads only final
frames. So it returns the same records that `read_spool` returns when the spool is complete. If a
frame is damaged or missing, the follower returns no more records, and `complete` stays False. The
whole spool must then be read with `read_spool`.
"""

import os
from collections.abc import Sequence

from recording.spool.format import FrameCipher, FrameKind, SpoolFrame
from recording.spool.reader import RECENT, Batcher, SpoolReader
from recording.spool.records import SpoolHeader
from recording.spool.scanner import frame_at


class SpoolFollower(SpoolReader):
    """A reader that returns the records of a growing spool, frame by frame.

    The follower remembers two positions in the file. The records of all frames before the first
    position (`_offset`) were returned. All frames before the second position (`_ahead`) were
    searched for keys and tombstones. The frames between the two positions usually contain some
    seconds of the call. Only these frames need memory.
    """

    def __init__(self, fd: int, header: SpoolHeader, seal: FrameCipher, start: int) -> None:
        """Set up a follower of an open file. Other modules call the class method `open`."""
        super().__init__(fd, header, seal, start)
        self._offset = self._ahead = start
        self._ahead_index = 1
        self._frame: SpoolFrame | None = None
        self._recent: dict[int, int] = {}
        self._stuck = False

    @property
    def complete(self) -> bool:
        """True if the spool was closed with an END frame, is undamaged, and was read to the end."""
        whole = not self.interrupted and not self.damaged and not self._stuck
        return whole and self._offset == os.fstat(self._fd).st_size

    def take(self, batch: Batcher) -> Sequence[object] | None:
        """Return the records of the next frame; an empty result if the frame has no records.

        Return None if the next frame is not written yet, if the next frame can still change, or if
        the follower has stopped because of damage. `batch` is the function that combines all
        packets of a frame into one value (see `Batcher`).
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
        """Return the frame at the position `offset` in the file, if the frame's index is `index`.

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
        """Return True if the follower knows that a frame can no longer change.

        A media frame can no longer change if its key was found in the file, or if it was erased.
        If some packets of an erased frame were written again in another frame, the key of the other
        frame must also have been found.
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
        """Read the frame at `_ahead`, and move `_ahead` to the next frame.

        If the frame contains keys or is a tombstone, remember its keys or its erased frames. Return
        False if no frame is written at `_ahead` yet.
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
        """Stop the follower if a frame was erased after its key was written to the file.

        This should never happen, because such a frame can no longer change.

        `erased` are the indices of the frames that are in the newest tombstone, but not in an
        earlier tombstone.

        Also forget the keys of frames whose records were already returned. The file contains each
        key twice, so the follower may have read such a key again.
        """
        if any(index < self._next_index or index in self._keys for index in erased):
            self._stuck = True
        for index in [index for index in self._keys if index < self._next_index]:
            del self._keys[index]
