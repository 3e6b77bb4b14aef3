"""The share of the calls that each worker has."""

from galwad.finaliser.spools import WHOLE, Share, number_of

CALLS = [f"20260301-{h:02}{m:02}00-abcdefgh" for h in range(24) for m in range(60)]


def test_each_call_belongs_to_one_worker_and_the_shares_are_about_equal():
    counts = [sum(Share(number, 2).has(call_id) for call_id in CALLS) for number in (0, 1)]
    assert sum(counts) == len(CALLS)
    assert max(counts) < 1.15 * min(counts)


def test_a_call_belongs_to_the_worker_with_its_number():
    for call_id in CALLS:
        assert Share(number_of(call_id, 3), 3).has(call_id)


def test_a_single_worker_has_all_calls():
    assert all(WHOLE.has(call_id) for call_id in CALLS)
