"""The switch dies by SIGKILL or hands over: calls continue, others still ring, a pause stays.

Covers `galwad/switch/life/daemon.py` and `galwad/switch/life/revival.py`.
"""

from __future__ import annotations

import re
import signal
import socket
import threading

import pytest

from galwad.simulate.sound import RATE, speech
from helpers.examples import long_after
from helpers.peers.crashes import Spools
from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee, Caller, Sipp
from helpers.peers.service import CALLER
from helpers.peers.sound import FRAME, find
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer


def restart(service, number=signal.SIGKILL):
    """End the switch by a signal and start the next one."""
    service.processes.pop("switch").end(number)
    service.start("switch")


def shown(service):
    """Return the recording's state by call, as the advisor's page shows it."""
    with service.sign_in() as page:
        return {pop["call_id"]: pop["recording"] for pop in page.get("/api/v1/calls").json()}


def wait_shown(service, call_id, state):
    wait_until(lambda: shown(service).get(call_id) == state, what=state)


def payment(service, call_id, method):
    with service.sign_in() as page:
        return page.request(method, f"/api/v1/calls/{call_id}/payment").json()


@pytest.mark.parametrize("number", long_after(1, [signal.SIGKILL, signal.SIGUSR1]))
def test_an_answered_call_and_its_recording_continue_after_a_restart(service, place_call, number):
    call = place_call()
    before, after, back = (speech(2, seed) for seed in (91, 92, 93))
    call.caller.say(before, call.from_caller)
    spools, kept = Spools(service), len(before)
    if number == signal.SIGKILL:
        kept = RATE - 800
        written = kept // FRAME
        wait_until(lambda: spools.kept(call.call_id) >= written, what="the spool")
    restart(service, number)
    service.log.wait("call.resumed", call_id=call.call_id)
    wait_shown(service, call.call_id, "recording")
    heard = len(call.caller.heard), len(call.advisor.heard)
    call.caller.say(after, call.from_caller)
    call.advisor.say(back, call.from_advisor)
    call.advisor.wait_heard(heard[1] + 100)
    call.caller.wait_heard(heard[0] + 100)
    assert "\nBYE " not in call.caller_sip.messages() + call.callee_sip.messages()
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert [life["interrupted"] for life in recording.manifest["lives"]] == [True, False]
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"]) == ("fault", "crash")
    assert recording.adds_up()
    assert find(recording.caller, before[:kept])[1] > 0.95
    assert find(recording.caller, after)[1] > 0.95
    assert find(recording.advisor, back)[1] > 0.95
    service.wait_media_ports(0)


def test_a_pause_survives_a_restart_until_its_holder_releases_it(service, place_call):
    call = place_call()
    before, secret, more, after = (speech(1.5, seed) for seed in (81, 82, 83, 84))
    call.caller.say(before, call.from_caller)
    call.advisor.wait_heard(call.caller.sent)
    assert payment(service, call.call_id, "PUT")["state"] == "paused"
    call.caller.say(secret, call.from_caller)
    restart(service)
    wait_shown(service, call.call_id, "paused")
    call.caller.say(more, call.from_caller)
    assert payment(service, call.call_id, "DELETE") == {
        "state": "recording",
        "durable": True,
        "calls": [call.call_id],
    }
    call.caller.say(after, call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert {gap["reason"] for gap in recording.gaps()} == {"payment"}
    assert all(recording.silent_in(gap) for gap in recording.gaps())
    assert recording.adds_up()
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, secret)[1] < 0.3
    assert find(recording.caller, more)[1] < 0.3
    assert find(recording.caller, after)[1] > 0.95


