"""The parties of a simulated call: phones that call and answer, and the voices on their legs."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

import numpy as np
import structlog

from galwad.simulate.plan import PhoneTransport, Plan, SipLogin
from galwad.simulate.report import (
    StepError,
    reason_of,
    registration_error,
    socket_error,
    unreachable_error,
)
from galwad.simulate.sound import RATE, Samples, from_pcm, similarity_at, speech, to_pcm, tones
from net.tls import client_context
from telephony.phone import (
    CallState,
    ReceptionQuality,
    RegistrationError,
    VoIPCall,
    VoIPPhone,
)
from telephony.phone.phone import CallCallback

PORTS: Final = (30_000, 32_999)
"""The lowest and the highest media port. A call has two legs, and each leg needs two ports."""
_SETTLING: Final = 1.5
"""The maximum time in seconds to wait for the last audio to arrive, after all audio was sent."""
_TAIL: Final = RATE // 4
CALLER: Final = 0
ADVISOR: Final = 1
"""The channels of a recording: the caller's, and that of the party at the advisor's end."""
_BLOCK_S: Final = 2.0
_AHEAD: Final = 2 * RATE
"""The fewest samples to keep queued. If the queue ran empty while the event loop stalls, the phone
would send silence, and the recording would rightly differ from what was said.
"""


def hush() -> None:
    """Turn off the log of the simulated phones: the command reports each step instead."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


# --- the phones -------------------------------------------------------------------------------


def calling_phone(plan: Plan) -> VoIPPhone:
    """Make and return the calling phone, which is not started yet."""
    account = plan.acts_as or SipLogin(plan.caller, "")
    return _phone(plan, account, (plan.addresses.caller, plan.addresses.caller_port))


def _phone(
    plan: Plan,
    account: SipLogin,
    local: tuple[str, int],
    callback: CallCallback | None = None,
    *,
    outside: bool = False,
) -> VoIPPhone:
    """Make a phone. A phone `outside` the centre uses UDP, and does not register."""
    addresses = plan.addresses
    transport = PhoneTransport.UDP if outside else addresses.transport
    secure = transport is PhoneTransport.TLS
    return VoIPPhone(
        addresses.host,
        addresses.port,
        account.extension,
        account.password,
        my_ip=local[0],
        sip_port=local[1],
        rtp_ports=PORTS,
        register=callback is not None and not outside,
        call_callback=callback,
        srtp=plan.media.value,
        transport=transport.value,
        tls=client_context(ca=addresses.ca) if secure else None,
        server_name=addresses.host_as_typed if secure else "",
    )


class Answerer:
    """A simulated phone that can be called.

    A phone of the centre registers at the server. For a phone outside the centre, `outside` is the
    address and port on this machine at which the server calls it.
    """

    def __init__(
        self, plan: Plan, account: SipLogin, outside: tuple[str, int] | None = None
    ) -> None:
        self.extension = account.extension
        self.incoming: asyncio.Queue[VoIPCall] = asyncio.Queue()
        self.phone = _phone(
            plan,
            account,
            outside or (plan.addresses.local_host, 0),
            self.incoming.put,
            outside=outside is not None,
        )
        self._plan = plan
        self._outside = outside

    async def __aenter__(self) -> Self:
        """Start the phone, and register it unless it is outside; raise StepError if that fails."""
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
            if self._outside is None:
                raise socket_error(self._plan, error) from None
            host, port = self._outside
            raise StepError(
                f"cannot answer as {self.extension} at {host}:{port}: {reason_of(error)}",
                "the `target` of this destination must be a free port of this machine",
            ) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.phone.stop()

    async def next_ringing(self) -> VoIPCall:
        """Return the next call that rings at this phone; skip calls that have stopped ringing."""
        while True:
            call = await self.incoming.get()
            if call.state is CallState.RINGING:
                return call


# --- one talk ---------------------------------------------------------------------------------


class CallAudio:
    """Sends speech on an answered leg, and stores the sound that arrives there.

    Create it in a running event loop.
    """

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

    def heard(self, since: int = 0) -> Samples:
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
    packets: ReceptionQuality
    """The packets of this talk, with the jitter at its end."""


async def converse(
    first: CallAudio, second: CallAudio, said: tuple[Samples, Samples]
) -> tuple[Heard, Heard]:
    """Let both speak at once; return what `first` and `second` heard.

    Raises `StepError` if this machine is too slow, or if the call ends.
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
        ReceptionQuality(
            after.received - before.received, max(0, after.lost - before.lost), jitter=after.jitter
        ),
    )


# --- speech without a break -------------------------------------------------------------------


class Fate(Enum):
    """The fate that the speech of a phase must have in the recording."""

    STORED = "stored"
    """The recording contains the speech."""
    IN_GAP = "in a gap"
    """No channel of the recording contains the speech, and the recording has a gap at this time."""
    APART = "apart"
    """No channel of the recording contains the speech, because it belongs to a consultation."""


@dataclass(frozen=True, slots=True)
class Part:
    """The speech of one party in one phase of the call."""

    who: str
    channel: int
    said: Samples = field(repr=False)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the call, `seconds` long, with only speech. Verdicts mention its `name`."""

    name: str
    fate: Fate
    seconds: float
    parts: tuple[Part, ...]


class Voice:
    """Speaks on a leg until the leg ends or `stop` is called. Create it in a running event loop.

    A voice is random noise, so any part of it can be found in the recording.
    """

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
                self._write(speech(_BLOCK_S, secrets.randbits(60)))
            await asyncio.sleep(_BLOCK_S / 4)

    def _write(self, block: Samples) -> None:
        self._blocks.append(block)
        self._written += len(block)
        self.call.media.stream.sender.write(to_pcm(block))

    def key(self, digits: str) -> float:
        """Send digits as tones after what is queued; return the seconds until all are sent."""
        self._write(tones(digits))
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
        """Stop speaking. The leg then sends what is queued, and silence after it."""
        self._mouth.cancel()
        await asyncio.gather(self._mouth, return_exceptions=True)
