"""Tests of `scripts/run_tests.py`: the second try of failed tests, and the register."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "run_tests.py"
FEW_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p xdist.plugin"}
"""The script needs xdist; to load all other plugins takes a second of CPU time."""
STEADY = "def test_steady(): pass\n"
BROKEN = "def test_broken(): assert 1 == 2\n"
UNSTEADY = """
from pathlib import Path

def test_unsteady():
    seen = Path(__file__).with_name("seen")
    try:
        assert seen.exists(), "the first time"
    finally:
        seen.touch()
"""
SPOILT_TEARDOWN = """
import pytest
from pathlib import Path

@pytest.fixture
def spoilt():
    yield
    seen = Path(__file__).with_name("torn")
    if not seen.exists():
        seen.touch()
        raise OSError("left open")

def test_teardown(spoilt): pass
"""


@pytest.fixture
def run(tmp_path):
    """A function that runs tests of this text through the script; returns the finished process."""

    def run(*texts, options=()):
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        for number, text in enumerate(texts):
            (tmp_path / f"test_{number}.py").write_text(text)
        return subprocess.run(
            [sys.executable, SCRIPT, "-n", "0", *options, "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **FEW_PLUGINS},
        )

    return run


def test_a_run_without_failures_passes_and_lists_nothing(run):
    done = run(STEADY)
    assert (done.returncode, "unsteady" in done.stdout) == (0, False)
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"the tests took \d+ s, \d+ s of CPU time", last)


def test_a_test_that_passes_by_itself_passes_the_run_and_is_listed_with_both_outcomes(run):
    done = run(STEADY, UNSTEADY)
    assert done.returncode == 0, done.stdout
    closing = done.stdout[done.stdout.index("unsteady: 1 failed in the run") :]
    assert "test_1.py::test_unsteady" in closing
    assert "in the run: AssertionError: the first time" in closing
    assert "by itself:  passed in" in closing
    assert "not in tests/unsteady.toml" in closing


def test_a_test_with_a_failed_teardown_is_tried_again(run):
    done = run(SPOILT_TEARDOWN)
    assert done.returncode == 0, done.stdout
    assert "in the run: teardown: OSError: left open" in done.stdout


def test_a_test_that_fails_twice_fails_the_run(run):
    done = run(BROKEN, UNSTEADY)
    assert done.returncode == 1
    assert "failed twice: 1\n  test_0.py::test_broken" in done.stdout
    assert "unsteady: 1" in done.stdout


def test_more_failures_than_can_be_unsteady_are_not_tried_again(run):
    done = run("\n".join(f"def test_{number}(): assert 0" for number in range(21)))
    assert (done.returncode, "21 failures: too many to try again" in done.stdout) == (1, True)


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_a_run_that_ends_at_the_first_failure_is_not_tried_again(run, option):
    done = run(UNSTEADY, options=[option])
    assert (done.returncode, "unsteady: " in done.stdout) == (1, False)


def test_a_file_that_cannot_be_collected_fails_the_run(run):
    assert run(STEADY, "import nothing_of_this_name\n").returncode != 0


def test_each_row_of_the_register_names_a_test_its_date_and_a_suspicion():
    rows = tomllib.loads((ROOT / "tests/unsteady.toml").read_text()).get("unsteady", [])
    for row in rows:
        file, _, name = row["test"].partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(), row["test"]
        assert isinstance(row["date"], dt.date)
        assert row["seen"]
        assert row["suspicion"]


LONG = """
import pytest

@pytest.mark.long
def test_long(): assert 1 == 2
"""


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--all",), 1)])
def test_tests_marked_long_are_run_only_with_the_option_all(run, options, status):
    assert run(STEADY, LONG, options=options).returncode == status
