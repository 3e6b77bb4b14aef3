"""Reads a spool while it is still written: only what nothing can change any more.

A media frame counts from the moment its key lies in the file: until then a late payment trigger
can make it unreadable, from then on nothing can (`SpoolWriter.erase_back_to`). So what comes out
here is what `read_spool` gives after the end, or less: at the first thing that is not as an
undisturbed writer leaves it, the follower stands still for good and `complete` stays False.
Whoever follows then begins again with `read_spool`.
"""

import os
from collections.abc import Sequence

from recording.spool_format import Frame, FrameKind, Seal
from recording.spool_reader import RECENT, Gather, SpoolReader
from recording.spool_records import SpoolHeader
from recording.spool_scan import frame_at


class SpoolFollower(SpoolReader):
    """The records of a spool that grows, frame by frame.

    Two places move through the file: what was given so far, and, some seconds ahead, what was
    looked at for keys and erasures. Memory is bounded by what lies between them.
    """

    def __init__(self, fd: int, header: SpoolHeader, seal: Seal, start: int) -> None:
        """Use `open`."""
        super().__init__(fd, header, seal, start)
        self._offset = self._ahead = start
        self._ahead_index = 1
        self._frame: Frame | None = None
        self._recent: dict[int, int] = {}
        self._stuck = False

    @property
    def complete(self) -> bool:
        """Whether all of a spool was given that was closed properly and is whole."""
        whole = not self.interrupted and not self.damaged and not self._stuck
        return whole and self._offset == os.fstat(self._fd).st_size

    def take(self, gather: Gather) -> Sequence[object] | None:
        """What the next frame says (it may be nothing); None while that may still change.

        A frame's packets are what `gather` makes of them, as in `gathered`.
        """
        self._gather = gather
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

    def _frame_of(self, offset: int, index: int) -> Frame | None:
        """The frame at a place; none while it is not there, or if it is another's."""
        frame = frame_at(self._fd, offset, self._end)
        return frame if frame is not None and frame.index == index else None

    def _is_final(self, frame: Frame) -> bool:
        while self._ahead <= self._offset or not self._is_decided(frame):
            if self._stuck or not self._look_ahead():
                return False
        return not self._stuck

    def _is_decided(self, frame: Frame) -> bool:
        """Whether it is known what a frame, or what stands for it, holds."""
        index = frame.index
        if frame.kind is not FrameKind.MEDIA or index in self._stand_ins:
            return True
        while index in self._erased:
            if index not in self._stands_for:
                return True
            index = self._stands_for[index][0]
        return index in self._keys

    def _look_ahead(self) -> bool:
        """Learn from one frame more; False when there is none yet."""
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
        """Stand still if what was given already, or could have been, is erased after all."""
        if any(index < self._next_index or index in self._keys for index in erased):
            self._stuck = True
        for index in [index for index in self._keys if index < self._next_index]:
            del self._keys[index]  # published for the second time
