"""Calls that go on, followed a slice at a time, so that their end leaves little to do.

Whatever goes wrong here costs the following and nothing else: the call is then sealed from its
spool when it has ended.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog

from recording.archive import Archive
from recording.errors import RecordingError
from recording.following import Following
from recording.sealing import SpoolKeys
from recording.spool import is_live

SPOOL: Final = re.compile(r"(\d{8}-\d{6}-[a-z2-7]{8})\.(\d+)\.spool")
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
    """Follows what is in the spool folder. Its methods block; one thread at a time."""

    def __init__(self, folder: Path, archive: Archive, keys: Callable[[], SpoolKeys]) -> None:
        """`keys` may raise; nothing is followed then."""
        self._folder = folder
        self._archive = archive
        self._keys = keys
        self._followed: dict[str, Following] = {}
        self._given_up: set[str] = set()

    def follow(self, enough: Callable[[], bool]) -> None:
        """Seal what is final of every call, the one that waited longest first.

        Between two slices `enough` is asked whether that does for now.
        """
        if self._archive.room < ROOM:
            self.let_go()
            return
        spools = self._spools()
        self._forget_all_but(spools)
        for call_id, path in self._new(spools):
            self._begin(call_id, path)
            if enough():
                return
        behind = deque(self._followed)
        while behind:
            call_id = behind.popleft()
            if self._step(call_id):
                behind.append(call_id)
            if enough():
                return

    def hand_over(self, call_id: str) -> Following | None:
        """What was made of a call that has ended; from now on the taker's to discard."""
        self._given_up.discard(call_id)
        return self._followed.pop(call_id, None)

    def let_go(self) -> None:
        """Discard everything."""
        for following in self._followed.values():
            following.discard()
        self._followed.clear()

    def _spools(self) -> Mapping[str, Path]:
        """Calls of one life, and their spool."""
        found: dict[str, list[Path]] = {}
        for path in self._folder.glob("*.spool"):
            match = SPOOL.fullmatch(path.name)
            if match:
                found.setdefault(match[1], []).append(path)
        return {call_id: paths[0] for call_id, paths in found.items() if len(paths) == 1}

    def _forget_all_but(self, spools: Mapping[str, Path]) -> None:
        self._given_up &= spools.keys()
        for call_id in self._followed.keys() - spools.keys():
            self._followed.pop(call_id).discard()

    def _new(self, spools: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
        """Calls worth following that are not followed yet."""
        for call_id, path in spools.items():
            if len(self._followed) >= _MOST:
                return
            if call_id in self._followed or call_id in self._given_up:
                continue
            try:
                wanted = path.stat().st_size >= _WORTH and is_live(path)
            except (OSError, RecordingError):
                continue
            if wanted and self._archive.find(call_id) is None:
                yield call_id, path

    def _begin(self, call_id: str, path: Path) -> None:
        try:
            self._followed[call_id] = self._archive.follow(call_id, path, self._keys())
        except (OSError, RecordingError) as error:
            self._give_up(call_id, error)

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
