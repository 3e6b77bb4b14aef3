"""A run of `scripts/demo.py` shows every step of its call and leaves no secret in the log."""

import re
import sys
from pathlib import Path

import pytest

from helpers import processes

pytestmark = pytest.mark.peer  # pyVoIP answers in the demo

DEMO = Path(__file__).parents[2] / "scripts" / "demo.py"
STEPS = 26
PATIENCE_S = 600
"""It takes a minute, and several on a machine that has much else to do."""
CALLER = ("1632960123", "Protheroe", "Heol yr Eglwys", "CT-4471")
CARD = ("4929123456789012",)


def run(*words):
    return processes.run(
        [sys.executable, DEMO, *words],
        timeout=PATIENCE_S,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONIOENCODING": "utf-8",
            "COLUMNS": "100",
            "HTTP_PROXY": "http://127.0.0.1:1",  # which nothing may use: all is on this machine
        },
    )


# Its three processes, two programs and some twenty commands take 16 seconds of CPU time.
def test_the_demo_sees_every_step_of_its_call(tmp_path):
    done = run("--once", "--dir", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" ✓ ") == STEPS
    assert re.search(r"━+◌+▒+━+→+", done.stdout)
    kinds = {file.suffix for file in (tmp_path / "demo" / "state" / "archive").rglob("2*.*")}
    assert kinds == {".header", ".payload", ".manifest"}
    assert not list((tmp_path / "demo" / "state" / "spool").glob("*.spool"))
    log = (tmp_path / "demo" / "galwad.log").read_text()
    assert "call.answered" in log
    assert not [secret for secret in (*CALLER, *CARD) if secret in log]


def test_a_folder_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "mine").touch()
    done = run("--once", "--dir", str(tmp_path))
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert "hint:" in done.stderr
