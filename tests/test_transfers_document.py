"""docs/transfers.md: each kind of transfer has a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.joinpath("docs/transfers.md").read_text(encoding="utf-8")


def rows(heading):
    """Return the cells of the rows in the last table of a section."""
    section = DOCUMENT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|.*\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_each_kind_of_transfer_in_the_document_has_a_test():
    kinds = [row[0] for row in rows("Each kind of transfer")]
    assert len(kinds) > 10
    assert set(kinds) == {row[0] for row in rows("How to check it")}


def test_each_test_that_the_document_names_exists():
    for _, test in rows("How to check it"):
        module, _, function = test.strip("`").partition("::")
        text = HERE.joinpath("peers", module).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {function}\(", text, re.MULTILINE), test


def test_pick_up_park_conference_and_queue_are_cases_of_one_transfer_test():
    text = HERE.joinpath("peers/test_transfer_kinds.py").read_text(encoding="utf-8")
    cases = set(re.findall(r'^    "(.+?)": \[', text, re.MULTILINE))
    assert {"pick-up", "park and retrieve", "conference", "queue"} <= cases
