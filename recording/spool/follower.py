"""A reader for a spool that is still being written. Frames that can still change are not read yet.

A late payment trigger can erase a media frame until the frame's key is written to the file
(`SpoolWriter.erase_back_to`). From then on the frame is *final*. The follower reads only final
frames, so it returns the records that `read_spool` will return. If a frame is damaged or missing,
the follower returns no more records, `complete` stays False, and the whole spool must be read with
`read_spool`.
"""

import os
from collections.abc import Sequence

from recording.spool.format import FrameCipher, FrameKind, SpoolFrame, SpoolHeader
from recording.spool.reader import RECENT, Batcher, SpoolReader
from recording.spool.scanner import frame_at


class SpoolFollower(SpoolReader):
    """Returns the records of a growing spool, frame by frame.

    The records of all frames before `_offset` were returned, and all frames before `_ahead` were
    searched for keys and tombstones.
    """

    def __init__(self, fd: int, header: SpoolHeader, seal: FrameCipher, start: int) -> None:
        super().__init__(fd, header, seal, start)
        self._offset = self._ahead = start
        self._ahead_index = 1
        self._frame: SpoolFrame | None = None
        self._recent: dict[int, int] = {}
        self._stuck = False

    @property
    def complete(self) -> bool:
        """True if the spool has an END frame, is undamaged, and was read to the end."""
        whole = not self.interrupted and not self.damaged and not self._stuck
        return whole and self._offset == os.fstat(self._fd).st_size

    def take(self, batch: Batcher) -> Sequence[object] | None:
        """Return the next frame's records, perhaps none; `batch` combines its packets.

        Return None if the frame is not written yet or can still change, after damage, and at the
        end of the spool.
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
        frame = frame_at(self._fd, offset, self._end)
        return frame if frame is not None and frame.index == index else None

    def _is_final(self, frame: SpoolFrame) -> bool:
        while self._ahead <= self._offset or not self._is_decided(frame):
            if self._stuck or not self._look_ahead():
                return False
        return not self._stuck

    def _is_decided(self, frame: SpoolFrame) -> bool:
        """Return True if the follower knows that a frame can no longer change.

        A frame cannot change after its key was found or it was erased. If packets of an erased
        frame were written again in a replacement frame, the key of the replacement must also have
        been found.
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
        """Read the frame at `_ahead` for keys or erased frames; False if it cannot be read yet."""
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

        This should never happen, because such a frame can no longer change. `erased` are the frames
        that the newest tombstone has erased. Also forget the keys of frames that were returned:
        each key is in the file twice, so it may have been read again.
        """
        if any(index < self._next_index or index in self._keys for index in erased):
            self._stuck = True
        for index in [index for index in self._keys if index < self._next_index]:
            del self._keys[index]
