"""A phone on aiosipua, run as a program: events go to stdout.

Arguments: server, port, extension, password, own SIP port, first and last RTP port. It answers each
incoming call at once.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
from aiosipua import Registration, SipDigestAuth, SipUAC, SipUAS
from aiosipua.rtp_bridge import CallSession
from aiosipua.transport import UdpSipTransport

FRAME = 160
SAW = np.tile((np.arange(64, 192, 8) - 128) << 8, FRAME // 16).astype(np.int16).tobytes()


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def take(call, rtp_port):
    """Answer, and send a sawtooth."""
    session = CallSession(local_ip="127.0.0.1", rtp_port=rtp_port, offer=call.sdp_offer)
    call.ringing()
    call.accept(session.sdp_answer)
    await session.start()
    say("answered")
    at = 0
    while True:
        session.send_audio_pcm(SAW, at)
        at += FRAME
        await asyncio.sleep(0.02)


async def main():
    server, port, extension, password, own_port, first_rtp, _ = sys.argv[1:]
    client = SipUAC(transport := UdpSipTransport(local_addr=("127.0.0.1", int(own_port))))
    phone, talks = SipUAS(transport, uac=client), []

    def ring(call):
        say("ringing")
        talks.append(asyncio.create_task(take(call, int(first_rtp))))

    phone.on_invite = ring
    phone.on_bye = lambda *_: say("ended")
    await phone.start()
    account = SipDigestAuth(extension, password)
    binding = Registration(client, f"sip:{extension}@{server}", (server, int(port)), auth=account)
    binding.on_registered = lambda *_: say("registered")
    binding.register()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
