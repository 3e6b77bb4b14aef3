"""The verdict on a row: each fault of a recording is found and named."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from galwad.simulate.api import OpenedRecording
from galwad.simulate.judgement import ExpectedGap, faults_of
from galwad.simulate.phones import ADVISOR, CALLER, Fate, Part, Phase
from galwad.simulate.sound import RATE, speech

GAP = ExpectedGap("payment", "phone", "phone:201")
US = 1_000_000


def phase(name, fate, seed):
    """Two seconds in which both parties speak."""
    parts = (
        Part("the caller", CALLER, speech(2, seed)),
        Part("the advisor", ADVISOR, speech(2, seed + 100)),
    )
    return Phase(name, fate, 2.0, parts)


def phase_parts(phases, channel):
    """Return what one channel contains if the recording is right."""
    silence = np.zeros(2 * RATE, np.int16)
    return np.concatenate(
        [
            each.parts[channel].said if each.fate is Fate.STORED else silence
            for each in phases
            if each.fate is not Fate.APART
        ]
    )


class Case:
    """A call with a pause and a consultation, and its recording, which a test can damage."""

    def __init__(self):
        self.phases = [
            phase("before", Fate.STORED, 11),
            phase("in the pause", Fate.IN_GAP, 12),
            phase("after", Fate.STORED, 13),
            phase("the consultation", Fate.APART, 14),
        ]
        self.caller = phase_parts(self.phases, CALLER)
        self.advisor = phase_parts(self.phases, ADVISOR)
        gap = {"from_us": 2 * US, "to_us": 4 * US, "reason": "payment"}
        self.manifest = {
            "segments": [{"from_us": 0, "to_us": 2 * US}, {"from_us": 4 * US, "to_us": 6 * US}],
            "gaps": [gap | {"trigger": "phone", "actor": "phone:201"}],
            "unexplained": [],
            "talk_us": 6 * US,
            "triggers": [
                {"at_us": 2 * US, "trigger": "phone", "actor": "phone:201", "erase_us": 0}
            ],
        }
        self.gaps = [GAP]
        self.segments = 2
        self.erase_back_s = 0.0

    def faults(self):
        return faults_of(
            OpenedRecording(self.caller, self.advisor, self.manifest),
            self.phases,
            self.gaps,
            segments=self.segments,
            erase_back_s=self.erase_back_s,
        )

    def store(self, said, at_s):
        """Put speech into the advisor's channel."""
        start = round(at_s * RATE)
        self.advisor[start : start + len(said)] = said


@pytest.fixture
def case():
    return Case()


def test_a_correct_recording_has_no_fault(case):
    assert case.faults() == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [("reason", "transfer"), ("trigger", "page"), ("actor", "phone:202")],
)
def test_a_gap_with_another_reason_trigger_or_actor_is_a_fault(case, field, value):
    case.manifest["gaps"][0][field] = value
    case.manifest["triggers"][0] |= {field: value} if field != "reason" else {}
    (fault,) = case.faults()
    assert value in fault
    assert fault.endswith("expected: payment by phone (phone:201)")


def test_packets_that_were_stored_in_a_gap_are_a_fault(case):
    party = dict.fromkeys(
        ("received", "refused", "unwanted", "late_us", "unreadable", "heard"), 0
    ) | {"channel": "caller", "stored": 107, "read": 107, "dropped": {}}
    party |= {"lost_by_network": 0, "lost_by_kernel": 0}
    stretch = {"from_us": 2 * US, "to_us": 4 * US, "gap": "payment", "complete": True}
    case.manifest["packets"] = [stretch | {"parties": [party]}]
    (fault,) = case.faults()
    assert fault.startswith("caller, payment gap 2.0 s to 4.0 s: 107 packets were stored")


