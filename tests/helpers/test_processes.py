"""Tests of helpers/processes: forked processes behave as fresh ones, and none outlives its test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from galwad.finaliser.workers import how_many
from helpers.peers.service import OfficerKeys, Service
from helpers.peers.waiting import wait_until
from helpers.processes import GALWAD, Child, run, run_galwad

pytestmark = pytest.mark.slow  # the server of processes imports everything once

# The parent of two processes, one of them in a session of its own, that says who they are.
FAMILY = """
import sys
from helpers.processes import PIPE, Child
script = "setsid sleep 600 & echo $!; exec sleep 600"
child = Child(["sh", "-c", script], stdout=PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "words", [("--version",), ("keys", "--help"), ("nonsense",), ("status", "--config", "/none")]
)
def test_a_forked_command_has_the_output_and_the_status_of_a_fresh_process(words):
    forked, fresh = run_galwad(*words), run_galwad(*words, fresh=True)
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        *(fresh.returncode, fresh.stdout, fresh.stderr),
    )


def test_a_forked_command_reads_its_own_input_environment_and_folder(tmp_path):
    (tmp_path / "own.toml").write_text("nonsense = 1")
    welsh = {**os.environ, "GALWAD_CONFIG": "own.toml"}
    done = run_galwad("users", "list", env=welsh, cwd=tmp_path)
    assert done.returncode == 1
    assert "own.toml" in done.stderr
    assert run(["cat"], input="é").stdout == "é"


def test_two_forked_commands_do_not_make_the_same_key(tmp_path):
    for name in "ab":
        run_galwad("keys", "init", tmp_path / name, check=True)
    identities = {(tmp_path / name / "identity.txt").read_text() for name in "ab"}
    assert len(identities) == 2


def test_a_child_reports_its_signal_or_that_its_program_is_missing():
    with Child(["sleep", "600"]) as sleeper:
        assert sleeper.poll() is None
        sleeper.terminate()
        assert sleeper.wait(20) == -15
    missing = run(["/nonexistent"])
    assert (missing.returncode, missing.stderr[:27]) == (127, "cannot run /nonexistent: [E")


def test_a_different_pythonpath_starts_a_fresh_process(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('started afresh')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert "started afresh" not in run([*GALWAD, "--version"]).stdout
    assert "started afresh" in run([*GALWAD, "--version"], env=environment).stdout


def test_no_process_outlives_a_test_process_that_is_killed():
    tests = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as test:
        assert test.stdout is not None
        pids = [int(word) for word in test.stdout.readline().split()]
        assert all(is_running(pid) for pid in pids)
        test.kill()
    wait_until(lambda: not any(is_running(pid) for pid in pids), what="their end")


def test_a_process_is_killed_with_its_descendants_including_those_in_another_session():
    script = "setsid sh -c 'sleep 600 & echo $!; wait' & wait"
    with Child(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as child:
        sleeper = int(child.stdout.readline())
        assert is_running(sleeper)
        child.kill_family()
    wait_until(lambda: not is_running(sleeper), what="the end of the sleeper")
    assert child.returncode == -signal.SIGKILL


def test_a_forked_finaliser_has_forked_workers_and_replaces_a_worker_that_dies(tmp_path):
    service = Service(tmp_path, OfficerKeys(tmp_path / "officer"))
    service.start("finaliser")
    finaliser = service.processes["finaliser"].pid
    try:
        wait_until(lambda: len(children(finaliser)) == how_many(), what="the workers")
        first, *others = children(finaliser)
        assert {command(each) for each in (first, *others)} == {command(finaliser)}
        stdin = Path(f"/proc/{first}/fd/0")
        wait_until(
            lambda: str(stdin.readlink()).startswith("socket:"), what="the start of a worker"
        )
        os.kill(first, signal.SIGKILL)
        died = service.log.wait("worker.died")
        wait_until(lambda: len(children(finaliser)) == how_many(), what="the new worker")
        (new,) = set(children(finaliser)).difference(others)
        assert died["status"] == -9
        # Between its fork and its start, it still has the command line of the finaliser.
        wait_until(lambda: "galwad.finaliser.worker" in command(new), what="its command")
    finally:
        service.stop()


def children(pid):
    """Return the process ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid):
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")


def is_running(pid):
    """Return whether the process exists and is no zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
