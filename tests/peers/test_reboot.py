"""The machine is rebooted in a call: both sides get a BYE, and the recording ends as interrupted.

A reboot is simulated: all processes are killed at once, and the runtime folder, which is in memory,
is deleted. The daemon does not read the kernel's boot id.

Covers `galwad/switch/call/appended_files.py`, `galwad/switch/life/revival.py` and
`galwad/switch/life/daemon.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal

import pytest

from galwad.simulate.sound import RATE, speech
from helpers.peers.call import Call
from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee, Sipp
from helpers.peers.service import CALLER, PASSWORD
from helpers.peers.sound import FRAME, find
from helpers.peers.waiting import wait_until
from helpers.processes import run_galwad
from recording.keys.keyring import load_boot_key
from recording.spool import PacketRecord, read_spool

pytestmark = pytest.mark.peer

PROCESSES = ("switch", "desk", "finaliser")
BYE = re.compile(r"\nBYE (?:.+\r?\n)*?Reason: (.+?)\r?\n")


def stored_dialogs(service):
    """Return the text of the file with the dialogs of the answered calls."""
    path = service.state / "switch" / "dialogs.jsonl"
    return path.read_text() if path.exists() else ""


def reboot(service):
    """End all processes as a power cut does, and start them on the next boot."""
    for name in PROCESSES:
        service.processes[name].process.send_signal(signal.SIGKILL)
    for name in PROCESSES:
        service.kill(name)
    shutil.rmtree(service.runtime)
    service.runtime.mkdir(mode=0o700)
    service.start(*PROCESSES)


def readable(service, call_id):
    """Return how many packets in the call's spool can be read without the runtime folder's keys."""
    keys = (service.runtime / "boot.key", service.state / "spool" / "host.key")
    key = next(found for path in keys if (found := load_boot_key(path)) is not None)
    with read_spool(service.state / "spool" / f"{call_id}.1.spool", boot_key=key) as spool:
        return sum(isinstance(record, PacketRecord) for record in spool)


def printed(service, *arguments):
    """Return the output of a galwad command of the administrator."""
    with service.sign_in("ceri") as client:
        body = {"user": "ceri", "password": PASSWORD, "client": "cli"}
        token = client.post("/api/v1/login", json=body).json()["token"]
        env = {**os.environ, "GALWAD_SERVER": service.url, "GALWAD_TOKEN": token}
        return run_galwad(*arguments, env=env, check=True).stdout


@pytest.fixture
def unattended(start):
    """A service whose finaliser recovers spools without an officer."""
    more = "erase_back = 0\nunattended_recovery = true"
    return start(*PROCESSES, users=True, erase_back=more)


def interrupted(service, call, before):
    """Assert that the call's recording is interrupted, and return it."""
    recording = Recording(service, call.call_id)
    assert recording.manifest["interrupted"]
    assert [life["interrupted"] for life in recording.manifest["lives"]] == [True]
    assert "interrupted" in printed(service, "recordings", "list")
    shown = printed(service, "recordings", "show", call.call_id)
    assert "! interrupted: the recorder stopped during this call" in shown
    assert recording.adds_up()
    assert find(recording.caller, before)[1] > 0.95
    return recording


def both_sides_hung_up(call):
    """Wait until both SIPps have ended by a BYE, and return the reasons that they received."""
    call.caller_sip.wait()
    call.callee_sip.wait()
    return [BYE.findall(sipp.messages()) for sipp in (call.caller_sip, call.callee_sip)]


