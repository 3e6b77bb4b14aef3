"""The sound of the parties in PCMU: noise, the worst case for FLAC, and speech in turns."""

import io
import subprocess

import numpy as np
import soundfile
from _common import found
from numpy.typing import NDArray

from recording.audio.codecs import NARROW, PayloadCodec, decoder_for

FRAME = 160
"""The octets, and samples, of a packet of 20 ms."""
_NOISE_FRAMES = 500
_ACTIVE = 1640.0
"""The root mean square of speech samples: 26 dB below full scale (ITU-T P.56)."""
_ROOM = 10.0
"""The root mean square of room noise while the other party speaks: 70 dB below full scale."""
_CALLER = (
    "Good morning. I have had a letter about my council tax, and it says that I owe two hundred "
    "and forty pounds. But I paid that in September, from my bank, and I have the number of the "
    "payment here."
)
_ADVISOR = (
    "Thank you for calling. Let me look that up for you. May I have the account number at the top "
    "of the letter, please, and the first line of your address? Then I can see what was paid, and "
    "when it came in."
)
_TURNS = (("en-gb", _CALLER), ("en-gb-x-rp", _ADVISOR))


def noise(party: int) -> bytes:
    """Return random octets, different for each party."""
    return np.random.default_rng(party).bytes(_NOISE_FRAMES * FRAME)


def speech() -> tuple[bytes, bytes] | None:
    """Return two parties who speak in turns, over faint room noise; None without espeak-ng."""
    program = found("espeak-ng")
    if program is None:
        return None
    spoken = [_spoken(program, *turn) for turn in _TURNS]
    room = np.random.default_rng(3)
    parties = []
    for party in range(2):
        turns = [each if turn == party else 0 * each for turn, each in enumerate(spoken)]
        said = np.concatenate(turns)
        parties.append(encoded(said + room.normal(0, _ROOM, len(said))))
    return parties[0], parties[1]


def _spoken(program: str, voice: str, words: str) -> NDArray[np.float64]:
    """Return a turn at 8 kHz, in whole packets; the spectrum above 4 kHz is removed."""
    command = [program, "-v", voice, "-s", "165", "--stdout", words]
    made = subprocess.run(command, check=True, capture_output=True).stdout
    samples, rate = soundfile.read(io.BytesIO(made))
    count = len(samples) * NARROW // rate // FRAME * FRAME
    narrow = np.fft.irfft(np.fft.rfft(samples)[: count // 2 + 1], count)
    loud: NDArray[np.float64] = narrow * (_ACTIVE / np.sqrt(np.mean(narrow**2)))
    return loud


def encoded(samples: NDArray[np.float64]) -> bytes:
    """Return the PCMU octets nearest to the samples."""
    decoder = decoder_for(PayloadCodec("PCMU", NARROW))
    if decoder is None:
        raise SystemExit("no decoder")
    values = decoder.decode(bytes(range(256))).astype(np.float64)
    order = np.argsort(values, kind="stable")
    between = (values[order][1:] + values[order][:-1]) / 2
    octets: bytes = order[np.searchsorted(between, samples)].astype(np.uint8).tobytes()
    return octets
