"""The parts of `galwad simulate call`: plan, sound, flow, load, and the judgement of a call."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.cli.support.console import CliError
from galwad.simulate.api import OpenedRecording
from galwad.simulate.call import Spoken, judge, simulate
from galwad.simulate.judgement import PAUSED, judge_recording
from galwad.simulate.phones import Heard
from galwad.simulate.plan import Addresses, PhoneTransport, Plan, SipLogin, locate
from galwad.simulate.report import Report, StepResult, call_error, registration_error
from galwad.simulate.run import Tally, report_tally
from galwad.simulate.sound import RATE, similarities_anywhere, similarity_at, speech
from telephony.phone import CallState, ReceptionQuality, VoIPPhone

WHERE = Addresses("127.0.0.1", 5060, PhoneTransport.UDP, "sip.example", "127.0.0.1", "127.0.0.2")
PLAN = Plan("01970000100", WHERE, "07700900123", None, ())
BY_KEY = {"trigger": "phone", "actor": "phone:201"}
PRESSED = {"at_us": 1 << 40, **BY_KEY, "erase_us": 0}
"""The record key, which the switch has recorded."""
PHONE = replace(PLAN, acts_as=SipLogin("301", "s"))


def verdicts(report):
    return {step.name: step.verdict for step in report.steps}


# --- sound ------------------------------------------------------------------------------------


def test_speech_is_recognised_whatever_its_delay():
    said = speech(2, 1)
    assert similarity_at(said, said) > 0.999
    assert similarity_at(np.concatenate([np.zeros(RATE, np.int16), said]), said) > 0.999


def test_another_voice_silence_and_no_audio_have_low_similarity():
    said = speech(2, 1)
    for heard in (speech(2, 2), np.zeros(2 * RATE, np.int16), np.zeros(0, np.int16)):
        assert similarity_at(heard, said) < 0.3


def test_lost_audio_lowers_the_similarity():
    said = speech(2, 1)
    heard = said.copy()
    heard[: len(heard) // 4] = 0
    assert 0.5 < similarity_at(heard, said) < 0.9


def test_a_short_recorded_stretch_is_found_in_an_unrecorded_phase():
    said = speech(4, 1)
    recorded = speech(4, 2)
    recorded[RATE : 2 * RATE] = said[RATE : 2 * RATE]
    found = similarities_anywhere(recorded, said)
    assert np.mean(found) < 0.5
    assert max(found) > 0.99


# --- one direction ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("similarity", "packets", "verdict"),
    [
        (0.99, (200, 0, 0, 0.001), StepResult.FINE),
        (0.99, (200, 5, 0, 0.001), StepResult.WARNING),
        (0.99, (200, 0, 0, 0.05), StepResult.WARNING),
        (0.7, (200, 0, 0, 0.001), StepResult.WARNING),
        (0.1, (200, 0, 0, 0.001), StepResult.FAULT),
        (0.0, (0, 0, 0, 0.0), StepResult.FAULT),
    ],
)
def test_a_direction_is_judged_by_similarity_loss_and_jitter(similarity, packets, verdict):
    report = Report()
    judge(report, "talk", Heard("a", "b", similarity, ReceptionQuality(*packets)))
    assert verdicts(report) == {"talk: a to b": verdict}
    assert bool(report.steps[0].hint) is (verdict is not StepResult.FINE)


# --- the recording ----------------------------------------------------------------------------


def recorded(*phases, gaps=(), talk_s=None, keep=()):
    """A recording of phases of two seconds; only the phases in `keep` contain their speech."""
    parts = {phase: (speech(2, 2 * n), speech(2, 2 * n + 1)) for n, phase in enumerate(phases)}
    silence = np.zeros(2 * RATE, np.int16)
    channels = [
        np.concatenate([part[side] if phase in keep else silence for phase, part in parts.items()])
        for side in (0, 1)
    ]
    spans = [(2_000_000 * n, 2_000_000 * (n + 1), phase) for n, phase in enumerate(phases)]
    manifest = {
        "triggers": [PRESSED],
        "segments": [{"from_us": a, "to_us": b} for a, b, p in spans if p not in gaps],
        "gaps": [
            {"from_us": a, "to_us": b, "reason": gaps[p], **BY_KEY}
            for a, b, p in spans
            if p in gaps
        ],
        "unexplained": [],
        "talk_us": 2_000_000 * len(phases) if talk_s is None else round(talk_s * 1_000_000),
    }
    spoken = [Spoken(phase, *part) for phase, part in parts.items()]
    return OpenedRecording(channels[0], channels[1], manifest), spoken


def judged(*phases, **how):
    report = Report()
    judge_recording(report, *recorded(*phases, **how))
    return verdicts(report)


def test_a_recording_with_a_pause_and_all_other_speech_is_fine():
    found = judged("talk", PAUSED, gaps={PAUSED: "payment"}, keep=("talk",))
    assert set(found.values()) == {StepResult.FINE}
    assert {"recorded: talk, caller", f"not recorded: {PAUSED}", "payment gap"} <= found.keys()


def test_recorded_speech_from_a_pause_is_a_fault():
    found = judged("talk", PAUSED, gaps={PAUSED: "payment"}, keep=("talk", PAUSED))
    assert found[f"not recorded: {PAUSED}"] is found["payment gap"] is StepResult.FAULT


def with_an_erased_part(seconds, *, kept_s, talk_s=4):
    """Judge a talk and a pause that erased the last `seconds` of the talk.

    The recording contains the first `kept_s` seconds of what was said.
    """
    said = speech(talk_s, 1), speech(talk_s, 2)
    channels = []
    for part in said:
        heard = part.copy()
        heard[round(kept_s * RATE) :] = 0
        channels.append(np.concatenate([heard, np.zeros(2 * RATE, np.int16)]))
    edge, end = talk_s * 1_000_000, (talk_s + 2) * 1_000_000
    begin = edge - round(seconds * 1_000_000)
    manifest = {
        "triggers": [PRESSED],
        "segments": [{"from_us": 0, "to_us": begin}],
        "gaps": [
            {
                "from_us": begin,
                "to_us": edge,
                "reason": "erased",
                "trigger": "phone",
                "actor": "phone:201",
            },
            {
                "from_us": edge,
                "to_us": end,
                "reason": "payment",
                "trigger": "phone",
                "actor": "phone:201",
            },
        ],
        "unexplained": [],
        "talk_us": end,
    }
    spoken = [Spoken("talk", *said), Spoken(PAUSED, speech(2, 3), speech(2, 4))]
    report = Report()
    judge_recording(report, OpenedRecording(channels[0], channels[1], manifest), spoken)
    return verdicts(report)


def test_speech_that_the_pause_erased_need_not_be_recorded():
    found = with_an_erased_part(2, kept_s=2)
    assert set(found.values()) == {StepResult.FINE}
    assert {"recorded: talk, caller", "erased gap", "payment gap"} <= found.keys()


def test_speech_from_before_the_erased_part_must_be_recorded():
    assert with_an_erased_part(2, kept_s=0.5)["recorded: talk, caller"] is StepResult.FAULT


def test_sound_in_an_erased_part_is_a_fault():
    assert with_an_erased_part(2, kept_s=3)["erased gap"] is StepResult.FAULT


def test_a_talk_that_the_pause_erased_altogether_is_fine():
    found = with_an_erased_part(2, kept_s=0, talk_s=2)
    assert found["recorded: talk"] is StepResult.FINE
    assert "recorded: talk, caller" not in found


def test_missing_speech_from_outside_a_pause_is_a_fault():
    found = judged("talk", "after the pause", keep=("talk",))
    assert found["recorded: talk, advisor"] is StepResult.FINE
    assert found["recorded: after the pause, advisor"] is StepResult.FAULT


def test_speech_after_a_transfer_must_be_in_a_transfer_gap():
    left = {"after the transfer": "transfer"}
    found = judged("talk", "after the transfer", gaps=left, keep=("talk",))
    assert found["not recorded: after the transfer"] is StepResult.FINE
    stayed = judged("talk", "after the transfer", keep=("talk",))
    assert stayed["recorded: after the transfer, caller"] is StepResult.FAULT


def test_talk_time_without_a_segment_or_gap_is_a_fault():
    assert judged("talk", keep=("talk",))["adds up"] is StepResult.FINE
    assert judged("talk", keep=("talk",), talk_s=3)["adds up"] is StepResult.FAULT


# --- many calls -------------------------------------------------------------------------------


def told(**figures):
    report = Report()
    report_tally(report, Tally(**figures), replace(PLAN, calls=4))
    return verdicts(report)


def test_a_load_test_without_losses_is_fine():
    found = told(setup=[40, 50, 60, 90], received=2000, similarities=[0.99, 0.98])
    assert set(found.values()) == {StepResult.FINE}


def test_refused_or_cut_calls_and_lost_packets_are_faults():
    assert told(setup=[40], refused=Counter({503: 3}))["calls"] is StepResult.FAULT
    assert told(setup=[40] * 4, cut=1, similarities=[1.0])["calls"] is StepResult.FAULT
    found = told(setup=[40] * 4, received=2000, lost=100, similarities=[0.99])
    assert (found["calls"], found["sound"]) == (StepResult.FINE, StepResult.FAULT)


def test_a_delay_on_the_testing_machine_is_a_warning():
    assert told(setup=[40] * 4, received=9, similarities=[1.0], late=0.5)["this machine"] is (
        StepResult.WARNING
    )


# --- what a status means ----------------------------------------------------------------------


def test_a_401_or_407_names_the_phone_with_the_wrong_password():
    assert registration_error(PLAN, "201", 401).message == "401: wrong password for 201"
    assert call_error(PHONE, 407).message == "407: wrong password for 301"
    assert call_error(PLAN, 401).message == "401: 127.0.0.2 is not a trunk there"


@given(st.integers(300, 699), st.booleans())
def test_every_sip_error_status_gives_one_line_and_a_hint(status, by_phone):
    for error in (
        call_error(PHONE if by_phone else PLAN, status),
        registration_error(PLAN, "201", status),
    ):
        assert error.message.startswith(f"{status}: ")
        assert "\n" not in error.message + error.hint
        assert error.hint


# --- the server's address ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "transport", "host", "port"),
    [
        ("127.0.0.1", PhoneTransport.UDP, "127.0.0.1", 5060),
        ("127.0.0.1:5070", PhoneTransport.TCP, "127.0.0.1", 5070),
        ("127.0.0.1", PhoneTransport.TLS, "127.0.0.1", 5061),
        ("[::1]:5070", PhoneTransport.UDP, "::1", 5070),
        ("::1", PhoneTransport.UDP, "::1", 5060),
    ],
)
def test_a_server_address_is_parsed_with_the_default_port_of_its_transport(
    text, transport, host, port
):
    addresses = locate(text, transport, "", None)
    assert (addresses.host, addresses.port, addresses.local_host) == (host, port, host)


def test_the_caller_may_have_its_own_address_and_port():
    addresses = locate("127.0.0.1", PhoneTransport.UDP, "127.0.0.2:5070", None)
    assert (addresses.local_host, addresses.caller, addresses.caller_port) == (
        "127.0.0.1",
        "127.0.0.2",
        5070,
    )


@given(st.text(alphabet="[]:.0123456789", max_size=24))
def test_an_invalid_address_raises_only_a_command_line_error(text):
    with contextlib.suppress(CliError):
        assert 0 <= locate(text, PhoneTransport.UDP, "127.0.0.1", None).port < 65536


# --- usage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--pause", "3"), "--dtmf, --pause, --transfer, --attended and"),
        (("--calls", "9"), "--calls works only with --answer"),
        (("--dtmf", "1x"), '--dtmf "1x" has keys that phones do not have'),
        (("--sip", "127.0.0.1:none"), "cannot read --sip"),
        (
            ("--answer", "201"),
            "the SIP password of 201 is missing, and there is no terminal to ask",
        ),
        (("--transfer", "sip:", "--from", "07700900123"), '--transfer "sip:" cannot be dialled'),
        (("--from", "a b<>"), "an extension, or the number of --from, is not valid"),
    ],
)
def test_contradictory_options_are_refused_before_any_call(run, options, error):
    done = run("simulate", "call", "1", "--sip", "127.0.0.1", *options)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {error}")
    assert "\nhint: " in done.err


@pytest.mark.parametrize("number", ["", "not a number", "sip:", "1@2"])
def test_an_undiallable_number_is_refused_before_any_call(run, number):
    done = run("simulate", "call", number, "--sip", "127.0.0.1")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f'error: the number "{number}" cannot be dialled\nhint: ')


def test_a_server_whose_api_does_not_answer_is_an_error_before_any_call(run, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", "a" * 43)
    monkeypatch.setattr("sys.stdin", io.StringIO("secret"))
    where = ("--sip", "127.0.0.1:9", "--server", "http://127.0.0.1:9")
    phone = ("--answer", "201", "--password-stdin", "--pause", "3", "--pause-by", "api")
    done = run("simulate", "call", "1", *where, *phone)
    assert done.status == 1
    assert "register" not in done.out
    assert done.err.startswith("error: server: cannot reach the server\nhint: ")


# --- a whole simulation, with a phone as the server -------------------------------------------


@pytest.fixture
async def callee():
    """Start a phone that is called directly and runs a callback for each call."""
    started = []

    async def callee(callback):
        phone = VoIPPhone(
            *("127.0.0.1", 9, "600", ""),
            my_ip="127.0.0.1",
            rtp_ports=(47_000, 47_099),
            register=False,
            call_callback=callback,
        )
        started.append(phone)
        await phone.start()
        addresses = replace(WHERE, port=phone.address.port, caller="127.0.0.1")
        return replace(PLAN, addresses=addresses, talk=1.0, timeout=5.0)

    yield callee
    for phone in started:
        await phone.stop()


async def course(plan):
    report = Report()
    async with asyncio.timeout(60):
        call = await simulate(plan, report)
    return call, report


async def test_audio_from_an_external_phone_that_answers_is_judged(callee):
    call, report = await course(await callee(lambda call: call.answer()))
    assert call.caller.call.statuses == [180, 200]
    assert verdicts(report) == {
        "ring": StepResult.FINE,
        "answer": StepResult.FINE,
        "talk: heard": StepResult.FINE,
        "talk: spoken": StepResult.SKIPPED,
        "hang-up": StepResult.FINE,
    }


async def test_a_refused_call_ends_the_simulation_at_that_step(callee):
    call, report = await course(await callee(lambda call: call.deny(486)))
    assert call is None
    (last,) = report.faults
    assert last.text == "486: busy"
    assert report.steps[-1] is last


async def test_a_phone_that_never_answers_is_a_fault_with_a_hint(callee, monkeypatch):
    monkeypatch.setattr("galwad.simulate.call._RING_S", 0.3)
    _, report = await course(await callee(lambda call: call.wait_for(CallState.ENDED)))
    (fault,) = report.faults
    assert (fault.name, fault.text) == ("answer", "no answer within 0.3 s; statuses 180")
    assert "--answer" in fault.hint


async def test_a_phone_that_hangs_up_during_the_talk_is_a_fault(callee):
    async def answer_and_leave(call):
        await call.answer()
        await call.read_audio(1600)
        await call.hangup()

    plan = replace(await callee(answer_and_leave), talk=3.0)
    _, report = await course(plan)
    assert [step.name for step in report.faults] == ["talk: heard"]


async def test_an_address_without_a_server_is_reported_as_no_answer(callee):
    plan = replace(await callee(lambda call: call.answer()), timeout=0.2)
    plan = replace(plan, addresses=replace(plan.addresses, port=9))
    _, report = await course(plan)
    (fault,) = report.faults
    assert (fault.name, fault.text) == ("ring", "no answer from sip.example:9 by udp")
    assert fault.hint.startswith("check that `galwad serve` runs there")


@pytest.mark.parametrize("transport", [PhoneTransport.TCP, PhoneTransport.TLS])
async def test_a_refused_connection_is_reported_as_no_answer(callee, transport):
    plan = await callee(lambda call: call.answer())
    plan = replace(plan, addresses=replace(plan.addresses, port=9, transport=transport))
    _, report = await course(plan)
    (fault,) = report.faults
    assert (fault.name, fault.text) == ("ring", f"no answer from sip.example:9 by {transport}")
    assert ("certificate" in fault.hint) is (transport is PhoneTransport.TLS)


async def test_a_registration_without_an_answer_is_reported_for_its_phone(callee):
    plan = await callee(lambda call: call.answer())
    plan = replace(plan, answering=(SipLogin("201", "x"),), timeout=0.2)
    plan = replace(plan, addresses=replace(plan.addresses, port=9))
    _, report = await course(plan)
    (fault,) = report.faults
    assert (fault.name, fault.text) == ("register 201", "no answer from sip.example:9 by udp")


async def test_a_call_that_cannot_be_placed_is_a_fault(callee, monkeypatch):
    monkeypatch.setattr("galwad.simulate.phones.PORTS", (30_000, 30_000))  # none
    _, report = await course(await callee(lambda call: call.answer()))
    (fault,) = report.faults
    assert (fault.name, bool(fault.hint)) == ("ring", True)
    assert fault.text.startswith("the call cannot be placed: ")
