"""Set-ups at a rate are counted as SIPp counts them, and their figures say what limited them.

Covers `benchmarks/rates.py`, `benchmarks/_setups.py`, `benchmarks/_lag.py`,
`benchmarks/_steady.py`, `benchmarks/_histogram.py` and the times of `benchmarks/_rtp.py`.
"""

from __future__ import annotations

import socket
import time

import _lag
import _rtp
import _setups
import numpy as np
import pytest
import rates
from _histogram import BIN_MS, LONGEST_MS, Histogram

from helpers.peers.benchmarks import run
from helpers.peers.waiting import wait_until

# Percentiles


def test_percentiles_are_exact_to_one_histogram_step():
    histogram = Histogram()
    for part in np.array_split(np.arange(1, 200_001) / 1000, 37):
        histogram.add(part)
    assert histogram.count == 200_000
    assert histogram.percentile(50) == pytest.approx(100, abs=BIN_MS)
    assert histogram.percentile(99.9) == pytest.approx(199.8, abs=BIN_MS)
    assert histogram.longest == pytest.approx(200)


def test_a_percentile_is_never_longer_than_the_longest_time():
    histogram = Histogram()
    histogram.add([1.0001])
    assert histogram.figures("x", (50, 99)) == {"x_p50": 1.0, "x_p99": 1.0, "x_max": 1.0}


def test_times_beyond_the_last_step_keep_their_maximum():
    histogram = Histogram()
    histogram.add([1.0, 5 * LONGEST_MS])
    assert histogram.percentile(100) == LONGEST_MS
    assert histogram.longest == 5 * LONGEST_MS


def test_a_clock_that_was_set_back_counts_as_no_delay():
    histogram = Histogram()
    histogram.add([-3.0, 2.0])
    assert histogram.percentile(50) == 0.0


def test_an_empty_histogram_has_no_figures_rather_than_a_delay_of_zero():
    assert Histogram().figures("x", (50,)) == {"x_p50": None, "x_max": None}


# The delay of the event loop


def test_a_late_wake_up_counts_for_each_wake_up_that_was_due_meanwhile():
    assert _lag.every(np.array([0.5, 25.0])) == pytest.approx([0.5, 25.0, 15.0, 5.0])


def test_the_delay_of_a_loop_is_read_for_the_measured_time_only(tmp_path):
    stored = np.array([[1.0, 9.0], [2.0, 3.0], [3.0, 4.0], [4.0, 9.0]])
    stored.tofile(tmp_path / "lag")
    found = _lag.lag(tmp_path / "lag", 2.0, 4.0)
    assert (found.count, found.longest) == (2, 4.0)


def test_a_loop_without_samples_is_an_error_rather_than_a_delay_of_zero(tmp_path):
    (tmp_path / "lag").touch()
    with pytest.raises(SystemExit, match="not measured"):
        _lag.lag(tmp_path / "lag", 0.0, 1.0)


# The delay of packets


def test_the_time_of_arrival_is_the_kernels_and_not_the_time_of_reading():
    with _rtp.listening() as sink, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
        sent_by = _rtp.Batch(3, 3 * [sink.getsockname()[1]])
        sent_by.number(1)
        libc = _rtp.library()
        room = _rtp.Batch(8)

        def waited_ns():
            assert libc.sendmmsg(source.fileno(), sent_by.messages, 3, 0) == 3
            time.sleep(0.3)
            room.receive_times()
            assert libc.recvmmsg(sink.fileno(), room.messages, 8, socket.MSG_DONTWAIT, None) == 3
            sent, arrived = room.times(3)
            assert (arrived >= sent).all()
            return time.time_ns() - max(arrived.tolist())

        # The kernel begins to note arrivals some time after the first socket has asked for them.
        wait_until(lambda: waited_ns() >= 250_000_000, what="a time of arrival")


# Set-ups


def lines(*placed, begun=0):
    """SIPp's lines of each second, with the number of calls that it had placed by then."""
    return [
        {"OutgoingCall(C)": str(count), "ElapsedTime(C)": f"00:00:{begun + number:02}:000000"}
        for number, count in enumerate(placed, 1)
    ]