def test_after_a_restart_in_a_pause_late_packets_of_the_pause_are_not_stored(service, place_call):
    """The network becomes 1.5 s slower in the pause, so half of the secret arrives after it."""
    call = place_call()
    before, secret, after = speech(2, 86), speech(3, 87), speech(1.5, 88)
    call.caller.say(before, call.from_caller)
    call.advisor.wait_heard(call.caller.sent)
    payment(service, call.call_id, "PUT")
    restart(service)
    wait_shown(service, call.call_id, "paused")
    spoken = threading.Timer(3.05, payment, (service, call.call_id, "DELETE"))
    spoken.start()
    call.caller.say(secret, call.from_caller, late_s=1.5)
    spoken.join()
    call.caller.say(after, call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert find(recording.caller, before)[1] > 0.95
    for part in (secret, secret[: len(secret) // 2], secret[len(secret) // 2 :]):
        assert find(recording.caller, part)[1] < 0.3
    assert find(recording.caller, after)[1] > 0.95
    assert recording.adds_up()


@pytest.mark.parametrize("new_ssrc", long_after(1, [True, False]))
def test_packets_of_a_pause_that_arrive_seconds_after_it_are_not_stored(
    service, place_call, new_ssrc
):
    """Nothing arrives for five seconds, across the end of the pause; there is no restart."""
    call = place_call()
    before, secret, after = speech(1.5, 61), speech(2, 62), speech(6, 63)
    call.caller.say(before, call.from_caller)
    paused = threading.Thread(target=payment, args=(service, call.call_id, "PUT"))
    paused.start()
    while paused.is_alive():  # any other interruption would add to the five seconds
        call.caller.say(speech(0.2, 64), call.from_caller)
    if new_ssrc:
        call.caller.ssrc ^= 1
    spoken = threading.Timer(2.1, payment, (service, call.call_id, "DELETE"))
    spoken.start()
    call.caller.say(secret, call.from_caller, late_s=5.0)
    spoken.join()
    call.caller.say(after, call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert find(recording.caller, before)[1] > 0.95
    for part in (secret, secret[: len(secret) // 2], secret[len(secret) // 2 :]):
        assert find(recording.caller, part)[1] < 0.3
    assert find(recording.caller, after[5 * RATE :])[1] > 0.95
    assert recording.adds_up()


_BEFORE_THE_REMOVAL = """
import pathlib, time
from galwad.switch.call.checkpoints import CheckpointStore

def remove(self, call_id):
    pathlib.Path(__file__).with_name("ended").touch()
    time.sleep(60)

CheckpointStore.remove = remove
"""


@pytest.mark.parametrize("paused", long_after(1, [True, False]))
def test_a_call_that_has_ended_stays_ended_if_the_switch_dies_at_that_moment(
    service, place_call, monkeypatch, tmp_path, paused
):
    """SIGKILL comes after the end of the spool, and before the checkpoint is removed."""
    (tmp_path / "sitecustomize.py").write_text(_BEFORE_THE_REMOVAL)
    with monkeypatch.context() as widened:
        widened.setenv("PYTHONPATH", str(tmp_path), prepend=":")
        restart(service)
    call = place_call()
    call.caller.say(speech(1, 95), call.from_caller)
    if paused:
        payment(service, call.call_id, "PUT")
    call.caller_sip.logged("media")
    call.caller_sip.poke(call.caller_sip.sip_call_id)
    wait_until((tmp_path / "ended").exists, what="the end of the spool")
    restart(service)
    service.log.wait("call.had_ended", call_id=call.call_id)
    call.callee_sip.wait()  # a BYE has reached it
    wait_shown(service, call.call_id, "ended")
    assert not service.log.events("call.resumed")
    recording = Recording(service, call.call_id)
    assert recording.adds_up()
    assert recording.manifest["unexplained"] == []


def test_a_call_ends_if_its_parties_are_gone_after_a_restart(service, place_call):
    call = place_call()
    call.caller.say(speech(1, 96), call.from_caller)
    service.kill("switch")
    call.caller_sip.end()
    call.callee_sip.end()
    service.start("switch")
    service.log.wait("call.resumed", call_id=call.call_id)
    service.log.wait("call.nobody_left", call_id=call.call_id)
    wait_shown(service, call.call_id, "ended")


def test_a_ringing_call_and_its_early_pause_survive_a_restart(service, talker, ended):
    caller, advisor = talker("127.0.0.2"), talker("127.0.0.3")
    phone = (service.folder, "uas_cancelled", "127.0.0.3")
    first = ended(Callee(*phone, port=service.pbx_port))
    caller_sip = ended(Caller(service, "01970000200", media=caller.port))
    call_id = service.call_id()
    first.logged("ringing")
    wait_until(lambda: call_id in shown(service))
    assert payment(service, call_id, "PUT")["state"] == "paused"
    restart(service)
    first.wait()
    second = ended(
        Callee(service.folder, "uas", "127.0.0.3", port=service.pbx_port, media=advisor.port)
    )
    target = caller_sip.media_target
    wait_shown(service, call_id, "paused")
    caller.say(speech(1, 85), target)
    caller_sip.hang_up()
    second.wait()
    recording = Recording(service, call_id)
    assert [gap["reason"] for gap in recording.gaps()] == ["payment"]
    assert not recording.samples.any()


@pytest.mark.long
def test_fifty_calls_continue_after_a_restart(start, ended):
    service = start("switch", "desk", "finaliser", users=True, max_calls=60)
    callee = ended(Callee(service.folder, "uas", "127.0.0.3", port=service.pbx_port, calls=50))
    caller = ended(_many(service, 50))
    # An answer is logged before its checkpoint is saved; the ACK is sent after that.
    wait_until(lambda: len(_acknowledged(callee)) == 50, what="50 ACKs")
    ports = service.media_ports_in_use()
    restart(service)
    service.log.wait("call.resumed", 50)
    assert service.media_ports_in_use() == ports
    everyone = "50 calls continue, 0 were cut off"
    service.log.wait("alarm", kind="switch.restarted", detail=everyone)
    for number in range(1, 51):
        caller.poke(f"call-{number}@peers")
    caller.wait()
    callee.wait()
    service.wait_media_ports(0)


def _acknowledged(callee):
    """Return the calls whose ACK the callee has received."""
    return set(re.findall(r"\nACK (?:.+\r?\n)*?Call-ID: (\S+)", callee.messages()))


def _many(service, count):
    return Sipp(
        service.folder,
        "uac",
        "127.0.0.2",
        *("-s", "01970000200", "-r", "25", "-cid_str", "call-%u@peers"),
        f"{service.sip[0]}:{service.sip[1]}",
        calls=count,
        caller=CALLER,
    )


def test_a_call_whose_media_ports_are_taken_at_the_restart_is_ended_on_both_sides(
    service, place_call
):
    call = place_call()
    service.kill("switch")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        thief.bind(call.from_caller)
        service.start("switch")
        service.log.wait("call.not_resumed", call_id=call.call_id)
        call.caller_sip.wait()
        call.callee_sip.wait()
    recording = Recording(service, call.call_id)
    assert recording.manifest["interrupted"]
    assert recording.adds_up()
