"""Reads a spool while it is still being written, but only frames that can no longer change.

A media frame counts as soon as its key is in the file. Before that, a late payment trigger can
still make it unreadable; afterwards nothing can (`SpoolWriter.erase_back_to`). So the follower
yields the same records as `read_spool` does after the end, or fewer. At the first frame that an
undisturbed writer would not have written, it stops for good, and `complete` stays False. The caller
must then read the spool again with `read_spool`.
"""

import os
from collections.abc import Sequence

from recording.spool.format import FrameCipher, FrameKind, SpoolFrame
from recording.spool.reader import RECENT, Batcher, SpoolReader
from recording.spool.records import SpoolHeader
from recording.spool.scanner import frame_at


class SpoolFollower(SpoolReader):
    """Returns the records of a growing spool, frame by frame.

    Two offsets move through the file: up to the first, records were returned; up to the second,
    some seconds ahead, frames were searched for keys and erasures. Memory grows only with the
    distance between them.
    """

    def __init__(self, fd: int, header: SpoolHeader, seal: FrameCipher, start: int) -> None:
        """Use `open` instead."""
        super().__init__(fd, header, seal, start)
        self._offset = self._ahead = start
        self._ahead_index = 1
        self._frame: SpoolFrame | None = None
        self._recent: dict[int, int] = {}
        self._stuck = False

    @property
    def complete(self) -> bool:
        """True if the spool was closed properly, is whole, and all its records were returned."""
        whole = not self.interrupted and not self.damaged and not self._stuck
        return whole and self._offset == os.fstat(self._fd).st_size

    def take(self, batch: Batcher) -> Sequence[object] | None:
        """Return the next frame's records, which may be none.

        Returns None while the frame is not written yet or may still change, and after the follower
        has stopped. `batch` makes one value of a frame's packets, as in `batched`.
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
        """Return the frame at `offset`; None if it is not written yet or has another index."""
        frame = frame_at(self._fd, offset, self._end)
        return frame if frame is not None and frame.index == index else None

    def _is_final(self, frame: SpoolFrame) -> bool:
        while self._ahead <= self._offset or not self._is_decided(frame):
            if self._stuck or not self._look_ahead():
                return False
        return not self._stuck

    def _is_decided(self, frame: SpoolFrame) -> bool:
        """Return whether it is known how to read a frame: its key, or its erasure.

        For an erased frame, the key of the frame that replaces it must be known too.
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
        """Search one more frame for keys and erasures; return False if none has been written."""
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
        """Stop for good if these erased frames were returned, or could have been.

        Also drop the keys of returned frames, which arrive again when they are published twice.
        """
        if any(index < self._next_index or index in self._keys for index in erased):
            self._stuck = True
        for index in [index for index in self._keys if index < self._next_index]:
            del self._keys[index]