@pytest.mark.parametrize(
    ("placed", "a_second"),
    [
        ((100, 200, 300, 300, 300), 100),
        ((100, 200, 250, 250), 100),
        ((60, 120, 180, 240, 300, 300), 60),
        ((100, 100), 100),
    ],
)
def test_the_placed_rate_counts_only_the_time_until_the_last_call(placed, a_second):
    assert _setups.placed_a_second(lines(*placed)) == pytest.approx(a_second)


def test_sipps_times_are_read_with_and_without_microseconds():
    assert _setups._seconds("01:02:03:500000") == pytest.approx(3723.5)
    assert _setups._seconds("00:00:07") == 7


@pytest.mark.parametrize(
    ("placed", "a_second", "limited"), [(300, 100, False), (300, 90, True), (280, 100, True)]
)
def test_a_generator_that_placed_too_few_calls_is_named(placed, a_second, limited):
    setups = _setups.Setups(100, 300, placed=placed, a_second=a_second)
    assert setups.figures()["generator_limited"] is limited


def test_each_placed_call_is_answered_refused_or_unanswered():
    setups = _setups.Setups(
        100, 300, placed=300, answered=200, refused={503: 70, 480: 5}, ended=198, a_second=100
    )
    figures = setups.figures()
    assert (figures["refused"], figures["unanswered"], figures["without_an_end"]) == (75, 25, 2)
    assert figures["refused_by_status"] == {"503": 70, "480": 5}


def test_the_cost_of_calls_in_progress_is_subtracted_from_the_cost_of_a_set_up():
    cost = rates.each_setup(10.0, 20.0, (0.34, 0.36), 500)
    assert cost == pytest.approx((6_000, 400))


@pytest.mark.parametrize(("idle", "answered"), [((0.1, 0.6), 500), ((0.34, 0.36), 0)])
def test_the_cost_of_a_set_up_is_not_known_if_it_is_rough_or_no_call_was_answered(idle, answered):
    assert rates.each_setup(10.0, 20.0, idle, answered) is None


@pytest.mark.parametrize(
    ("lost", "unsent", "spoilt"), [(0, 0, False), (6, 4, False), (11, 0, True), (0, 11, True)]
)
def test_lost_and_unsent_packets_spoil_the_cost_of_a_set_up(lost, unsent, spoilt):
    assert rates.is_spoilt({"rtp_sent": 1000, "rtp_lost": lost, "rtp_unsent": unsent}) is spoilt


# The whole


@pytest.mark.parametrize(
    "words",
    [["--calls", "1001"], ["--rates", "0"], ["--rates", "50", "3000"], ["--seconds", "0.5"]],
)
def test_options_out_of_range_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        rates.arguments(words)
    assert "must be from 1 to" in capsys.readouterr().err


def test_a_run_of_ten_minutes_has_a_time_limit_of_less_than_an_hour():
    options = rates.arguments(["--rates", "150", "--seconds", "600"])
    assert 600 < rates.longest_s(options) < 3600


@pytest.mark.peer
@pytest.mark.long
def test_a_quick_run_counts_each_call_and_each_packet(tmp_path):
    result = run(tmp_path, "rates.py", "--quick", "--calls", "5", "--rates", "10")
    idle, row = result["rows"]
    assert (idle["rate"], idle["offered"], idle["cpu_us_per_setup"]) == (0, 0, None)
    assert row["offered"] == row["calls"] == 20
    assert row["answered"] + row["refused"] + row["unanswered"] == 20
    assert row["answered"] > 0
    if rates.is_spoilt(row):
        assert row["cpu_us_per_setup"] is None
    elif row["cpu_us_per_setup"] is not None:
        assert 0 <= row["cpu_us_per_setup_error"] <= rates.ROUGH_SHARE * row["cpu_us_per_setup"]
    for each in (idle, row):
        assert each["rtp_sent"] > 0
        assert each["lag_ms_max"] >= each["lag_ms_p99"] >= each["lag_ms_p50"]
        assert each["delay_ms_max"] >= each["delay_ms_p50"] > 0
        assert each["pings"] > 0
