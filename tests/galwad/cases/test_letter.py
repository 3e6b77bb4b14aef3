"""`galwad cases letter` and `figures`: what a person and the regulator are told.

Covers `galwad/cases/commands/letter.py`.
"""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime

import pytest

from helpers.house import House
from helpers.site import Site

TODAY = datetime.now(UTC).date()
OPEN = ("--reference", "SAR 4", "--name", "Mair Evans")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with House(Site(tmp_path_factory.mktemp("letters"))) as house:
        yield house, house.token("gwen", "admin")


@pytest.fixture
def opened(node, run, monkeypatch):
    """Open a case with steps, and return its number."""
    monkeypatch.setenv("GALWAD_SERVER", node[0].url)
    monkeypatch.setenv("GALWAD_TOKEN", node[1])

    def opened(kind, *steps, language="en", received=str(TODAY), more=()):
        words = ("--received", received, "--channel", "letter", "--language", language, "--json")
        done = run("cases", "open", kind, *OPEN, *words, *more)
        assert done.status == 0, done.err
        number = str(done.json()["case"]["case_id"])
        for step in steps:
            taken = run("cases", "step", number, *step)
            assert taken.status == 0, taken.err
        return number

    return opened


@pytest.fixture
def page(run, tmp_path):
    """Write the letter about a step as HTML, and return it."""

    def page(case, step, *words):
        file = tmp_path / f"letter-{case}-{step}.html"
        done = run("cases", "letter", case, step, "-o", str(file), *words)
        assert done.status == 0, done.err
        assert done.out == f"{file}\n"
        return file.read_text()

    return page


def test_an_acknowledgement_names_the_day_of_the_answer_in_the_language_of_the_case(opened, page):
    step = ("acknowledged", "--note", "told by telephone", "--day", "2026-03-05")
    case = opened("access", step, language="cy", received="2026-03-02")
    letter = page(case, "1")
    assert '<html lang="cy">' in letter
    assert "Rhaid i ni ei ateb erbyn 2 Ebrill 2026." in letter
    assert "Mair Evans" in letter
    assert "told by telephone" not in letter
    assert "ico.org.uk" not in letter
    english = page(opened("access", step, received="2026-03-02"), "1")
    assert "We must answer it by 2 April 2026." in english


def test_a_refusal_gives_its_reason_and_how_to_complain(opened, page):
    refused = ("closed", "--outcome", "refused", "--note", "the data name <others>")
    letter = page(opened("access", refused), "1")
    assert "We have refused your request" in letter
    assert "the data name &lt;others&gt;" in letter
    assert "ico.org.uk" in letter
    complaint = page(opened("complaint", refused), "1")
    assert "We do not uphold your complaint" in complaint


def test_an_acknowledgement_says_that_the_answer_waits_for_the_person(opened, page):
    case = opened("access", ("acknowledged",), ("scope-asked",))
    assert "We have asked you for something that we need" in page(case, "1")


def test_a_closed_case_has_only_the_letter_about_its_end(opened, page, run):
    extended = ("extended", "--note", "many calls")
    case = opened("access", extended, ("closed", "--outcome", "granted"))
    refused = run("cases", "letter", case, "1")
    assert f"case {case} is closed, so the letter about step 1 would not be true" in refused.err
    assert "We have done what you asked for" in page(case, "2")


def test_a_letter_goes_to_the_representative_and_has_the_question(opened, page, run):
    words = ("--representative", "Ann Evans", "--authority", "power of attorney")
    case = opened("access", ("identity-asked", "--note", "for colleagues"), more=words)
    refused = run("cases", "letter", case, "1")
    assert refused.err.startswith("error: the letter needs the question\n")
    letter = page(case, "1", "--text", "a copy of the power of attorney")
    assert "Ann Evans" in letter
    assert "a copy of the power of attorney" in letter
    assert "for colleagues" not in letter


def test_a_letter_is_written_only_about_a_step_that_concerns_the_person(opened, run, tmp_path):
    case = opened("access", ("noted", "--note", "x"), ("acknowledged",))
    for step in ("1", "3"):
        done = run("cases", "letter", case, step)
        assert f"no letter belongs to step {step} of case {case}" in done.err
    run("cases", "undo", case, "2", "--reason", "too early")
    assert "no letter belongs" in run("cases", "letter", case, "2").err
    wrong = run("cases", "letter", case, "2", "-o", str(tmp_path / "letter.doc"))
    assert "is neither a .pdf nor a .html file" in wrong.err
    assert not list(tmp_path.glob("letter*"))


def test_every_letter_can_be_written_in_both_languages(opened, page, run):
    reason = ("--note", "many calls")
    steps: dict[str, list[tuple[str, ...]]] = {
        "access": [
            ("acknowledged",),
            ("scope-asked",),
            ("scope-given",),
            ("extended", *reason),
            ("closed", "--outcome", "partly-refused", *reason),
        ],
        "erasure": [("fee-asked",), ("closed", "--outcome", "no-answer")],
        "objection": [("identity-asked",), ("closed", "--outcome", "withdrawn")],
        "rectification": [("closed", "--outcome", "granted")],
        "complaint": [("acknowledged",), ("closed", "--outcome", "granted")],
    }
    titles = []
    for language in ("cy", "en"):
        for kind, taken in steps.items():
            case = opened(kind, language=language)
            for place, step in enumerate(taken, 1):
                assert run("cases", "step", case, *step).status == 0
                if step[0] != "scope-given":
                    letter = page(case, str(place), "--text", "?")
                    titles += re.findall("<title>(.+)</title>", letter)
    assert len(titles) == 22
    assert len(set(titles)) == 20  # two letters about an end have the same title


@pytest.mark.peer  # the libraries of WeasyPrint
def test_a_letter_is_a_pdf_that_replaces_no_other_file(opened, run, tmp_path):
    case = opened("complaint", ("acknowledged",), language="cy")
    file = tmp_path / "letter.pdf"
    assert run("cases", "letter", case, "1", "-o", str(file)).status == 0
    assert file.read_bytes().startswith(b"%PDF-")
    assert "already exists" in run("cases", "letter", case, "1", "-o", str(file)).err


def test_the_figures_of_a_period_are_shown_and_written_as_csv(opened, run, tmp_path):
    opened("complaint", ("acknowledged",), language="cy")
    shown = run("cases", "figures", "--date", "today")
    assert shown.status == 0, shown.err
    assert "complaint" in shown.out
    file = tmp_path / "figures.csv"
    assert run("cases", "figures", "--date", "today", "-o", str(file)).out == f"{file}\n"
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    welsh = next(row for row in rows if (row["kind"], row["language"]) == ("complaint", "cy"))
    assert int(welsh["received"]) >= 1
    assert welsh["in_time"] == welsh["received"]
    again = run("cases", "figures", "--date", "today", "-o", str(file))
    assert "already exists" in again.err
    nothing = run("cases", "figures", "--date", "2019")
    assert nothing.out == "No case was received in this period.\n"
    assert run("cases", "figures", "--date", "soon").status == 2
