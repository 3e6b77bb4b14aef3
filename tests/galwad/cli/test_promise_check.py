"""`galwad promise-check`: text, JSON and a page; the exit status is the verdict.

`tests/galwad/desk/coverage/test_promises.py` runs the command against a real desk.
"""

from __future__ import annotations

import pytest

US = 1_000_000
KEPT = {
    "first_day": "2026-11-25",
    "last_day": "2026-11-25",
    "checked": 1_795_650_000.0,
    "kept": True,
    "promises": [
        {
            "name": "recorded",
            "verdict": "kept",
            "evidence": {"calls": 2, "unexplained_us": 0},
            "findings": [],
            "more_findings": 0,
        }
    ],
}
BROKEN = {
    **KEPT,
    "kept": False,
    "promises": [
        {
            "name": "transfers",
            "verdict": "broken",
            "evidence": {"transfers": 1, "recorded_after_us": 5 * US},
            "findings": [
                {
                    "kind": "recorded_after",
                    "call_id": "20261125-093000-abcdefgh",
                    "us": 5 * US,
                    "text": "",
                }
            ],
            "more_findings": 0,
        }
    ],
}


@pytest.mark.usefixtures("server")
def test_a_kept_promise_is_printed_with_its_quote_evidence_and_verdict(run, archive):
    archive.promises = KEPT
    done = run("promise-check", "--date", "2026-11-25", "--language", "en")
    assert (done.status, done.err) == (0, "")
    text = " ".join(done.out.split())
    assert text.startswith("The promises of the privacy notice, 2026-11-25 Checked on")
    assert '"All calls to the Contact Centre are recorded in their entirety' in text
    assert "Evidence: answered calls: 2; unexplained: 0 s Verdict: kept" in text
    assert text.endswith("No promise is broken.")
    assert archive.asked[-1][1] == "/promises?when=2026-11-25"


@pytest.mark.usefixtures("server")
def test_a_broken_promise_is_named_with_its_finding_and_status_1(run, archive):
    archive.promises = BROKEN
    done = run("promise-check", "--language", "cy")
    assert done.status == 1
    assert "WEDI'I DORRI" in done.out
    assert "!  20261125-093000-abcdefgh: recordiwyd 5 eiliad ar ôl trosglwyddo" in done.out
    assert done.err.startswith("error: Addewidion sydd wedi'u torri: 1\nhint: ")
    assert archive.asked[-1][1] == "/promises?when=today"


@pytest.mark.usefixtures("server")
def test_json_is_the_servers_answer_with_the_same_status(run, archive):
    archive.promises = BROKEN
    done = run("promise-check", "--json")
    assert (done.status, done.json()) == (1, BROKEN)


@pytest.mark.usefixtures("server")
def test_the_page_is_written_to_a_file_or_to_standard_output(run, archive, tmp_path):
    archive.promises = KEPT
    file = tmp_path / "day.html"
    done = run("promise-check", "--html", file, "--language", "en")
    assert (done.status, done.out) == (0, "")
    printed = run("promise-check", "--html", "-", "--language", "en")
    assert printed.status == 0
    assert printed.out == file.read_text(encoding="utf-8")
    assert printed.out.startswith("<!DOCTYPE html>")


@pytest.mark.usefixtures("server")
def test_an_earlier_page_is_not_replaced_and_nothing_is_asked(run, archive, tmp_path):
    archive.promises = KEPT
    file = tmp_path / "day.html"
    file.write_text("the page of yesterday")
    done = run("promise-check", "--html", file)
    assert (done.status, file.read_text()) == (2, "the page of yesterday")
    assert "already exists" in done.err
    assert archive.asked == []


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--json", "--html", "-"), "--json and --html exclude each other"),
        (("--date", "sometime"), "cannot read --date"),
        (("--language", "kw"), "there are no texts in the language"),
        (("--html", "/nowhere/day.html"), "/nowhere is not a folder"),
    ],
)
def test_wrong_options_are_refused_with_status_2(run, options, error):
    done = run("promise-check", *options)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {error}")


@pytest.mark.usefixtures("server")
def test_a_check_that_could_not_be_made_has_status_2_and_no_verdict(run, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", "another-token")
    done = run("promise-check")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: not signed in")
