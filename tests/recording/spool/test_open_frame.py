"""The frame of a spool that is still open: packets added, and packets dropped again."""

from hypothesis import given
from hypothesis import strategies as st

from helpers.recording.packets import pack_packets
from recording.spool.format import MAX_MEDIA, PACKET
from recording.spool.open_frame import OpenFrame

PACKETS = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.integers(0, 1), st.binary(max_size=40)), max_size=30
).map(lambda packets: sorted(packets, key=lambda packet: packet[0]))


def filled(packets):
    frame = OpenFrame()
    for at_us, track, data in packets:
        assert frame.takes(at_us)
        frame.add(track, at_us, data)
    return frame


@given(PACKETS.filter(bool))
def test_adding_packets_one_by_one_gives_the_same_frame_as_packing_them_at_once(packets):
    frame = filled(packets)
    assert (frame.span, bytes(frame.plaintext)) == pack_packets(packets)


@given(PACKETS, st.integers(0, 3_000_001))
def test_dropping_packets_from_an_instant_leaves_the_earlier_packets(packets, at_us):
    frame = filled(packets)
    frame.forget_from(at_us)
    kept = filled([packet for packet in packets if packet[0] < at_us])
    assert frame.plaintext == kept.plaintext
    assert not kept.size or frame.span == kept.span


def test_a_frame_refuses_a_packet_older_than_its_first_and_any_packet_when_full():
    frame = filled([(10, 0, b"x")])
    assert not frame.takes(9)
    frame.add(0, 11, bytes(MAX_MEDIA))
    assert not frame.takes(12)
    frame.clear()
    assert frame.takes(9)


@given(PACKETS, st.integers(0, 3_000_001))
def test_bytes_of_packets_that_leave_a_frame_are_overwritten(packets, at_us):
    frame = filled(packets)
    before = frame._buffer
    frame.forget_from(at_us)
    if frame._buffer is not before:
        assert not any(before)
    after = frame._buffer
    assert not any(after[frame.size :])
    frame.clear()
    assert not any(after)


def test_a_buffer_that_becomes_too_small_is_overwritten():
    frame = filled([(1, 0, b"x" * 20_000)])
    before = frame._buffer
    frame.add(1, 2, b"y" * 20_000)
    assert frame._buffer is not before
    assert not any(before)
    assert frame.size == 40_000 + 2 * PACKET.size
