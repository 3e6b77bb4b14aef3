"""The cost of an import of people, relative to one without checks.

Covers `benchmarks/directory.py`.
"""

from __future__ import annotations

import sys
import time

import pytest
from directory import bare_cpu_s, write_people

from callerid.directory import new_directory
from callerid.import_file import ImportFile


@pytest.fixture
def untraced():
    """Leave out the cost of measuring coverage, which only one side would have."""
    tracer = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracer)


def import_cpu_s(people, path):
    begun = time.process_time()
    with people.open("rb") as file, new_directory(path) as new:
        new.fill(ImportFile(file))
    return time.process_time() - begun


def test_an_import_takes_at_most_four_and_a_half_times_the_cpu_of_one_without_checks(
    tmp_path, untraced
):
    people = tmp_path / "people.csv"
    write_people(people, 5000)
    pairs = [
        (import_cpu_s(people, tmp_path / "directory.db"), bare_cpu_s(people)) for _ in range(5)
    ]
    checked, bare = (min(each) for each in zip(*pairs, strict=True))
    assert checked < 4.5 * bare
