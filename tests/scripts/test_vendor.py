"""`scripts/vendor`: the page's copy of others' packages."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.peer
@pytest.mark.long
def test_the_script_of_others_in_the_page_is_what_its_locked_packages_give():
    """npm fetches the packages, and esbuild makes the file: 4 s of CPU time."""
    made = subprocess.run(
        [ROOT / "scripts" / "vendor", "--check"], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
