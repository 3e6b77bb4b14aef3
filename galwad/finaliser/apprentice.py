"""Calls that go on, followed a slice at a time, so that their end leaves little to do.

Whatever goes wrong here costs the following and nothing else: the call is then sealed from its
spool when it has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Final

import structlog

from galwad.finaliser.spools import Spools
from recording.archive.live_sealing import Following
from recording.archive.sealing import SpoolKeys
from recording.archive.store import Archive
from recording.errors import RecordingError
from recording.spool import is_live

_WORTH: Final = 256 * 1024
"""Bytes of a spool, some 15 seconds of a call, under which its end is soon sealed anyway."""
_MOST: Final = 400
"""Calls followed at a time: each holds two open files and some 0.5 MB of memory."""
ROOM: Final = 1 << 30
"""Bytes that must be free on the archive's disk: what calls record comes before convenience."""
_SLICE: Final = 60
"""Frames, of about a second each, before it is another call's turn."""
log = structlog.get_logger()


class Apprentice:
    """Follows what is in the folders of spools. Its methods block; one thread follows.

    A call is handed over, to whatever thread, between two slices. Its spool is closed by then, so
    that nobody begins to follow it again.
    """

    def __init__(self, spools: Spools, archive: Archive, keys: Callable[[], SpoolKeys]) -> None:
        """`keys` may raise; nothing is followed then."""
        self._spools = spools
        self._archive = archive
        self._keys = keys
        self._followed: dict[str, Following] = {}
        self._given_up: set[str] = set()
        self._alone = Lock()

    def follow(self, enough: Callable[[], bool]) -> None:
        """Seal what is final of every call, the one that waited longest first.

        Between two slices `enough` is asked whether that does for now.
        """
        if self._archive.room < ROOM:
            self.let_go()
            return
        spools = self._single_lives()
        with self._alone:
            self._forget_all_but(spools)
        for call_id, path in spools.items():
            with self._alone:
                begun = self._is_new(call_id, path) and self._begin(call_id, path)
            if begun and enough():
                return
        behind = deque(self._followed)
        while behind:
            call_id = behind.popleft()
            with self._alone:
                more = call_id in self._followed and self._step(call_id)
            if more:
                behind.append(call_id)
            if enough():
                return

    def hand_over(self, call_id: str) -> Following | None:
        """What was made of a call that has ended; from now on the taker's to discard."""
        with self._alone:
            self._given_up.discard(call_id)
            return self._followed.pop(call_id, None)

    def let_go(self) -> None:
        """Discard everything."""
        with self._alone:
            for following in self._followed.values():
                following.discard()
            self._followed.clear()

    def _single_lives(self) -> Mapping[str, Path]:
        """Calls of one life, and their spool."""
        found = self._spools.by_call()
        return {call_id: paths[0] for call_id, paths in found.items() if len(paths) == 1}

    def _forget_all_but(self, spools: Mapping[str, Path]) -> None:
        self._given_up &= spools.keys()
        for call_id in self._followed.keys() - spools.keys():
            self._followed.pop(call_id).discard()

    def _is_new(self, call_id: str, path: Path) -> bool:
        """Whether a call is worth following that is not followed yet."""
        if len(self._followed) >= _MOST or call_id in self._followed or call_id in self._given_up:
            return False
        try:
            wanted = path.stat().st_size >= _WORTH and is_live(path)
            return wanted and self._archive.find(call_id) is None
        except (OSError, RecordingError):
            return False

    def _begin(self, call_id: str, path: Path) -> bool:
        """Whether it is followed from now on."""
        try:
            self._followed[call_id] = self._archive.follow(call_id, path, self._keys())
        except (OSError, RecordingError) as error:
            self._give_up(call_id, error)
            return False
        return True

    def _step(self, call_id: str) -> bool:
        """One slice, then it is the last in the row; False when there is no more for now."""
        following = self._followed.pop(call_id)
        try:
            more = following.step(_SLICE)
        except Exception as error:  # noqa: BLE001 - strange audio; its end will tell all of it
            following.discard()
            self._give_up(call_id, error)
            return False
        self._followed[call_id] = following
        return more

    def _give_up(self, call_id: str, error: Exception) -> None:
        """Leave this call to its end."""
        self._given_up.add(call_id)
        log.warning("call.not_followed", call_id=call_id, why=type(error).__name__)
