"""What holds for all tests: ports, and certificates for whatever speaks TLS."""

from __future__ import annotations

import gc

import pytest
import structlog
from hypothesis import HealthCheck, settings

from helpers import loopback
from helpers.certificates import Authority
from helpers.examples import examples

gc.disable()  # until all test modules are imported

# By default structlog prints the values of all variables at a traceback, which can take a second.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback

# How long an example takes says something of the machine's load, not of the code; and fixtures
# that each example could spoil for the next make classes, or folders, here.
settings.register_profile(
    "galwad",
    deadline=None,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("galwad")


LONGEST = (
    "tests/sabotage/test_sabotages.py",
    "tests/peers/test_simulate_matrix.py",
    "tests/peers/test_storage.py",
    "tests/scripts/test_demo.py",
    "tests/peers/test_transfer_kinds.py",
    "tests/peers/test_restart.py",
    "tests/peers/test_accessibility.py",
    "tests/peers/test_request_tracker.py",
    "tests/systemd/test_directory_import.py",
    "tests/galwad/page/test_static_states.py",
    "tests/galwad/page/test_static_geometry.py",
    "tests/galwad/api/test_conformance.py",
    "tests/recording/audio/test_timeline_reference.py",
)
"""The files that take a minute or more. They start first, because each runs in one process."""


def pytest_collection_modifyitems(items):
    """Spread the tests that wait for programs, and those that load browsers, over the whole run."""
    files = dict.fromkeys(_file(item) for item in items)
    spread = ("tests/peers/", "tests/galwad/page/")
    kinds = {kind: [file for file in files if file.startswith(kind)] for kind in spread}
    kinds["others"] = [file for file in files if not file.startswith(spread)]
    places = {file: at / len(kind) for kind in kinds.values() for at, file in enumerate(kind)}
    ranks = {file: rank for rank, file in enumerate(LONGEST)}
    items.sort(key=lambda item: (ranks.get(_file(item), len(LONGEST)), places[_file(item)]))


def _file(item):
    return item.nodeid.partition("::")[0]


def pytest_collection_finish():
    """Exclude all that was imported from garbage collections, which would find nothing in it."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="module")
def old_objects_ignored():
    """Exclude what earlier tests left from garbage collections, which then are much faster."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser):
    parser.addoption("--crashes", type=int, default=5, help="of the crash matrix (200 for proof)")
    parser.addoption("--crash-seed", type=int, default=1, help="when, and of which process")


@pytest.fixture
def ports():
    """A hundred ports in a row that nobody else has."""
    claimed = loopback.claim(100)
    yield claimed
    claimed.close()


@pytest.fixture(scope="session")
def make_authority(tmp_path_factory):
    return lambda name: Authority(tmp_path_factory.mktemp("ca"), name)


@pytest.fixture(scope="session")
def authority(make_authority):
    return make_authority("authority")
