"""Each sabotage of the product or its settings is named by the commands that must name it.

Each test runs the real service from a copy of the product, places real calls and runs the three
commands, which takes about 12 s of CPU. So most of them are in the long tier.
"""

from __future__ import annotations

import pytest

from helpers.peers.sabotaged import SabotagedSite
from helpers.peers.service import OfficerKeys
from helpers.sabotages import KEY, OUTSIDE, SABOTAGES, SETTINGS, Sabotage

pytestmark = pytest.mark.peer

EVERY_RUN = "the gate stores packets in pauses"
"""The sabotage that is tried in every run of the tests."""


@pytest.fixture(scope="session")
def officer(tmp_path_factory):
    """The officer's keys, made by `galwad keys`."""
    return OfficerKeys(tmp_path_factory.mktemp("officer"))


@pytest.fixture
def commands(tmp_path, officer):
    """Starts the site with a sabotage, and returns the outputs of the commands that name it."""
    sites = []

    def commands(sabotage, *, applied=True):
        site = SabotagedSite(tmp_path, officer, sabotage if applied else None)
        sites.append(site)
        site.start()
        return site.named_by(sabotage)

    yield commands
    for site in sites:
        site.stop()


@pytest.mark.parametrize(
    "sabotage",
    [
        pytest.param(
            each, id=each.name, marks=() if each.name == EVERY_RUN else (pytest.mark.long,)
        )
        for each in SABOTAGES
    ],
)
def test_a_sabotage_is_named_by_each_command_that_must_name_it(sabotage, commands):
    named = commands(sabotage)
    assert {*sabotage.named_by} <= named.keys(), named


@pytest.mark.long
def test_without_a_sabotage_no_command_reports_a_fault(commands):
    nothing = Sabotage("", SETTINGS, "", "", (), payments=KEY, transfers=OUTSIDE)
    assert commands(nothing, applied=False) == {}
