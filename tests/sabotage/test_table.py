"""The table of sabotages fits the product and the document; `test_sabotages.py` runs them."""

from __future__ import annotations

from collections import Counter

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


def test_the_old_text_of_each_sabotage_occurs_once_in_its_file():
    counts = {each.name: text_of(each).count(each.old) for each in SABOTAGES}
    assert counts == dict.fromkeys(counts, 1)
    assert [each.name for each in SABOTAGES if each.new == each.old] == []


def test_there_are_at_least_forty_sabotages_with_different_names():
    assert len(SABOTAGES) >= 40
    assert max(Counter(each.name for each in SABOTAGES).values()) == 1


def test_each_sabotage_is_named_by_a_command_that_is_run():
    for each in SABOTAGES:
        run = {COVERAGE, PROMISES}
        run |= {PAYMENTS} if each.payments else set()
        run |= {TRANSFERS} if each.transfers else set()
        assert each.named_by, each.name
        assert run >= {*each.named_by}, each.name
        assert {row.name for row in PAYMENT_ROWS} >= {*each.payments}, each.name
        assert {row.name for row in TRANSFER_ROWS} >= {*each.transfers}, each.name


def test_the_document_has_the_table_of_the_sabotages():
    rows = (
        f"| {each.name} | {', '.join(f'`{command}`' for command in each.named_by)} |\n"
        for each in SABOTAGES
    )
    assert HEAD + "".join(rows) in DOCUMENT.read_text(encoding="utf-8")
