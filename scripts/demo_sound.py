"""The sentences of the demo, as samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

Samples = NDArray[np.float64]
SPEECH = Path(__file__).with_name("speech")
RATE = 8000


def clip(name: str) -> Samples:
    """Return a recorded sentence, from -1 to 1."""
    samples, rate = soundfile.read(SPEECH / f"{name}.flac", dtype="float64")
    if rate != RATE or samples.ndim != 1:
        raise ValueError(f"{name} is not mono at 8 kHz")
    found: Samples = samples
    return found
