"""Refusal of new calls (503, RFC 3261 section 21.5.4) to protect the calls in progress.

A new call is refused if there are already as many calls as the settings allow, or if fewer media
ports are free than a call needs. While other calls are in progress, it is also refused if the
switch is late. A full disk is not a reason to refuse a call, because a call can continue without
being recorded.

The *lateness* is the longer of two times: the delay of the event loop, and the time for which the
oldest media packet has waited. The loop itself can be punctual while packets wait, because it
handles them in small portions. If the lateness is above the setting `max_lag` twice in a second,
new calls are refused.

The switch is not the only program on the machine. The time for which it was ready to run, but other
programs ran, is subtracted from the delay of the loop and from the wait of SIP messages: refusing
calls would not shorten it. It is not subtracted from the wait of media packets, because media that
waits suffers, whatever the cause.

If the lateness stays above a quarter of `max_lag`, the *share* of new calls that are accepted falls
every tenth of a second, and it rises again when the switch is punctual. So the switch answers as
many calls as it can, and does not accept all calls in one second and none in the next.

Media goes before SIP messages (`MediaPoller.keep_up`), so under load the messages wait. If they
have waited for longer than `max_lag` for some tenths of a second, each INVITE that has waited so
long is refused, so that its caller does not send it again.

A single long delay refuses no call: a second of refusals would harm more callers than the delay.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from heapq import nlargest
from pathlib import Path
from typing import Final

import structlog

from galwad.settings.switch import SipSection

SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")
"""The kernel's file with three numbers about the thread that opens it (CONFIG_SCHED_INFO).

They are the nanoseconds on a processor, the nanoseconds of waiting for a processor, and a count.
See Documentation/scheduler/sched-stats.rst of Linux.
"""
RETRY_AFTER_S: Final = "5"
_LOOK_BACK_S: Final = 1.0
_LONGEST_WAIT_S: Final = 10.0
"""The seconds for which waits for a processor are kept, to subtract them from a message's wait."""
_PAIRS_A_CALL: Final = 2
_REMEMBERED: Final = 1024
_COPIES_COME_S: Final = 32.0
"""The longest time in seconds for which a caller retransmits its INVITE (64*T1)."""
_QUIET_S: Final = 30.0
_EARLY: Final = 0.25
"""The part of `max_lag` above which the lateness makes the share of accepted calls fall."""
_PATIENCE: Final = 3
"""The number of late tenths of a second in a row after which the lateness has an effect.

If the loop or the media was late, the share falls. If messages were late, INVITEs that have waited
too long are refused.
"""
_FALL: Final = 0.85
_RISE: Final = 0.05
_LEAST_SHARE: Final = 0.02
"""The smallest share. It is not 0, because only accepted calls show whether more are possible."""

log = structlog.get_logger()


