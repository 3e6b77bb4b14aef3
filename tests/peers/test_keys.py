"""The keys of a real recording: another officer, a disposal, and a backup that cannot undo it."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.service import PASSWORD
from helpers.processes import run_galwad

pytestmark = pytest.mark.peer


class Desktop:
    """The officer's machine: galwad and stock `age`, signed in as the administrator."""

    def __init__(self, service, folder):
        self.service, self.folder = service, folder
        with service.sign_in("ceri") as client:
            body = {"user": "ceri", "password": PASSWORD, "client": "cli"}
            token = client.post("/api/v1/login", json=body).json()["token"]
        self.env = {**os.environ, "GALWAD_SERVER": service.url, "GALWAD_TOKEN": token}

    def run(self, *arguments, status=0):
        """Run a galwad command and return its output."""
        done = run_galwad(*arguments, env=self.env)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    @staticmethod
    def opens(identity, header, payload):
        """Return what stock `age` decrypts from header and payload; None if it fails."""
        joined = header + payload.read_bytes()
        command = ["age", "-d", "-i", identity]
        done = subprocess.run(command, input=joined, capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None


def test_recipients_signed_by_another_officer_raise_an_alarm_at_the_next_call(
    service, place_call, tmp_path, desktop
):
    """The settings already name the new officer, but the switch has not read them yet."""
    desktop.run("keys", "init", tmp_path / "theirs")
    desktop.run("keys", "sign", tmp_path / "theirs", "-o", tmp_path / "set.json")
    shutil.copy(tmp_path / "set.json", service.keys.recipients)
    place_call().hang_up()
    alarm = service.log.wait("alarm", kind="recording.no_recipients", process="switch")
    assert "not signed by the officer" in alarm["detail"]


@pytest.fixture
def desktop(service, tmp_path):
    """The officer's machine; the set in force is restored afterwards, for other tests."""
    before = service.keys.recipients.read_bytes()
    yield Desktop(service, tmp_path)
    service.keys.recipients.write_bytes(before)


def signed_trust(service, desktop, output):
    """Sign the node's key as the officer; return the options that name it."""
    node = next((service.state / "archive").glob("*.pub"))
    desktop.run("keys", "trust", service.keys.folder, "--node-key", node, "-o", output)
    return "--trust", output, "--officer-key", service.keys.officer_key


def test_a_rewrapped_and_disposed_recording_stays_disposed_after_a_restore(
    service, place_call, desktop, tmp_path
):
    call = place_call()
    call.caller.say(speech(1, 91), call.from_caller)
    call.hang_up()
    folder = Recording(service, call.call_id).folder
    header, payload = (folder / f"{call.call_id}.{kind}" for kind in ("header", "payload"))
    mine, theirs = service.keys.identity, tmp_path / "theirs" / "identity.txt"
    old = header.read_bytes()

    desktop.run("keys", "init", tmp_path / "theirs")
    shown = desktop.run("keys", "show", tmp_path / "theirs")
    recipient = shown.partition("recipient")[2].split()[0]
    signed = ("--recipient", f"successor={recipient}", "--without-me", "-o", tmp_path / "set.json")
    replaces = ("--replaces", service.keys.recipients, "--yes")
    desktop.run("keys", "sign", service.keys.folder, *signed, *replaces)
    shutil.copy(tmp_path / "set.json", service.keys.recipients)
    rewrapped = desktop.run("keys", "rewrap", service.keys.folder, "--reference", "K-1")
    assert "1 recordings: 1 rewrapped, 0 already" in rewrapped
    sound = desktop.opens(theirs, header.read_bytes(), payload)
    assert sound[:4] == b"fLaC"
    assert desktop.opens(mine, header.read_bytes(), payload) is None
    assert desktop.opens(mine, old, payload) == sound, "rewrapping revokes nothing"
    trusted = signed_trust(service, desktop, tmp_path / "trust")
    verified = desktop.run("recordings", "verify", folder, "--identity", theirs, *trusted)
    assert "rewrapped" in verified
    assert "1 recording: 1 whole" in verified

    service.galwad("backup", "make", str(tmp_path / "backup"))
    service.galwad("users", "rights", "ceri", "--right", "purge")
    why = ("--reason", "retention", "--reference", "R-1", "--yes")
    desktop.run("recordings", "purge", call.call_id, *why, "-o", tmp_path / "certificate.json")
    assert not header.exists()
    assert "disposed of" in desktop.run("recordings", "verify", folder, *trusted)

    service.stop()
    shutil.rmtree(service.state / "desk")
    shutil.rmtree(service.state / "archive")
    kept = ("--certificates", str(tmp_path / "certificate.json"))
    said = service.galwad("backup", "restore", str(tmp_path / "backup"), *kept)
    assert "0 headers put back" in said
    assert not header.exists()
    verdict = desktop.run("recordings", "verify", folder, *trusted)
    assert f"{call.call_id}  disposed of" in verdict
