"""The sealed recording as the officer sees it, opened with stock tools."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time

import soundfile

from galwad.simulate.judgement import loud_samples, sum_faults
from galwad.simulate.sound import RATE
from helpers.peers.waiting import PATIENCE_S
from recording.archive.accounting import packet_problems
from recording.archive.manifest import read_manifest


def run(name, package, *arguments, data):
    """Run a stock tool on `data` and return its standard output."""
    program = shutil.which(name)
    assert program, f"{name} is missing: apt-get install {package}"
    done = subprocess.run(
        [program, *arguments], input=data, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


class Recording:
    """One recording, fetched from the desk and opened by `age`, `flac` and libsndfile."""

    def __init__(self, service, call_id, rate=RATE):
        """Wait until the desk returns the recording; `took` is the wait in seconds."""
        self.call_id, self.rate = call_id, rate
        started = time.monotonic()
        sealed = self._fetch(service, call_id)
        self.took = time.monotonic() - started
        self.flac = run("age", "age", "-d", "-i", str(service.keys.identity), data=sealed)
        run("flac", "flac", "-t", "-s", "-", data=self.flac)
        opened = soundfile.read(io.BytesIO(self.flac), dtype="int16", always_2d=True)
        self.samples, found = opened
        assert found == rate
        self.folder = next(service.state.joinpath("archive").rglob(f"{call_id}.header")).parent
        parts = [self.folder / f"{call_id}.{part}" for part in ("header", "payload")]
        assert b"".join(part.read_bytes() for part in parts) == sealed
        self.manifest = self._manifest()

    def _fetch(self, service, call_id):
        why = {"purpose": "quality-training", "reference": "T-1"}
        with service.sign_in("ceri") as client:
            limit = time.monotonic() + PATIENCE_S
            while True:
                reply = client.post(f"/api/v1/recordings/{call_id}/fetch", json=why)
                if reply.status_code == 200:
                    return reply.content
                assert time.monotonic() < limit, f"{reply.text}\n{service.log.tail()}"
                time.sleep(0.02)

    def _manifest(self):
        data = (self.folder / f"{self.call_id}.manifest").read_bytes()
        problems = packet_problems(read_manifest(data))
        assert problems == [], problems
        return json.loads(data)["manifest"]

    @property
    def caller(self):
        """The left channel."""
        return self.samples[:, 0]

    @property
    def advisor(self):
        """The right channel."""
        return self.samples[:, 1]

    def gaps(self, reason=None):
        return [gap for gap in self.manifest["gaps"] if reason in {None, gap["reason"]}]

    def adds_up(self):
        """Return whether segments and gaps cover the talk time once, and the file is as long."""
        sound_s = len(self.samples) / self.rate
        assert list(sum_faults(self.manifest, sound_s)) == [], self.manifest
        assert abs(sound_s - self.manifest["talk_us"] / 1e6) < 0.03
        return True

    def silent_in(self, gap):
        """Return whether both channels are exactly zero within the gap."""
        return not loud_samples(self.samples, gap, self.rate)