class OverloadControl:
    """Measures the load, and decides whether to refuse a new call.

    All times are in monotonic seconds.
    """

    def __init__(self, sip: SipSection, free_pairs: Callable[[], int]) -> None:
        """`free_pairs` returns the number of free pairs of media ports."""
        self.refused = 0
        """The number of calls refused so far. Retransmissions of an INVITE are not counted."""
        self._sip = sip
        self._free_pairs = free_pairs
        self.share = 1.0
        """The share of new calls that are accepted while other calls are in progress."""
        self._late: deque[tuple[float, float]] = deque()
        self._cpu_waits: deque[tuple[float, float]] = deque()
        self._late_in_sequence = 0
        self._messages_late_in_sequence = 0
        self._message_waited_s = 0.0
        self._credit = 1.0
        self._reported: dict[str, float] = {}
        self._answered: dict[tuple[str, ...], float] = {}

    def message_waited(self, seconds: float) -> None:
        """Note that a SIP message was read `seconds` after its arrival."""
        self._message_waited_s = max(self._message_waited_s, seconds)

    def late(self, loop_s: float, media_s: float, now: float, cpu_wait_s: float = 0.0) -> None:
        """Store the newest lateness, in seconds. Call this ten times a second.

        `loop_s` is the event loop's delay, `media_s` the wait of the oldest media packet, and
        `cpu_wait_s` the time in which the switch was ready to run, but other programs ran.
        """
        seconds, message_s = max(loop_s - cpu_wait_s, media_s), self._message_waited_s
        self._message_waited_s = 0.0
        # The message that waited longest was read at this time or later.
        read_at = self._late[-1][0] if self._late else now
        self._late.append((now, seconds))
        self._cpu_waits.append((now, cpu_wait_s))
        for kept, seconds_kept in ((self._late, _LOOK_BACK_S), (self._cpu_waits, _LONGEST_WAIT_S)):
            while kept[0][0] < now - seconds_kept:
                kept.popleft()
        others_s = sum(wait for when, wait in self._cpu_waits if when >= read_at - message_s)
        if message_s - others_s > self._sip.max_lag:
            self._messages_late_in_sequence += 1
        else:
            self._messages_late_in_sequence = 0
        if seconds > _EARLY * self._sip.max_lag:
            self._late_in_sequence += 1
            if self._late_in_sequence >= _PATIENCE:
                self.share = max(_LEAST_SHARE, self.share * _FALL)
        else:
            self._late_in_sequence = 0
            self.share = min(1.0, self.share + _RISE)

    def lag(self, now: float) -> float:
        """Return the second longest lateness in the last second, in s; 0 if there are not two."""
        recent = (late for when, late in self._late if when >= now - _LOOK_BACK_S)
        longest = nlargest(2, recent)
        return longest[1] if len(longest) == 2 else 0.0

    def refuses(
        self, calls: int, invite: tuple[str, ...], now: float, waited_s: float = 0.0
    ) -> bool:
        """Return whether to refuse a new call; `calls` is the number of calls in progress.

        `waited_s` is the time in seconds from the arrival of the INVITE to its reading. `invite`
        identifies it, because the retransmissions of a refused INVITE are refused too.
        """
        copy = self._answered.get(invite, float("-inf")) >= now - _COPIES_COME_S
        reason = self._reason(calls, now, waited_s, copy=copy)
        if not (reason or copy):
            return False
        if reason:
            self._answered[invite] = now
            if len(self._answered) > _REMEMBERED:
                del self._answered[next(iter(self._answered))]
            self._warn(reason, now)
        self.refused += not copy
        return True

    def _reason(self, calls: int, now: float, waited_s: float, *, copy: bool) -> str:
        if calls >= self._sip.max_calls:
            return "calls"
        if self._free_pairs() < _PAIRS_A_CALL:
            return "ports"
        if not calls:
            return ""
        if self.lag(now) > self._sip.max_lag:
            return "lag"
        if waited_s > self._sip.max_lag and self._messages_late_in_sequence >= _PATIENCE:
            return "wait"
        return "" if copy or self._has_share() else "share"

    def _has_share(self) -> bool:
        """Return whether the next call belongs to the share of calls that are accepted."""
        if self.share >= 1.0:
            self._credit = 1.0
            return True
        self._credit += self.share
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True

    def _warn(self, reason: str, now: float) -> None:
        if now - self._reported.get(reason, float("-inf")) > _QUIET_S:
            log.warning("switch.overloaded", reason=reason)
        self._reported[reason] = now


class CpuWait:
    """Measures how long this thread is ready to run, but waits for a processor.

    Create it in the thread that it measures.
    """

    def __init__(self, path: Path = SCHEDSTAT) -> None:
        """Start measuring. If the kernel does not count, every result is 0."""
        self._file = None
        with contextlib.suppress(OSError):
            self._file = path.open("rb", buffering=0)
        self._before = self._read()

    def since_last(self) -> float:
        """Return the seconds of waiting since the previous result, or since the start."""
        before, self._before = self._before, self._read()
        return self._before - before

    def close(self) -> None:
        """Close the kernel's file."""
        if self._file is not None:
            self._file.close()

    def _read(self) -> float:
        if self._file is None:
            return 0.0
        self._file.seek(0)
        return int(self._file.read(100).split()[1]) / 1e9