def test_after_a_reboot_both_sides_get_a_bye_and_a_pause_stays_silent(unattended, talker, ended):
    service = unattended
    call = Call(service, talker, ended, callee="uas", caller="uac")
    before, secret = speech(2, 401), speech(2, 402)
    call.caller.say(before, call.from_caller)
    call.advisor.wait_heard(call.caller.sent)
    with service.sign_in() as page:
        paused = page.put(f"/api/v1/calls/{call.call_id}/payment").json()
    assert paused["state"] == "paused"
    call.caller.say(secret, call.from_caller)
    frames = len(before) // FRAME
    wait_until(lambda: readable(service, call.call_id) >= frames, what="the speech on the disk")
    wait_until(lambda: call.call_id in stored_dialogs(service), what="the dialogs on the disk")
    reboot(service)
    assert both_sides_hung_up(call) == [['SIP;cause=500;text="Restarted"']] * 2
    service.log.wait("alarm", kind="switch.restarted", detail="0 calls continue, 1 were cut off")
    recording = interrupted(service, call, before)
    assert find(recording.caller, secret)[1] < 0.3
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["to_us"]) == ("payment", recording.manifest["talk_us"])
    assert recording.silent_in(gap)
    service.log.wait("alarm", kind="recording.interrupted", call_id=call.call_id)
    with service.sign_in("ceri") as client:
        found = client.get("/api/v1/coverage", params={"when": "last 2 days"}).json()
    assert (found["calls"], found["unexplained_us"], found["amiss"]) == (1, 0, [])
    wait_until(lambda: not stored_dialogs(service), what="an empty file")
    service.kill("switch")
    service.start("switch")
    service.log.wait("switch.ready", 3)
    assert len(service.log.events("call.cut_off_by_reboot")) == 1


def test_after_a_reboot_an_officer_recovers_the_recording_of_a_call(service, place_call):
    call = place_call()
    before = speech(2, 403)
    call.caller.say(before, call.from_caller)
    frames = len(before) // FRAME
    wait_until(lambda: readable(service, call.call_id) >= frames, what="the speech on the disk")
    wait_until(lambda: call.call_id in stored_dialogs(service), what="the dialogs on the disk")
    reboot(service)
    assert both_sides_hung_up(call) == [['SIP;cause=500;text="Restarted"']] * 2
    service.log.wait("alarm", kind="recording.locked", call_id=call.call_id)
    spool = service.state / "spool" / f"{call.call_id}.1.spool"
    identity = ("--identity", str(service.keys.identity), "--reference", "POWER-1", "--offline")
    folder = service.runtime / "spool-keys"
    service.galwad("recordings", "recover", str(spool), *identity, "--output", str(folder))
    archive = service.state / "archive"
    wait_until(lambda: list(archive.rglob("*.manifest")), 60, what="the manifest")
    recording = interrupted(service, call, before)
    assert recording.manifest["talk_us"] >= len(before) / RATE * 1e6


def test_after_a_first_sigterm_calls_go_on_until_a_second_sigterm_hangs_up_both_sides(
    service, place_call
):
    """`systemctl reboot` sends the first, and `systemctl kill` the second."""
    call = place_call()
    before, after = speech(1, 404), speech(1, 405)
    call.caller.say(before, call.from_caller)
    service.processes["switch"].process.send_signal(signal.SIGTERM)
    service.log.wait("switch.draining", calls=1)
    heard = len(call.advisor.heard)
    call.caller.say(after, call.from_caller)
    call.advisor.wait_heard(heard + len(after) // FRAME)
    service.processes["switch"].process.send_signal(signal.SIGTERM)
    assert both_sides_hung_up(call) == [['Q.850;cause=41;text="service stopped"']] * 2
    recording = Recording(service, call.call_id)
    assert not recording.manifest["interrupted"]
    assert recording.gaps() == []
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95
    service.processes.pop("switch").end()
    assert stored_dialogs(service) == ""


@pytest.mark.long
def test_after_a_reboot_both_sides_of_fifty_calls_get_a_bye(start, ended):
    """Fifty calls, and two starts of three processes: 2 s of CPU time."""
    service = start(*PROCESSES, users=True, max_calls=60)
    callee = ended(Callee(service.folder, "uas", "127.0.0.3", port=service.pbx_port, calls=50))
    caller = ended(
        Sipp(
            service.folder,
            "uac",
            "127.0.0.2",
            *("-s", "01970000200", "-r", "25", "-cid_str", "call-%u@peers"),
            f"{service.sip[0]}:{service.sip[1]}",
            calls=50,
            caller=CALLER,
        )
    )
    service.log.wait("call.answered", 50)
    ids = {event["call_id"] for event in service.log.events("call.answered")}

    def on_disk():
        lines = stored_dialogs(service).splitlines()
        return {call["call_id"] for call in map(json.loads, filter(None, lines))}

    wait_until(lambda: on_disk() >= ids, what="the dialogs on the disk")
    reboot(service)
    caller.wait()
    callee.wait()
    service.log.wait("call.cut_off_by_reboot", 50, byes=2)
