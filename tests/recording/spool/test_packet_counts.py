"""The fields of the event `packets`: what they count, and that no count appears twice."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recording.spool.packet_counts import Arrivals, DropCounts, PacketCounts, WrittenCounts, add_to

NOTHING = [0, 0]


NO_PACKETS = {"stored": 0, "dropped": {}, "late_us": 0}


def test_without_a_relay_and_packets_all_counts_are_zero():
    counts = PacketCounts(DropCounts())
    assert counts.take(WrittenCounts(), NOTHING, "payment") == [NO_PACKETS] * 2


def test_the_relays_packets_are_counted_since_the_previous_event():
    counts = PacketCounts(DropCounts())
    received = [Arrivals(7, 2, 1), Arrivals(3)]
    counts.arrivals = received.__getitem__
    caller, advisor = counts.take(WrittenCounts(), NOTHING, "")
    assert (caller["received"], caller["refused"], caller["unwanted"]) == (7, 2, 1)
    assert advisor["received"] == 3
    assert [each["received"] for each in counts.take(WrittenCounts(), NOTHING, "")] == [0, 0]
    received[0] = Arrivals(8, 2, 1)
    caller, advisor = counts.take(WrittenCounts(), NOTHING, "")
    assert (caller["received"], caller["refused"], advisor["received"]) == (1, 0, 0)


def test_dropped_packets_are_counted_under_the_reason_that_held_when_they_arrived():
    drops = DropCounts()
    counts = PacketCounts(drops)
    add_to(drops.shut, (5, 0))
    assert counts.take(WrittenCounts(), NOTHING, "fault")[0]["dropped"] == {"unanswered": 5}
    counts.enter("")
    add_to(drops.early, (1, 0))
    add_to(drops.shut, (2, 0))
    found = counts.take(WrittenCounts(), NOTHING, "transfer")[0]["dropped"]
    assert found == {"unanswered": 1, "transfer": 2}
    counts.enter("transfer")
    add_to(drops.shut, (4, 0))
    assert counts.take(WrittenCounts(), NOTHING, "payment")[0]["dropped"] == {"transfer": 4}


def test_packets_that_were_counted_as_stored_and_then_lost_are_not_counted_again():
    counts, written = PacketCounts(DropCounts()), WrittenCounts()
    assert counts.take(written, [6, 0], "fault")[0]["stored"] == 6
    add_to(written.failed, (6, 0))
    assert counts.take(written, NOTHING, "fault") == [NO_PACKETS] * 2


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["written", "erased", "failed", "shut", "early", "late"]),
        st.integers(0, 1),
        st.integers(1, 9),
    ),
    max_size=20,
)


@given(st.lists(STEPS, max_size=5))
def test_all_events_together_count_each_packet_once(events):
    drops, written = DropCounts(), WrittenCounts()
    counts = PacketCounts(drops)
    expected, found = [0, 0], [0, 0]
    for steps in events:
        for name, track, count in steps:
            getattr(written if hasattr(written, name) else drops, name)[track] += count
            expected[track] += count
        tracks: list[Any] = list(counts.take(written, NOTHING, "fault"))
        for track, fields in enumerate(tracks):
            found[track] += fields["stored"] + sum(fields["dropped"].values())
    assert found == expected
