"""The parties of a simulated call: phones that can be rung, and the audio that they exchange."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, Self

import structlog

from galwad.cli.simulate.errors import registration_error, unreachable_error
from galwad.cli.simulate.plan import Plan, SipLogin
from galwad.cli.simulate.sound import RATE, Samples, from_pcm, similarity_at, to_pcm
from galwad.cli.simulate.steps import StepError
from telephony.phone import (
    CallState,
    RegistrationError,
    VoIPCall,
    VoIPPhone,
)
from telephony.phone.quality import ReceptionQuality

_SETTLING: Final = 1.5
"""The maximum time in seconds to wait for the last audio to arrive, after all audio was sent."""
_TAIL: Final = RATE // 4


class Answerer:
    """A simulated phone that is registered at the server and can be called."""

    def __init__(self, plan: Plan, account: SipLogin) -> None:
        self.extension = account.extension
        self.incoming: asyncio.Queue[VoIPCall] = asyncio.Queue()
        self.phone: VoIPPhone = plan.answering_phone(account, self.incoming.put)
        self._plan = plan

    async def __aenter__(self) -> Self:
        """Register the phone; raise StepError if the server refuses or does not answer."""
        try:
            async with asyncio.timeout(self._plan.timeout):
                await self.phone.start()
        except TimeoutError:
            raise unreachable_error(self._plan) from None
        except RegistrationError as error:
            if error.unreachable:
                raise unreachable_error(self._plan) from None
            raise registration_error(self._plan, self.extension, error.status) from None
        except OSError as error:
            raise socket_error(self._plan, error) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.phone.stop()

    async def next_ringing(self) -> VoIPCall:
        """Return the next call that rings at this phone; skip one that has stopped ringing."""
        while True:
            call = await self.incoming.get()
            if call.state is CallState.RINGING:
                return call


def hush() -> None:
    """Turn off the log of the simulated phones: the command reports each step instead."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def socket_error(plan: Plan, error: OSError) -> StepError:
    """Return the error for a socket that cannot be bound to the local address or cannot connect."""
    reason = (error.strerror or type(error).__name__).lower()
    return StepError(
        f"cannot connect from {plan.addresses.caller} to {plan.addresses}: {reason}",
        "check that --bind is an address of this machine",
    )


class CallAudio:
    """Sends audio on an answered leg and stores what it receives; needs a running event loop."""

    def __init__(self, who: str, call: VoIPCall) -> None:
        self.who = who
        self.call = call
        self._heard = bytearray()
        self._ears = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for piece in self.call.audio():
            self._heard += piece

    @property
    def place(self) -> int:
        """The number of samples received so far: the present position in the received audio."""
        return len(self._heard) // 2

    def heard(self, since: int) -> Samples:
        """Return the received samples without the first `since` samples."""
        return from_pcm(bytes(self._heard[2 * since :]))

    async def say(self, said: Samples) -> None:
        """Send the samples `said` as speech; return when all of them have been sent."""
        await self.call.write_audio(to_pcm(said))
        await self.call.drain_audio()

    async def hush(self) -> None:
        """Stop storing the received audio."""
        self._ears.cancel()
        await asyncio.gather(self._ears, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Heard:
    """The measured quality of the audio in one direction, from `speaker` to `listener`."""

    speaker: str
    listener: str
    similarity: float
    """The similarity of the received audio to the audio that was sent, 0 to 1."""
    received: int
    """The number of packets that arrived."""
    lost: int
    jitter: float
    """The jitter of the received packets in seconds, as measured at the end of the talk."""

    @property
    def loss(self) -> float:
        """The share of the sent packets that were lost, 0 to 1."""
        expected = self.received + self.lost
        return self.lost / expected if expected else 0.0


async def converse(
    first: CallAudio, second: CallAudio, said: tuple[Samples, Samples]
) -> tuple[Heard, Heard]:
    """Let both parties speak at the same time; return what `first` heard, then `second`.

    Raises:
        StepError: The call ended during the talk, or this machine is too slow.
    """
    voices = (first, second)
    places = [voice.place for voice in voices]
    before = [voice.call.reception for voice in voices]
    longest = max(len(part) for part in said) / RATE
    try:
        async with asyncio.timeout(longest + 5):
            await asyncio.gather(*(v.say(part) for v, part in zip(voices, said, strict=True)))
            await _settled(voices, [at + len(said[0]) + _TAIL for at in places])
    except TimeoutError:
        raise StepError("this machine is too slow", "reduce its load") from None
    if any(voice.call.state is CallState.ENDED for voice in voices):
        raise StepError("the call ended during the talk", "the log of galwad-switch says why")
    return (
        _judged(second, first, said[1], places[0], before[0]),
        _judged(first, second, said[0], places[1], before[1]),
    )


async def _settled(voices: tuple[CallAudio, CallAudio], wanted: list[int]) -> None:
    try:
        async with asyncio.timeout(_SETTLING):
            for voice, place in zip(voices, wanted, strict=True):
                await voice.call.changes.until(lambda v=voice, p=place: v.place >= p)  # type: ignore[misc]
    except TimeoutError:
        return  # the report will show that audio is missing


def _judged(
    speaker: CallAudio, listener: CallAudio, said: Samples, place: int, before: ReceptionQuality
) -> Heard:
    after = listener.call.reception
    return Heard(
        speaker.who,
        listener.who,
        similarity_at(listener.heard(place), said),
        after.received - before.received,
        max(0, after.lost - before.lost),
        after.jitter,
    )
