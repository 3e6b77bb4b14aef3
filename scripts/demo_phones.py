"""The demo's three phones: the caller's, the advisor's, and that of an outside department."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
from demo_housing import Housing
from demo_site import CALLER, HOST, Site
from demo_sound import Samples, clip

from telephony.phone import CallState, VoIPCall, VoIPPhone


class Talk:
    """One phone's side of a call: says sentences, and keeps all the sound that it hears."""

    def __init__(self, call: VoIPCall) -> None:
        self.call = call
        self._heard = bytearray()
        self._listening = asyncio.create_task(self._listen())

    async def say(self, name: str) -> None:
        """Say a whole sentence."""
        pcm = (clip(name) * 32767).astype("<i2").tobytes()
        await self.call.write_audio(pcm)
        await self.call.drain_audio()
        await asyncio.sleep(0.3)  # people pause between sentences

    @property
    def heard(self) -> Samples:
        """All the sound heard so far, from -1 to 1."""
        found: Samples = np.frombuffer(bytes(self._heard), "<i2") / 32768
        return found

    async def end(self) -> None:
        """Hang up, and read the remaining sound."""
        await self.call.hangup()
        await self._listening

    async def _listen(self) -> None:
        while heard := await self.call.read_audio(160):
            self._heard += heard


class Phones:
    """The three phones, started and stopped together."""

    def __init__(self, site: Site) -> None:
        base, server = site.media_base + 200, (HOST, site.sip_port)
        account = site.accounts["sian"]["sip"]
        self.ringing: asyncio.Queue[VoIPCall] = asyncio.Queue()
        self.caller = VoIPPhone(
            *server,
            CALLER,
            "",
            my_ip=HOST,
            sip_port=site.trunk_port,
            rtp_ports=(base, base + 39),
            register=False,
        )
        self.advisor = self._phone(
            site, account["extension"], account["password"], base + 40, self.ringing.put
        )
        self.housing = Housing(site, (base + 80, base + 119))

    async def start(self) -> None:
        """Start all three; the advisor's and Housing's register."""
        for phone in (self.caller, self.advisor, self.housing):
            await phone.start()

    async def stop(self) -> None:
        """Stop all three."""
        await asyncio.gather(*(p.stop() for p in (self.caller, self.advisor, self.housing)))

    async def stay(self) -> None:
        """Answer each call to the advisor's phone and say a greeting; run until cancelled."""
        while True:
            call = await self.ringing.get()
            await asyncio.sleep(3)  # long enough to look at the pop
            if call.state is CallState.RINGING:
                await call.answer()
                await Talk(call).say("advisor-1")

    @staticmethod
    def _phone(
        site: Site,
        extension: str,
        password: str,
        ports: int,
        callback: Callable[[VoIPCall], Awaitable[None]],
    ) -> VoIPPhone:
        return VoIPPhone(
            HOST,
            site.sip_port,
            extension,
            password,
            my_ip=HOST,
            rtp_ports=(ports, ports + 39),
            call_callback=callback,
        )
