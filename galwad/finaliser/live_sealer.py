"""Follows calls: seals the finished parts of their spools while the calls are in progress.

So little work remains when a call ends. A call with several spools is not followed. After an error,
a call is no longer followed. A call that is not followed is sealed from its spools after its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Final

import structlog

from galwad.finaliser.spools import WHOLE, Share, Spools
from recording.archive.sealing import LiveSealing
from recording.archive.store import Archive
from recording.errors import RecordingError
from recording.spool import is_live
from recording.spool.recovery import SpoolKeys

_MIN_SPOOL_BYTES: Final = 256 * 1024
"""In bytes: about 15 seconds of a call. A smaller spool is sealed quickly when the call ends."""
_MAX_CALLS: Final = 400
"""The most calls that all workers together follow. Each needs two open files, and memory."""
MIN_FREE_BYTES: Final = 1 << 30
"""The free space in bytes that the archive's disk must have to seal calls in progress.

With less, a call is sealed only after its end, because the recording of calls needs the space.
"""
MOST_HELD_BYTES: Final = 512 << 20
"""The most bytes of audio that all followed calls together may have in memory.

Each worker may use an equal part. If the calls of a worker need more, one call is given up. This
call is sealed after its end, when only a few calls at a time need memory.

A call has 0.8 MB, or 1.4 MB if it has a wideband codec. While digits are keyed, audio is held back:
up to 8 MB more. What libsndfile needs for each call is not counted.
"""
_SLICE_FRAMES: Final = 60
"""The spool frames in a slice. A frame has about one second. A slice is never interrupted."""
log = structlog.get_logger()


class LiveSealer:
    """Follows the calls of one share.

    The methods block. Only one thread may use `follow`; any thread may use `take`, which waits
    until `follow` has sealed its present slice (`_SLICE_FRAMES` frames).
    """

    def __init__(
        self,
        spools: Spools,
        archive: Archive,
        keys: Callable[[], SpoolKeys],
        share: Share = WHOLE,
    ) -> None:
        """Set up the sealer. A call for which `keys` raises an error is not followed."""
        self._share = share
        self._spools = spools
        self._archive = archive
        self._keys = keys
        self._followed: dict[str, LiveSealing] = {}
        self._given_up: set[str] = set()
        self._lock = Lock()

    def follow(self, enough: Callable[[], bool]) -> None:
        """Seal the finished parts of calls in progress, a slice of each call in turn.

        `enough` is called after each slice and after each call that is begun. Return when it
        returns True, or when nothing is left to seal. If the archive's disk has less than
        `MIN_FREE_BYTES` free, call `discard_all` instead.
        """
        if self._archive.free_bytes < MIN_FREE_BYTES:
            self.discard_all()
            return
        spools = self._single_lives()
        with self._lock:
            self._forget_all_but(spools)
        for call_id, path in spools.items():
            with self._lock:
                begun = self._is_new(call_id, path) and self._begin(call_id, path)
            if begun and enough():
                return
        behind = deque(self._followed)
        while behind:
            call_id = behind.popleft()
            with self._lock:
                more = call_id in self._followed and self._step(call_id)
            if more:
                behind.append(call_id)
            if enough():
                return

    def take(self, call_id: str) -> LiveSealing | None:
        """Return the sealing of a call that has now ended; None if the call was not followed.

        The caller of `take` must finally call `LiveSealing.discard`.
        """
        with self._lock:
            self._given_up.discard(call_id)
            return self._followed.pop(call_id, None)

    def discard_all(self) -> None:
        """Discard the parts of calls in progress that are already sealed."""
        with self._lock:
            for following in self._followed.values():
                following.discard()
            self._followed.clear()

    def _single_lives(self) -> Mapping[str, Path]:
        """Return the spool of each call of this share that has exactly one spool, by call id."""
        found = self._spools.by_call()
        return {
            call_id: paths[0]
            for call_id, paths in found.items()
            if len(paths) == 1 and self._share.has(call_id)
        }

    def _forget_all_but(self, spools: Mapping[str, Path]) -> None:
        self._given_up &= spools.keys()
        for call_id in self._followed.keys() - spools.keys():
            self._followed.pop(call_id).discard()

    def _is_new(self, call_id: str, path: Path) -> bool:
        if (
            len(self._followed) >= _MAX_CALLS // self._share.workers
            or call_id in self._followed
            or call_id in self._given_up
        ):
            return False
        try:
            wanted = path.stat().st_size >= _MIN_SPOOL_BYTES and is_live(path)
            return wanted and self._archive.find(call_id) is None
        except (OSError, RecordingError):
            return False

    def _begin(self, call_id: str, path: Path) -> bool:
        try:
            self._followed[call_id] = self._archive.begin_live(call_id, path, self._keys())
        except (OSError, RecordingError) as error:
            self._give_up(call_id, type(error).__name__)
            return False
        return True

    def _step(self, call_id: str) -> bool:
        """Seal a slice of a call, or give the call up; return True if there is more to seal."""
        following = self._followed.pop(call_id)
        try:
            more = following.step(_SLICE_FRAMES)
        except Exception as error:  # noqa: BLE001 - strange audio; sealing will report it
            following.discard()
            self._give_up(call_id, type(error).__name__)
            return False
        held = following.held_bytes + sum(each.held_bytes for each in self._followed.values())
        if held > MOST_HELD_BYTES // self._share.workers:
            following.discard()
            self._give_up(call_id, "too much audio is held back")
            return False
        self._followed[call_id] = following
        return more

    def _give_up(self, call_id: str, why: str) -> None:
        self._given_up.add(call_id)
        log.warning("call.not_followed", call_id=call_id, why=why)
