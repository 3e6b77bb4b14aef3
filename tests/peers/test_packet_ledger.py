"""The packets of a real call add up in `recordings show`; `calls coverage` names a false count.

The call has pauses, and packets that the network and the kernel lose. Another has a codec that no
decoder takes.

Covers `recording/spool/packet_counts.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import threading
import time
from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from helpers.peers.evidence import Recording
from helpers.peers.receive_buffers import shrink_receive_buffers
from helpers.peers.service import PASSWORD
from helpers.peers.sound import FRAME, FRAME_S
from helpers.processes import run_galwad
from recording.archive.manifest import read_manifest, sign_manifest

pytestmark = pytest.mark.peer

LOST = {60, 61, 62, 75}
"""The packets that each talker does not send, as if the network had lost them."""


class LossyTalker:
    """Lets a talker send a packet every 20 ms, and counts in `sent` those that leave it."""

    def __init__(self, talker, to, lost=frozenset()):
        self.sent = 0
        self._talker, self._to, self._lost = talker, to, lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def _speak(self):
        start, number = time.monotonic(), 0
        while not self._stop.is_set():
            data = self._talker.packet(random.randbytes(FRAME), timestamp=number * FRAME)
            if number not in self._lost:
                self._talker.throw(data, self._to)
                self.sent += 1
            number += 1
            self._stop.wait(max(0.0, start + number * FRAME_S - time.monotonic()))

    def end(self):
        self._stop.set()
        self._thread.join()


@pytest.fixture
def speak():
    """Return a function that lets both parties of a call send until the end of the test."""
    talkers = []

    def both(call):
        talkers.append(LossyTalker(call.caller, call.from_caller, LOST))
        talkers.append(LossyTalker(call.advisor, call.from_advisor, LOST))
        return talkers

    yield both
    for talker in talkers:
        talker.end()


def galwad(service, *arguments):
    """Run a command as the recording administrator; return its exit status and its output."""
    with service.sign_in("ceri") as client:
        body = {"user": "ceri", "password": PASSWORD, "client": "cli"}
        token = client.post("/api/v1/login", json=body).json()["token"]
    done = run_galwad(
        *arguments,
        env={
            **os.environ,
            "GALWAD_SERVER": service.url,
            "GALWAD_TOKEN": token,
            "COLUMNS": "200",
        },
    )
    return done.returncode, done.stdout


def forge(service, recording, change):
    """Change the manifest of a recording as the node itself could: sign it, and index it."""
    path = recording.folder / f"{recording.call_id}.manifest"
    secret = (service.state / "finaliser" / "manifest.key").read_bytes()
    manifest = change(read_manifest(path.read_bytes()))
    data = sign_manifest(manifest, Ed25519PrivateKey.from_private_bytes(secret))
    path.chmod(0o600)
    path.write_bytes(data)
    database = sqlite3.connect(service.state / "desk" / "galwad.db")
    with contextlib.closing(database), database:
        database.execute(
            "UPDATE recordings SET manifest_sha256 = ?", (hashlib.sha256(data).hexdigest(),)
        )


def one_more_received(manifest):
    """Return a manifest in which the caller's first segment has one received packet too many."""
    first = manifest.packets[0]
    caller, advisor = first.parties
    wrong = msgspec.structs.replace(caller, received=caller.received + 1)
    changed = replace(first, parties=[wrong, advisor])
    return msgspec.structs.replace(manifest, packets=[changed, *manifest.packets[1:]])


def stand_still(service):
    """Stop the switch for five seconds, in which its small buffers overflow."""
    switch = service.processes["switch"].process
    shrink_receive_buffers(switch, 64 * 1024)
    switch.send_signal(signal.SIGSTOP)
    time.sleep(5)
    switch.send_signal(signal.SIGCONT)


def pause_twice(service, call):
    with service.sign_in() as page:
        path = f"/api/v1/calls/{call.call_id}/payment"
        for _ in range(2):
            page.put(path, json={})
            time.sleep(0.7)
            page.request("DELETE", path)
            time.sleep(0.7)


def check_party(stretches, index, talker):
    """Check the packets of a party, and return those received, stored, and lost by the kernel."""
    parties = [each["parties"][index] for each in stretches]
    received = sum(party["received"] for party in parties)
    by_kernel = sum(party["lost_by_kernel"] for party in parties)
    dropped = [party["dropped"].get("payment", 0) for party in parties]
    assert by_kernel > 50
    assert received + by_kernel == talker.sent
    assert sum(party["lost_by_network"] for party in parties) == len(LOST)
    assert dropped[0] + dropped[1] >= 30
    assert dropped[2] + dropped[3] >= 30
    return received, sum(party["stored"] for party in parties), by_kernel


def test_all_packets_of_a_call_with_pauses_and_losses_are_accounted_for_until_a_count_is_forged(
    service, place_call, speak
):
    call = place_call("uas_plain")
    talkers = speak(call)
    time.sleep(2.0)
    pause_twice(service, call)
    stand_still(service)
    time.sleep(1.0)
    for talker in talkers:
        talker.end()
    time.sleep(0.2)
    call.hang_up()
    recording = Recording(service, call.call_id)
    stretches = recording.manifest["packets"]
    assert [each["gap"] for each in stretches] == ["", *["payment", ""] * 2, "fault", ""]
    assert all(each["complete"] for each in stretches)
    status, shown = galwad(service, "recordings", "show", call.call_id)
    assert status == 0
    for index, (channel, talker) in enumerate(zip(("caller", "advisor"), talkers, strict=True)):
        received, stored, by_kernel = check_party(stretches, index, talker)
        assert f"{channel}: {received} packets received, {stored} stored, " in shown
        assert f"lost: {len(LOST)} by the network, {by_kernel} by the kernel" in shown
    status, out = galwad(service, "calls", "coverage", "--date", "last 2 days", "--json")
    found = json.loads(out)
    assert (status, found["amiss"], found["silent"]) == (0, [], [])
    forge(service, recording, one_more_received)
    status, out = galwad(service, "calls", "coverage", "--date", "last 2 days")
    assert status == 1
    received = stretches[0]["parties"][0]["received"]
    assert f"{received + 1} packets received, but {received} stored or dropped" in out
    assert "!  caller, segment 0.0 s to " in out


def test_a_party_whose_codec_has_no_decoder_is_shown_as_silent(service, place_call):
    call = place_call("uas_plain")
    payloads = [random.randbytes(33) for _ in range(60)]
    call.caller.say_payloads(payloads, call.from_caller, 4, FRAME)
    call.hang_up()
    recording = Recording(service, call.call_id)
    status, shown = galwad(service, "recordings", "show", call.call_id)
    assert status == 0
    assert "! the caller is silent from 0:00 to 0:01: " in shown, recording.manifest
    status, out = galwad(service, "calls", "coverage", "--date", "last 2 days", "--json")
    (silent,) = json.loads(out)["silent"]
    assert (status, silent["call_id"], silent["channel"]) == (0, call.call_id, "caller")
