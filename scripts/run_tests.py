"""Run pytest; run each failed test once more by itself; list those that pass then as unsteady.

The arguments go to pytest. `--all` also runs the tests marked `long`, which are left out
otherwise. `--cov` also measures coverage and holds it to the floors below.
A run passes if every test passed in the first run or by itself afterwards. There is no second
try if more than `MOST_RETRIES` tests failed, if `-x` or `--maxfail` is given, or if pytest itself
could not go on. tests/unsteady.toml lists the unsteady tests that are known.
The last line has the time that all this took, and its CPU time. Processes that outlived the process
that started them are missing from the CPU time.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REGISTER = ROOT / "tests" / "unsteady.toml"
SHORT = ("-m", "not long")
PARALLEL = ("-n", "6", "--dist", "loadfile", "--no-loadscope-reorder")
MOST_RETRIES = 20
"""More failures than this are a fault, not unsteadiness."""
RETRY_TIMEOUT_S = 900
FLOORS = {
    "*/telephony/sip/*": 96,
    "*/telephony/b2bua/*": 92,
    "*/recording/policy.py": 97,
    "*/recording/age/*": 98,
}
"""The least coverage of lines and branches, in per cent, by file pattern."""


@dataclass
class FailureRecorder:
    """A pytest plugin that keeps the first failure of each test."""

    failures: dict[str, str] = field(default_factory=dict)
    """One line about the failure, by the test's node id."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failed set-up, call or tear-down."""
        if report.failed:
            self.failures.setdefault(report.nodeid, _reason(report))


def _reason(report: pytest.TestReport) -> str:
    """Return the first line of a failure's message, after the phase if this is not the call."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash is not None else str(report.longrepr)
    first = next((line for line in message.splitlines() if line.strip()), "no message")
    return first if report.when == "call" else f"{report.when}: {first}"


def retry(test: str) -> tuple[bool, float]:
    """Run one test in a process of its own; return whether it passed, and the seconds it took."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", test]
    try:
        passed = subprocess.run(command, check=False, timeout=RETRY_TIMEOUT_S).returncode == 0
    except subprocess.TimeoutExpired:
        passed = False
    return passed, time.monotonic() - began


def known() -> dict[str, str]:
    """Return what tests/unsteady.toml says of each test, by node id."""
    rows = tomllib.loads(REGISTER.read_text(encoding="utf-8")).get("unsteady", [])
    return {row["test"]: f"known since {row['date']}: {row['suspicion']}" for row in rows}


def judge(failures: dict[str, str]) -> bool:
    """Try each failed test again and print both outcomes; return whether all passed then."""
    register, outcomes = known(), {test: retry(test) for test in failures}
    unsteady = {test: took for test, (passed, took) in outcomes.items() if passed}
    if unsteady:
        print(f"\nunsteady: {len(unsteady)} failed in the run and passed by itself afterwards")
    for test, took in unsteady.items():
        print(f"  {test}")
        print(f"    in the run: {failures[test]}")
        print(f"    by itself:  passed in {took:.1f} s")
        print(f"    {register.get(test, 'not in tests/unsteady.toml: add it, with a suspicion')}")
    twice = [test for test in failures if test not in unsteady]
    if twice:
        print(f"\nfailed twice: {len(twice)}")
    for test in twice:
        print(f"  {test}\n    in the run: {failures[test]}")
    return not twice


def covered() -> bool:
    """Print the coverage of each pattern in `FLOORS`; return whether all reach their floor."""
    reached = True
    for pattern, floor in FLOORS.items():
        command = [sys.executable, "-m", "coverage", "report", "--format=total"]
        done = subprocess.run(
            [*command, f"--include={pattern}", "--precision=1"],
            check=False,
            capture_output=True,
            text=True,
        )
        total = float(done.stdout) if done.returncode == 0 else 0.0
        print(f"coverage of {pattern}: {total:.1f} % (floor {floor} %)")
        reached = reached and total >= floor
    return reached


def spent(began: float) -> str:
    """Return the time since `began`, and the CPU time of this process and its descendants."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(use.ru_utime + use.ru_stime for use in uses)
    return f"{time.monotonic() - began:.0f} s, {cpu_s:.0f} s of CPU time"


def main(arguments: list[str]) -> int:
    """Run the tests and return the exit status: 0 if all passed, in the run or by themselves."""
    began = time.monotonic()
    # A shell without job control lets its background jobs ignore SIGINT, which tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tier: tuple[str, ...] = SHORT
    if "--all" in arguments:
        tier = ()
        arguments.remove("--all")
        os.environ["GALWAD_TESTS"] = "all"  # tests/helpers/examples.py
    measured = "--cov" in arguments
    if measured:  # last, because pytest-cov would measure only a path that follows
        arguments = [*(a for a in arguments if a != "--cov"), "--cov"]
    recorder = FailureRecorder()
    status = pytest.main([*PARALLEL, *tier, *arguments], plugins=[recorder])
    one_by_one = any(a.startswith(("-x", "--exitfirst", "--maxfail")) for a in arguments)
    if status == pytest.ExitCode.TESTS_FAILED and not one_by_one:
        if not 0 < len(recorder.failures) <= MOST_RETRIES:
            print(f"\n{len(recorder.failures)} failures: too many to try again")
        elif judge(recorder.failures):
            status = pytest.ExitCode.OK
    if status == pytest.ExitCode.OK and measured and not covered():
        status = pytest.ExitCode.TESTS_FAILED
    print(f"the tests took {spent(began)}")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