def test_a_trigger_without_a_gap_is_a_fault(case):
    trigger = {"trigger": "dtmf", "actor": "phone:201", "erase_us": 0}
    case.manifest["triggers"].append(trigger | {"at_us": US // 2})
    (fault,) = case.faults()
    assert fault.startswith("a trigger (dtmf, phone:201) at 0.5 s had no effect")


def test_a_pause_of_which_no_trigger_is_recorded_is_a_fault(case):
    case.manifest["triggers"] = []
    (fault,) = case.faults()
    assert fault == "the switch has recorded no trigger of the pause by phone (phone:201)"


def test_a_pause_that_erased_nothing_is_a_fault_if_the_settings_say_that_it_must(case):
    case.erase_back_s = 0.5
    assert any("erased 0.00 s of what was said" in fault for fault in case.faults())


def test_a_missing_gap_is_a_fault(case):
    case.manifest["segments"] = [{"from_us": 0, "to_us": 6 * US}]
    case.manifest["gaps"] = []
    faults = case.faults()
    assert "gaps: none; expected: payment by phone (phone:201)" in faults
    assert "segments: 1; expected: 2" in faults


def test_a_gap_that_no_row_expects_is_a_fault(case):
    case.gaps = []
    assert "gaps: payment by phone (phone:201); expected: none" in case.faults()


def test_one_sample_that_is_not_silent_in_a_gap_is_a_fault(case):
    case.caller[3 * RATE] = 1
    assert case.faults() == ("1 samples of the caller in the gap payment are not silent",)


@pytest.mark.parametrize("number", [1, 3])
def test_half_a_second_of_a_pause_or_a_consultation_anywhere_in_the_recording_is_a_fault(
    case, number
):
    hidden = case.phases[number]
    case.store(hidden.parts[CALLER].said[RATE : RATE + RATE // 2], 5.5)
    faults = case.faults()
    assert any(fault.startswith(f"{hidden.name}: what the caller said is in") for fault in faults)


@pytest.mark.parametrize("at_s", [0, 1, 4.5, 5.5])
def test_half_a_second_of_speech_that_is_missing_is_a_fault(case, at_s):
    case.store(np.zeros(RATE // 2, np.int16), at_s)
    (fault,) = case.faults()
    assert fault.startswith("before: only" if at_s < 2 else "after: only")
    assert fault.endswith("of what the advisor said is recorded")


def test_speech_that_a_pause_erased_need_not_be_recorded(case):
    case.erase_back_s = 0.5
    for channel in (case.caller, case.advisor):
        channel[round(1.2 * RATE) : 2 * RATE] = 0
    erased = {"from_us": round(1.5 * US), "to_us": 2 * US, "reason": "erased"}
    case.manifest["gaps"].insert(0, erased | {"trigger": "phone", "actor": "phone:201"})
    case.manifest["segments"][0]["to_us"] = round(1.5 * US)
    assert case.faults() == ()


def test_a_stretch_that_another_trigger_has_erased_is_a_fault(case):
    gap = {"from_us": 5 * US, "to_us": 6 * US, "reason": "erased"}
    case.manifest["gaps"].append(gap | {"trigger": "page", "actor": "user:sian"})
    case.manifest["segments"][1]["to_us"] = 5 * US
    assert "unexpected: page (user:sian) has erased audio" in case.faults()


def test_digits_silenced_before_a_pause_are_a_gap_that_the_row_must_expect(case):
    tones = ExpectedGap("erased", "tones", "system")
    assert any("expected: erased by tones" in each for each in expecting(case, tones).faults())
    gap = {"from_us": 1_900_000, "to_us": 2 * US, "reason": "erased"}
    case.manifest["gaps"].insert(0, gap | {"trigger": "tones", "actor": "system"})
    case.manifest["segments"][0]["to_us"] = 1_900_000
    case.caller[round(1.9 * RATE) : 2 * RATE] = case.advisor[round(1.9 * RATE) : 2 * RATE] = 0
    assert case.faults() == ()
    case.gaps.remove(tones)
    assert any("gaps: erased by tones (system)" in each for each in case.faults())


def expecting(case, gap):
    case.gaps.insert(0, gap)
    return case


def test_a_gap_that_is_shorter_than_the_pause_is_a_fault(case):
    case.manifest["gaps"][0]["to_us"] = 3 * US
    case.manifest["segments"][1]["from_us"] = 3 * US
    assert "the gaps are 1.0 s long; expected: at least 1.8 s" in case.faults()


def test_a_gap_that_is_longer_than_the_pause_is_a_fault(case):
    case.manifest["gaps"][0]["to_us"] = 5 * US
    case.manifest["segments"][1]["from_us"] = 5 * US
    assert "the segments are 3.0 s long; expected: at least 3.8 s" in case.faults()


@pytest.mark.parametrize("damage", ["hole", "unexplained", "sound"])
def test_parts_that_do_not_add_up_to_the_talk_time_are_a_fault(case, damage):
    whole = copy.deepcopy(case.manifest)
    if damage == "hole":
        case.manifest["segments"][1]["from_us"] += 1
    elif damage == "unexplained":
        case.manifest["unexplained"] = [{"from_us": 1, "to_us": 2}]
    else:
        case.manifest["talk_us"] = 7 * US
        case.manifest["segments"][1]["to_us"] = 7 * US
    assert case.manifest != whole
    assert case.faults() != ()


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_phase_in_which_a_party_said_too_little_is_a_fault(case, number):
    silent, other = case.phases[number], case.phases[number].parts[ADVISOR]
    quiet = Part("the caller", CALLER, speech(0.2, 5))
    case.phases[number] = Phase(silent.name, silent.fate, 2.0, (quiet, other))
    assert f"{silent.name}: the caller has said too little" in case.faults()
