"""The table of sabotages fits the product and the document; `test_sabotages.py` runs them."""

from __future__ import annotations

from collections import Counter

import pytest

from galwad.simulate.payments import PAYMENTS as PAYMENT_ROWS
from galwad.simulate.transfers import TRANSFERS as TRANSFER_ROWS
from helpers.peers.client import PAYMENT_LINE
from helpers.peers.service import SETTINGS as SERVICE_SETTINGS
from helpers.sabotages import COVERAGE, PAYMENTS, PROMISES, ROOT, SABOTAGES, SETTINGS, TRANSFERS

DOCUMENT = ROOT / "docs" / "operations" / "promises.md"
HEAD = "| what no longer works | the commands that name it |\n|---|---|\n"


def text_of(sabotage):
    """Return the text of the file that a sabotage changes."""
    if sabotage.file == SETTINGS:
        filled = SERVICE_SETTINGS.replace("{point_of_transfer}", "answer")
        return filled + PAYMENT_LINE
    return (ROOT / sabotage.file).read_text(encoding="utf-8")


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.name)
def test_the_old_text_of_a_sabotage_occurs_once_in_its_file(sabotage):
    assert text_of(sabotage).count(sabotage.old) == 1
    assert sabotage.new != sabotage.old


def test_there_are_at_least_forty_sabotages_with_different_names():
    assert len(SABOTAGES) >= 40
    assert max(Counter(each.name for each in SABOTAGES).values()) == 1


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.name)
def test_a_sabotage_is_named_by_a_command_that_is_run(sabotage):
    run = {COVERAGE, PROMISES}
    run |= {PAYMENTS} if sabotage.payments else set()
    run |= {TRANSFERS} if sabotage.transfers else set()
    assert sabotage.named_by
    assert run >= {*sabotage.named_by}
    assert {row.name for row in PAYMENT_ROWS} >= {*sabotage.payments}
    assert {row.name for row in TRANSFER_ROWS} >= {*sabotage.transfers}


def test_the_document_has_the_table_of_the_sabotages():
    rows = (
        f"| {each.name} | {', '.join(f'`{command}`' for command in each.named_by)} |\n"
        for each in SABOTAGES
    )
    assert HEAD + "".join(rows) in DOCUMENT.read_text(encoding="utf-8")
