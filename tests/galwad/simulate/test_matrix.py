"""The command line of `galwad simulate payments` and `simulate transfers`, before any call."""

from __future__ import annotations

import io
import json

import pytest

from galwad.cli.support.console import CliError
from galwad.simulate.matrix import Outcome, Verdict, choose, report
from galwad.simulate.payments import PAYMENTS
from galwad.simulate.transfers import TRANSFERS
from galwad.simulate.triggers import TRIGGERS

OK = Verdict("page", Outcome.OK, call_id="1")
FAILED = Verdict("record key", Outcome.FAILED, ("gaps: none",), "2")
NO_PBX = Verdict("blind, by the PBX", Outcome.NOT_APPLICABLE, ("there is no PBX",))
MISSING = Verdict("dialled code", Outcome.NOT_CONFIGURED, ("set it",))


@pytest.mark.parametrize("rows", [PAYMENTS, TRANSFERS])
def test_each_row_has_a_name_of_its_own_and_at_least_one_stretch_of_speech(rows):
    assert len({row.name for row in rows}) == len(rows)
    assert all(any("Talk" in type(step).__name__ for step in row.steps) for row in rows)


def test_each_trigger_has_a_row_and_only_two_rows_of_payment_systems_must_run_alone():
    by_name = {row.name: row for row in PAYMENTS}
    assert {trigger.name for trigger in TRIGGERS} <= by_name.keys()
    alone = {row.name for row in (*PAYMENTS, *TRANSFERS) if row.alone}
    assert alone == {"payment system, by extension", "payment system, by advisor"}


@pytest.mark.parametrize("rows", [PAYMENTS, TRANSFERS])
def test_a_row_that_uses_a_trigger_also_needs_what_the_trigger_needs(rows):
    for row in rows:
        for step in (*row.before, *row.steps):
            for field in ("trigger", "by", "of"):
                used = getattr(step, field, None)
                assert used is None or used.needs <= row.needs, row.name


def test_rows_chosen_with_only_keep_the_order_of_the_table():
    names = [row.name for row in choose(PAYMENTS, ["record key", "page"])]
    assert names == ["page", "record key"]
    assert choose(PAYMENTS, []) == list(PAYMENTS)


def test_a_verdict_is_one_line_and_its_json_has_no_empty_field():
    failed = Verdict("page", Outcome.FAILED, ("one", "two"), "id")
    assert str(failed) == "FAILED: one; two"
    assert failed.as_json() == {
        "row": "page",
        "verdict": "failed",
        "reasons": ["one", "two"],
        "call_id": "id",
    }
    assert str(Verdict("page", Outcome.OK)) == "ok"
    assert Verdict("page", Outcome.OK).as_json() == {"row": "page", "verdict": "ok"}


def test_a_report_without_a_failure_is_a_summary(capsys):
    report([OK, MISSING], json=False)
    assert capsys.readouterr().out == "2 rows: 1 ok, 0 failed, 1 not configured\n"


def test_a_report_with_a_failure_names_the_row_and_raises_with_status_1(capsys):
    with pytest.raises(CliError) as raised:
        report([OK, FAILED, MISSING], json=True)
    assert (raised.value.status, raised.value.message) == (1, '1 of 3 rows failed: "record key"')
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["summary"] == {"ok": 1, "failed": 1, "not configured": 1}
    assert document["rows"][1]["reasons"] == ["gaps: none"]


def test_a_row_that_does_not_apply_is_counted_and_is_no_failure(capsys):
    report([OK, NO_PBX], json=False)
    counts = "1 ok, 0 failed, 0 not configured, 1 not applicable"
    assert capsys.readouterr().out == f"2 rows: {counts}\n"


# --- usage ------------------------------------------------------------------------------------


@pytest.fixture
def matrix(run, settings_file, tmp_path):
    """Run a matrix with these options."""

    def matrix(command, *options):
        return run(
            *("simulate", command, "01970000000", "--sip", "127.0.0.1", "--config", settings_file),
            *("--identity", tmp_path / "none", *options),
        )

    return matrix


@pytest.mark.parametrize("command", ["payments", "transfers"])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ((), "missing option '--answer'"),
        (("--answer", "201", "--only", "juggling"), 'there is no row "juggling"'),
        (("--answer", "201") * 3, "--answer is given more than twice"),
        (("--answer", "201"), "the SIP password of 201 is missing"),
        (
            ("--answer", "201", "--password-stdin"),
            "lines on standard input: 0; passwords needed: 1",
        ),
        (("--answer", "201", "--parallel", "0"), "invalid value for '--parallel'"),
    ],
)
def test_wrong_options_are_refused_before_any_call(matrix, monkeypatch, command, options, error):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    done = matrix(command, *options)
    assert (done.status, done.out) == (2, "")
    assert done.err.lower().startswith(f"error: {error}".lower())
    assert "\nhint: " in done.err


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--pbx-answer", "201"), "--pbx-answer must be given twice"),
        (("--pbx-answer", "201") * 2, "the line 01970000000 does not lead to a PBX"),
        (
            ("--answer", "201", *("--pbx-answer", "201") * 2, "--pbx-line", "09"),
            "the line 09 does not lead to a PBX",
        ),
    ],
)
def test_wrong_options_for_the_pbx_are_refused_before_any_call(matrix, options, error):
    done = matrix("transfers", *options)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {error}\nhint: ")


def test_settings_that_cannot_be_read_are_one_error(matrix, tmp_path):
    done = matrix("payments", "--answer", "201", "--config", tmp_path / "missing.toml")
    assert (done.status, done.out) == (1, "")
    assert "missing.toml" in done.err
