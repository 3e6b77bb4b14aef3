"""The processor time that the units' priorities give the switch beside busy programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.root import python_as_root

HERE = Path(__file__).parent
UNITS = HERE.parents[1] / "systemd"
RIVALS = 4
SECONDS = 0.8


def setting(process, key):
    """Return a setting of a unit as we ship it; 0 or the usual weight if it is not there."""
    lines = (UNITS / f"galwad-{process}.service").read_text().splitlines()
    usual = {"Nice": "0", "CPUWeight": "100"}
    return next((x.partition("=")[2] for x in lines if x.startswith(f"{key}=")), usual[key])


def share(*programs):
    """Return the part of one processor that the first of these programs gets."""
    done = python_as_root(HERE / "contest.py", SECONDS, *programs)
    assert done.returncode == 0, done.stderr
    used = json.loads(done.stdout)
    return used[0] / sum(used)


@pytest.mark.parametrize(
    ("ours", "rival"),
    [
        pytest.param("0:{CPUWeight}", "0:100", id="CPUWeight"),
        pytest.param("{Nice}:", "0:", id="Nice"),
    ],
)
def test_the_switch_gets_most_of_a_processor_that_four_programs_want_for_themselves(ours, rival):
    """Without the setting, each of the five programs would get a fifth of the processor."""
    values = {key: setting("switch", key) for key in ("Nice", "CPUWeight")}
    assert share(ours.format(**values), *[rival] * RIVALS) > 0.5
