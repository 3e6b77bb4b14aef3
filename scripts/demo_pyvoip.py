"""Housing's phone with the real pyVoIP 1.6.8: a separate program that says one sentence.

Its arguments are: server, port, extension, password, own SIP port, first and last RTP port, and a
file with the sentence. It answers every call, says the sentence, and listens until the call ends.
It prints a line for each step. For the line `heard FILE` on stdin it writes what it has heard to
that file. Sound is 8 kHz, mono, unsigned octets, as in pyVoIP.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pyVoIP.RTP import PayloadType
from pyVoIP.VoIP import CallState, InvalidStateError, PhoneStatus, VoIPCall, VoIPPhone

RATE = 8000
LONGEST_S = 60
"""The longest sound that is read, in seconds."""


def tell(word: str) -> None:
    """Print the name of a step."""
    print(word, flush=True)


class Housing:
    """Answers and speaks; pyVoIP calls `ring` in a separate thread for each call."""

    def __init__(self, sentence: bytes) -> None:
        self._sentence = sentence
        self._call: VoIPCall | None = None

    def ring(self, call: VoIPCall) -> None:
        """Handle a call from its ringing to its end."""
        for client in call.RTPClients:  # 1.6.8 would send µ-law under the name of A-law
            client.preference = PayloadType.PCMU
        try:
            call.answer()
        except InvalidStateError:
            return
        self._call = call
        tell("answered")
        time.sleep(0.5)  # people take a breath first
        call.write_audio(self._sentence)
        time.sleep(len(self._sentence) / RATE + 0.5)
        tell("said")
        while call.state == CallState.ANSWERED:
            time.sleep(0.05)
        tell("ended")

    def heard(self) -> bytes:
        """Return the sound since the last request, padded with silence."""
        if self._call is None:
            return b""
        sound: bytes = self._call.read_audio(LONGEST_S * RATE, blocking=False)
        return sound


def main() -> None:
    """Register, and follow the commands on stdin until it is closed."""
    server, port, extension, password, own_port, low, high, sentence = sys.argv[1:]
    housing = Housing(Path(sentence).read_bytes())
    phone = VoIPPhone(
        server,
        int(port),
        extension,
        password,
        myIP=server,
        callCallback=housing.ring,
        sipPort=int(own_port),
        rtpPortLow=int(low),
        rtpPortHigh=int(high),
    )
    phone.start()
    while phone.get_status() == PhoneStatus.REGISTERING:
        time.sleep(0.02)
    tell(phone.get_status().name.lower())
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "heard":
            Path(argument).write_bytes(housing.heard())
            tell("heard")
    os._exit(0)  # pyVoIP's threads would continue


if __name__ == "__main__":
    main()
