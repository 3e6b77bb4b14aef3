"""Tests of `scripts/setup.sh`: when lint runs, and how failed steps end a script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(script, *arguments):
    """Run bash commands with the functions of setup.sh; return the finished process."""
    return subprocess.run(
        [
            "bash",
            "-c",
            f"set -euo pipefail; . scripts/setup.sh; version=x; {script}",
            "-",
            *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], False),
        (["-x", "--lf"], False),
        (["-k", "no such thing"], False),
        (["tests/recording"], True),
        (["-x", "tests/test_docs.py::test_one"], True),
    ],
)
def test_lint_is_left_out_if_an_argument_names_a_path(arguments, named):
    done = run('names_a_path "$@" || echo lint', *arguments)
    assert (done.returncode, done.stdout.strip()) == (0, "" if named else "lint")


def test_every_step_runs_and_the_failed_ones_are_named_at_the_end():
    done = run('step "first" false; step "second" echo ran; finish')
    assert (done.returncode, done.stdout.strip()) == (1, "ran")
    assert "error: failed: first;" in done.stderr


def test_a_script_whose_steps_passed_reports_success():
    done = run('step "first" true; finish')
    assert (done.returncode, "all is well" in done.stderr) == (0, True)
