"""A phone on pyVoIP or rfcvoip, run as a program: commands come on stdin, events go to stdout.

Arguments: the library, server, port, extension, password, own SIP port, first and last RTP port. It
answers each incoming call at once.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time

voip = importlib.import_module(f"{sys.argv.pop(1)}.VoIP")
CallState, InvalidStateError = voip.CallState, voip.InvalidStateError
PhoneStatus, VoIPPhone = voip.PhoneStatus, voip.VoIPPhone

FRAME = 160
SILENCE = b"\x80" * FRAME


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def listen(call):
    """Count the frames that are not silence, and send a sawtooth, until the call ends."""
    loud = 0
    saw = bytes(range(64, 192, 8)) * (FRAME // 16)
    while call.state == CallState.ANSWERED:
        call.write_audio(saw)
        try:
            heard = call.read_audio(FRAME, blocking=True)
        except InvalidStateError:
            break
        if max(heard) - min(heard) > 60:
            loud += 1
            if loud == 25:
                say("audio", loud)
    say("ended")


def ring(call):
    say("ringing")
    try:
        call.answer()
    except InvalidStateError:
        return
    say("answered")
    listen(call)


def place(phone, number):
    call = phone.call(number)
    while call.state in {CallState.DIALING, CallState.RINGING}:
        time.sleep(0.02)
    say("placed", call.state.name)
    if call.state == CallState.ANSWERED:
        listen(call)


def main():
    server, port, extension, password, own_port, first_rtp, last_rtp = sys.argv[1:]
    phone = VoIPPhone(
        server,
        int(port),
        extension,
        password,
        myIP="127.0.0.1",
        callCallback=ring,
        sipPort=int(own_port),
        rtpPortLow=int(first_rtp),
        rtpPortHigh=int(last_rtp),
    )
    phone.start()
    while phone.get_status() == PhoneStatus.REGISTERING:
        time.sleep(0.02)
    say(phone.get_status().name.lower())
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "call":
            threading.Thread(target=place, args=(phone, argument), daemon=True).start()


if __name__ == "__main__":
    main()
