"""docs/durability.md and docs/security.md: each claim names a test that exists.

Each test that is only about durability has a promise in docs/durability.md.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.joinpath("docs/durability.md").read_text(encoding="utf-8")
THREATS = HERE.parent.joinpath("docs/security.md").read_text(encoding="utf-8")
ABOUT_IT_ALONE = (
    *("peers/test_crash_matrix.py", "peers/test_storage.py", "peers/test_leftovers.py"),
    *("recording/spool/test_crash.py", "recording/archive/test_sealing_damage.py"),
)
"""Files of which every test is a promise, or the want of one."""


def rows(document):
    """Each row of the tables: what is said, and the test that shows it."""
    lines = re.findall(r"^\| (?!promise |not promised)\S.*\|$", document, re.MULTILINE)
    found = [re.fullmatch(r"\| (\S.*?) \| `(.*?)` \|", line) for line in lines]
    assert all(found), lines
    return [row.groups() for row in found if row]


def exists(test):
    """Whether there is such a test, by file and function."""
    file, _, name = test.partition("::")
    path = HERE / file
    return path.is_file() and name in names_in(path)


def names_in(path):
    text = path.read_text(encoding="utf-8")
    return re.findall(r"^(?:async )?def (test_\w+)\(", text, re.MULTILINE)


def test_every_row_of_the_durability_promises_names_a_test_that_exists():
    assert len(rows(DOCUMENT)) >= 25
    assert [test for _, test in rows(DOCUMENT) if not exists(test)] == []


def threat_rows(document):
    """Return the rows of the tables in a threat model, without their heads."""
    lines = re.findall(r"^\| .*\|$", document, re.MULTILINE)
    return [line for line in lines if not line.startswith("| who |")]


def unproved(document):
    """Return the rows of a threat model that name no test, and the tests that do not exist."""
    bare = [row for row in threat_rows(document) if "`tests/" not in row]
    named = re.findall(r"`tests/([\w/]+/test_\w+\.py)(?:::(\w+))?`", document)
    return bare + [
        f"{file}::{test}"
        for file, test in named
        if not (exists(f"{file}::{test}") if test else (HERE / file).is_file())
    ]


def test_every_threat_names_tests_that_exist():
    assert len(threat_rows(THREATS)) >= 30
    assert unproved(THREATS) == []


@pytest.mark.parametrize(
    "row",
    ["| a caller | a lie | nothing | |", "| a caller | a lie | 400 | `tests/peers/test_gone.py` |"],
)
def test_a_threat_without_an_existing_test_is_found(row):
    assert len(unproved(f"{THREATS}\n{row}\n")) == 1


def test_every_test_of_the_modules_about_durability_is_in_the_document():
    every = {f"{file}::{name}" for file in ABOUT_IT_ALONE for name in names_in(HERE / file)}
    assert every - {test for _, test in rows(DOCUMENT)} == set()


@pytest.mark.parametrize(
    "test", ["peers/test_storage.py::test_nothing", "peers/test_gone.py::test_it", "test_docs.py"]
)
def test_a_test_that_does_not_exist_is_found_out(test):
    assert not exists(test)


def test_a_row_without_a_test_is_found_out():
    with pytest.raises(AssertionError):
        rows(DOCUMENT + "\n| it never fails | |\n")
