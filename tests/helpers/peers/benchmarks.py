"""Runs a program of benchmarks/ from the command line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from helpers import processes

PATIENCE_S = 700
"""More than any benchmark gives itself; one that does not end leaves its processes running."""
FOLDER = Path(__file__).resolve().parents[3] / "benchmarks"


def run(folder, program, *words):
    """Run the program in this folder and return the content of its last output line."""
    command = [sys.executable, str(FOLDER / program), *map(str, words)]
    finds_beside_itself = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = processes.run(command, env=finds_beside_itself, cwd=folder, timeout=PATIENCE_S)
    *_, last = done.stderr.splitlines() or [""]
    assert done.returncode == 0, f"{done.returncode}: {last}\n{done.stdout}{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])
