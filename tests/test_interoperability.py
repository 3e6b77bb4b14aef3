"""docs/interoperability.md: each "yes" has a test that exists, and each test has a cell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.joinpath("docs/interoperability.md").read_text(encoding="utf-8")


def cells(row):
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def claimed(document):
    """Each (peer, feature) whose cell in the first table says yes; none says anything else."""
    head, _, *rows = re.findall(r"^\|.*\|$", document.partition("\n## ")[0], re.MULTILINE)
    found = set()
    for row in rows:
        feature, *answers = cells(row)
        assert set(answers) <= {"yes", ""}, row
        peers = zip(cells(head)[1:], answers, strict=True)
        found |= {(peer, feature) for peer, answer in peers if answer}
    return found


def named(document):
    """The tests, as file and function, that the peers' own tables name for (peer, feature)."""
    found: dict = {}
    for section in document.split("\n## ")[1:]:
        peer = section.partition("\n")[0]
        for feature, test in re.findall(
            r"^\| ([\w -]+(?: \(\w+\))?) \| `(.+?)` \|$", section, re.MULTILINE
        ):
            found.setdefault((peer, feature), set()).add(test)
    return found


def missing(tests):
    """Those of these tests that do not exist."""
    return {
        test
        for test in tests
        if not (file := HERE / "peers" / test.partition("::")[0]).is_file()
        or not re.search(
            rf"^(?:async )?def {re.escape(test.partition('::')[2])}\(",
            file.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    }


def test_every_cell_that_says_yes_has_a_test_and_every_test_has_a_cell():
    assert claimed(DOCUMENT) == set(named(DOCUMENT))


def test_every_test_that_the_interoperability_document_names_exists():
    assert missing(set().union(*named(DOCUMENT).values())) == set()


@pytest.mark.parametrize(
    "name", ["test_calls.py::test_nothing_of_the_kind", "test_gone.py::test_it", "test_calls.py"]
)
def test_a_test_that_does_not_exist_is_found_out(name):
    assert missing({name, "test_late_offer.py"}) >= {name}


def test_a_cell_without_a_test_is_found_out():
    bare = re.sub(r"^\| Path \| `.*$\n", "", DOCUMENT, flags=re.MULTILINE)
    assert claimed(bare) - set(named(bare)) == {("Kamailio 6.0", "Path")}
