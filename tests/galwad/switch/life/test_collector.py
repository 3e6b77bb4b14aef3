"""When the garbage collector runs in the switch; each test has a Python process of its own."""

import subprocess
import sys
import textwrap

import pytest

BEGIN = """
import gc
from galwad.switch.life.collector import Collector

runs = []
gc.callbacks.append(lambda phase, _info: runs.append(phase))

def circles(number):
    for _ in range(number):
        circle = []
        circle.append(circle)

collector = Collector(most_new=50_000, most_new_when_idle=5_000)
collector.start()
runs.clear()
"""


def run(script):
    """Run a script in a Python process of its own, after `BEGIN`."""
    text = BEGIN + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_automatic_garbage_collection_is_off_after_the_start():
    run("""
        circles(100_000)
        assert runs == []
        assert not gc.isenabled()
    """)


@pytest.mark.parametrize("calls", [0, 3])
def test_reference_cycles_are_collected_when_they_reach_the_limit(calls):
    run(f"""
        calls = {calls}
        circles(40_000 if calls else 4_000)
        collector.tick(calls)
        assert runs == []
        circles(15_000)
        collector.tick(calls)
        assert runs == ["start", "stop"]
        assert gc.get_count()[0] < 1_000
        collector.tick(calls)
        assert len(runs) == 2
    """)


def test_the_objects_of_calls_in_progress_cause_no_collection():
    run("""
        from galwad.switch.life.collector import MOST_OF_A_CALL

        calls = 200
        circles(45_000 + MOST_OF_A_CALL * calls)
        collector.tick(calls)
        assert runs == []
        collector.tick(calls // 2)
        assert runs == ["start", "stop"]
    """)


def test_objects_that_were_freed_at_once_cause_no_collection():
    run("""
        for _ in range(20):
            kept = [[] for _ in range(40_000)]
            del kept
            collector.tick(0)
        assert runs == []
    """)


def test_objects_from_before_the_start_are_left_out_of_collections():
    run("""
        assert gc.get_freeze_count() > 1_000
        assert len(gc.get_objects()) < 1_000
    """)
