"""G.729 by bcg729, which Debian's Linphone brings with it: an encoder, and a decoder not ours."""

from __future__ import annotations

import ctypes

import numpy as np

FRAME = 80
"""Samples: 10 ms."""


def _library():
    try:
        library = ctypes.CDLL("libbcg729.so.0")
    except OSError:
        raise AssertionError("bcg729 is missing: apt-get install libbcg729-0") from None
    for name in ("initBcg729EncoderChannel", "initBcg729DecoderChannel"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


class Encoder:
    """Ten bytes a frame; with `annex_b` two where a silence is described, none within it."""

    def __init__(self, *, annex_b=False):
        self._library = _library()
        self._channel = ctypes.c_void_p(self._library.initBcg729EncoderChannel(int(annex_b)))

    def frames(self, samples):
        made = []
        for at in range(0, len(samples) - FRAME + 1, FRAME):
            frame = (ctypes.c_int16 * FRAME)(*samples[at : at + FRAME])
            bits, length = (ctypes.c_uint8 * 10)(), ctypes.c_uint8()
            self._library.bcg729Encoder(self._channel, frame, bits, ctypes.byref(length))
            made.append(bytes(bits)[: length.value])
        return made


class Decoder:
    """What it makes of frames, those of a silence among them."""

    def __init__(self):
        self._library = _library()
        self._channel = ctypes.c_void_p(self._library.initBcg729DecoderChannel())

    def samples(self, frames):
        heard = []
        for frame in frames:
            bits, out = (ctypes.c_uint8 * 10)(*frame), (ctypes.c_int16 * FRAME)()
            speech = len(frame) == 10
            self._library.bcg729Decoder(
                self._channel, bits, len(frame), int(not frame), int(not speech), 0, out
            )
            heard.append(np.array(out, np.int16))
        return np.concatenate(heard)
