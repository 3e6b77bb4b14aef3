"""FLAC in an age payload: what libsndfile writes in many parts is one payload."""

import os

import numpy as np
import pytest
import soundfile

from recording.age.stream import CHUNK, PayloadReader
from recording.audio.payloads import FlacPayload


@pytest.fixture
def file(tmp_path):
    fd = os.open(tmp_path / "payload", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-20_000, 20_000, (samples, 2), dtype=np.int16)


@pytest.mark.parametrize("samples", [1, 4000, 8 * CHUNK])
def test_the_samples_that_were_written_in_blocks_are_read_back(file, samples):
    payload, sound = FlacPayload(file, 8000, "a call"), noise(samples)
    payload.write_all(sound[at : at + 3000] for at in range(0, samples, 3000))
    payload.close()
    with os.fdopen(os.dup(file), "rb") as source:
        reader = PayloadReader(source, payload.file_key)
        found, rate = soundfile.read(reader, dtype="int16", always_2d=True)
    assert rate == 8000
    assert np.array_equal(found, sound)


def test_written_audio_goes_to_the_file_and_is_not_collected_in_memory(file):
    """Memory does not grow with the length of a call: each block goes on to the payload."""
    payload = FlacPayload(file, 8000, "a call")
    payload.write_all([noise(8 * CHUNK)])
    assert os.fstat(file).st_size > 20 * CHUNK
    assert not payload._sink._collected
    payload.discard()


def test_a_failed_write_of_the_payload_raises_its_error_from_write_all(tmp_path):
    (tmp_path / "payload").touch()
    fd = os.open(tmp_path / "payload", os.O_RDWR)
    payload = FlacPayload(fd, 8000, "a call")
    payload.write_all([noise(1000)])
    os.close(fd)
    read_only = os.open(tmp_path / "payload", os.O_RDONLY)
    assert read_only == fd
    with pytest.raises(OSError, match="Bad file descriptor"):
        payload.write_all([noise(8 * CHUNK)])
    payload.discard()
    os.close(read_only)
