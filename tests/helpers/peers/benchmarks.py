"""Runs a program of benchmarks/ as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks"


def run(folder, program, *words):
    """Run it in this folder; what its last line says."""
    command = [sys.executable, str(FOLDER / program), *map(str, words)]
    finds_beside_itself = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        command,
        env=finds_beside_itself,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
