"""Packets that were stored in a gap are found, and so are triggers without effect."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from recording.archive.accounting import StoredInGap, ignored_triggers, stored_in_gaps
from recording.archive.manifest import Gap, Interval, PacketStretch, PartyPackets, TriggerFacts
from recording.archive.packet_ledger import PacketLedger
from recording.audio.track_counts import Progress

US = 1_000_000
NONE = [Progress(0, 0)] * 2
PAUSE = Gap(4 * US, 8 * US, "payment", "phone", "phone:201")
SEGMENTS = [Interval(0, 4 * US), Interval(8 * US, 20 * US)]


def stretch(gap, **counts):
    """Return a stretch in which the caller's packets have these counts."""
    none = {"stored": 0, "dropped": {}} | dict.fromkeys(
        ("received", "refused", "unwanted", "late_us", "read", "unreadable", "heard"), 0
    )
    none |= {"lost_by_network": 0, "lost_by_kernel": 0}
    parties = [msgspec.convert({"channel": "caller"} | none | counts, PartyPackets)]
    return PacketStretch(4 * US, 8 * US, gap, True, parties)


@pytest.mark.parametrize("gap", ["payment", "transfer", "erased"])
@pytest.mark.parametrize("counts", [{"stored": 107}, {"stored": None, "arrived_in_gap": 107}])
def test_packets_stored_in_a_gap_are_found_by_the_stored_and_by_the_arrival_count(gap, counts):
    found = stored_in_gaps([stretch(gap, **counts)])
    assert found == [StoredInGap(4 * US, 8 * US, gap, "caller", 107)]
    assert f"caller, {gap} gap 4.0 s to 8.0 s: 107 packets" in str(found[0])


@pytest.mark.parametrize("gap", ["", "fault"])
def test_packets_stored_in_a_segment_or_in_a_fault_gap_are_not_reported(gap):
    assert stored_in_gaps([stretch(gap, stored=107)]) == []


def test_a_gap_without_stored_packets_is_not_reported():
    assert stored_in_gaps([stretch("payment", received=5, dropped={"payment": 5})]) == []
    assert stored_in_gaps(None) == []


def arrive(ledger, *seconds):
    """Let the caller's packets arrive at these times."""
    at_us = np.array([round(at * US) for at in seconds])
    ledger.read(np.zeros(len(at_us), dtype=np.uint8), at_us)


@pytest.mark.parametrize(
    ("before", "inside", "after", "expected"),
    [
        ((1, 2, 3.9), (), (8, 9), 0),
        ((1, 2, 4.0), (), (8, 9), 1),  # read before the trigger had its effect, and not erased
        ((1, 2, 3), (4, 5, 6), (8, 9), 3),
        ((1, 2, 3), (), (7.9, 8), 1),  # the gate opened too early
        ((1, 2, 4.5), (3.9, 5), (7, 9), 3),  # 3.9 is a packet that waited for a disk
    ],
)
def test_packets_are_compared_with_the_gap_by_their_arrival(before, inside, after, expected):
    ledger = PacketLedger()
    ledger.event(0, "segment", {"class": "centre"}, NONE)
    arrive(ledger, *before)
    ledger.event(4 * US, "gap-start", {"reason": "payment"}, NONE)
    arrive(ledger, *inside)
    ledger.event(8 * US, "gap-end", {}, NONE)
    ledger.event(8 * US, "segment", {"class": "centre"}, NONE)
    arrive(ledger, *after)
    found = stored_in_gaps(ledger.finish(10 * US, NONE, interrupted=False))
    assert sum(each.packets for each in found) == expected


def test_arrivals_are_remembered_for_the_longest_time_that_a_gap_can_reach_back():
    ledger = PacketLedger()
    ledger.event(0, "segment", {}, NONE)
    for second in range(400):
        arrive(ledger, second, second + 0.5)
    assert len(ledger._recent) <= 182
    ledger.event(300 * US, "gap-start", {"reason": "erased"}, NONE)
    (found,) = stored_in_gaps(ledger.finish(400 * US, NONE, interrupted=False))
    assert found.packets == 200


def ignored(at_s, *gaps, trigger="phone", erase_s=0.0, talk_s=20, segments=SEGMENTS):
    """Return the findings about one trigger."""
    fact = TriggerFacts(round(at_s * US), trigger, "phone:201", round(erase_s * US))
    return [str(each) for each in ignored_triggers([fact], gaps, segments, talk_s * US)]


@pytest.mark.parametrize("trigger", ["page", "api", "phone", "dtmf", "refer", "identity"])
def test_a_trigger_without_a_gap_is_reported_to_have_had_no_effect(trigger):
    (found,) = ignored(4, trigger=trigger)
    assert found.startswith(f"a trigger ({trigger}, phone:201) at 4.0 s had no effect: ")


@pytest.mark.parametrize("at_s", [4, 5, 7.9, 3.5])
def test_a_trigger_just_before_at_or_in_a_pause_is_not_reported(at_s):
    assert ignored(at_s, PAUSE) == []


@pytest.mark.parametrize("reason", ["transfer", "fault", "erased"])
def test_a_trigger_in_a_gap_of_another_kind_is_not_reported(reason):
    assert ignored(5, Gap(4 * US, 8 * US, reason, "refer", "phone:201")) == []


@pytest.mark.parametrize("reason", ["captured-card", "erased"])
def test_a_gap_made_from_tones_does_not_count_as_the_effect_of_a_trigger(reason):
    tones = Gap(4 * US, 8 * US, reason, "tones", "system")
    assert len(ignored(5, tones)) == 1


def test_a_trigger_after_a_pause_or_a_second_before_it_is_reported_as_without_effect():
    assert len(ignored(8, PAUSE)) == len(ignored(2.9, PAUSE)) == 1


@pytest.mark.parametrize("at_s", [19.97, 20, 25])
def test_a_trigger_at_the_end_of_the_call_needs_no_gap(at_s):
    assert ignored(at_s) == []


def erased(from_s):
    return Gap(round(from_s * US), 4 * US, "erased", "phone", "phone:201")


def test_a_pause_that_erased_too_little_is_reported():
    (found,) = ignored(4, PAUSE, erase_s=0.5)
    assert "erased 0.00 s of what was said before it, not 0.50 s" in found
    segments = [Interval(0, 3_800_000), SEGMENTS[1]]
    (found,) = ignored(4, erased(3.8), PAUSE, erase_s=0.5, segments=segments)
    assert "erased 0.20 s" in found
    tones = Gap(3 * US, 3_800_000, "erased", "tones", "system")
    segments = [Interval(0, 3 * US), SEGMENTS[1]]
    (found,) = ignored(4, tones, erased(3.8), PAUSE, erase_s=0.5, segments=segments)
    assert "erased 0.20 s" in found


def test_a_pause_that_erased_enough_is_not_reported():
    segments = [Interval(0, 3_500_000), SEGMENTS[1]]
    assert ignored(4, erased(3.5), PAUSE, erase_s=0.5, segments=segments) == []


def test_a_pause_that_erased_back_to_the_start_of_its_segment_is_not_reported():
    assert ignored(4, erased(3.8), PAUSE, erase_s=0.5, segments=SEGMENTS[1:]) == []


def test_a_transfer_that_erased_nothing_is_not_reported():
    line = Gap(4 * US, 8 * US, "payment", "refer", "phone:201")
    assert ignored(4, line, trigger="refer", erase_s=0.5) == []
