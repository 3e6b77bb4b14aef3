"""The voices of a row's call: each party speaks from the answer to the end, without a break.

A voice is noise that differs in each call, so any part of it can be found in the recording.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np

from galwad.cli.simulate.sound import RATE, Samples, speech, to_pcm, tones
from telephony.phone import CallState, VoIPCall

CALLER: Final = 0
ADVISOR: Final = 1
"""The channels of a recording: the caller's, and that of the party at the advisor's end."""
_BLOCK_S: Final = 2.0
_AHEAD: Final = 2 * RATE
"""The fewest samples to keep queued: two seconds of speech. If the event loop stalls, the phone
sends speech late. With an empty queue it would send silence, and the recording would be right to
differ from what was said.
"""


class Fate(Enum):
    """The possible outcomes for the speech of a phase: what the recording must show."""

    STORED = "stored"
    """The recording contains it."""
    IN_GAP = "in a gap"
    """No channel of the recording contains it, and the recording has a gap at this time."""
    APART = "apart"
    """No channel of the recording contains it, because it belongs to a consultation."""


@dataclass(frozen=True, slots=True)
class Part:
    """The speech of one party in one phase of the call."""

    who: str
    channel: int
    said: Samples = field(repr=False)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the call with nothing but speech, of `seconds`; verdicts use its `name`."""

    name: str
    fate: Fate
    seconds: float
    parts: tuple[Part, ...]


class Voice:
    """Speaks on an answered leg until it ends or `stop` is called; needs a running event loop."""

    def __init__(self, who: str, channel: int, call: VoIPCall) -> None:
        self.who = who
        self.channel = channel
        self.call = call
        self._blocks: list[Samples] = []
        self._written = 0
        self._mouth = asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        while self.call.state is CallState.ANSWERED:
            if self.call.media.stream.sender.queued < _AHEAD:
                block = speech(_BLOCK_S, secrets.randbits(60))
                self._blocks.append(block)
                self._written += len(block)
                self.call.media.stream.sender.write(to_pcm(block))
            await asyncio.sleep(_BLOCK_S / 4)

    def key(self, digits: str) -> float:
        """Send digits as tones after what is queued; return the seconds until all are sent."""
        sound = tones(digits)
        self._blocks.append(sound)
        self._written += len(sound)
        self.call.media.stream.sender.write(to_pcm(sound))
        return self.call.media.stream.sender.queued / RATE

    @property
    def position(self) -> int:
        """The number of samples that have been sent so far."""
        return self._written - self.call.media.stream.sender.queued

    def part(self, start: int, end: int) -> Part:
        """Return the speech between two positions."""
        said = np.concatenate([*self._blocks, np.zeros(0, np.int16)])[start:end]
        return Part(self.who, self.channel, said)

    async def stop(self) -> None:
        """Stop speaking; the leg then sends what is queued, and silence after it."""
        self._mouth.cancel()
        await asyncio.gather(self._mouth, return_exceptions=True)
