"""`galwad promise-check`: verdicts, words in both languages, and the page for printing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from galwad.archive.commands.promises import page_of, report_in
from galwad.archive.promises import COUNTED_PAUSES, COUNTED_TRANSFERS
from galwad.cli.support.page_texts import Texts

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
def test_a_broken_promise_is_printed_with_its_finding_and_gives_status_1(run, archive):
    archive.promises = BROKEN
    done = run("promise-check", "--language", "cy")
    assert done.status == 1
    assert "WEDI'I DORRI" in done.out
    assert "!  20261125-093000-abcdefgh: recordiwyd 5 eiliad ar ôl trosglwyddo" in done.out
    assert done.err.startswith("error: Addewidion sydd wedi'u torri: 1\nhint: ")
    assert archive.asked[-1][1] == "/promises?when=today"


@pytest.mark.usefixtures("server")
def test_json_prints_the_servers_answer_and_a_broken_promise_has_status_1(run, archive):
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
def test_an_existing_page_is_not_replaced_and_the_server_is_not_asked(run, archive, tmp_path):
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
        (("--json", "--html", "-"), "--json and --html cannot be combined"),
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


CALL = "20261125-093000-abcdefgh"


def promise(name="recorded", verdict="kept", evidence=None, findings=(), more=0):
    return {
        "name": name,
        "verdict": verdict,
        "evidence": evidence or {},
        "findings": list(findings),
        "more_findings": more,
    }


def finding(kind, us=0, text="", call_id=CALL):
    return {"kind": kind, "call_id": call_id, "us": us, "text": text}


def found(*promises, **more):
    broken = any(each["verdict"] == "broken" for each in promises)
    return {
        "first_day": "2026-11-25",
        "last_day": "2026-11-25",
        "checked": 1_795_650_000.0,
        "kept": not broken,
        "promises": list(promises),
        **more,
    }


EVERY = found(
    *(promise(name) for name in ("recorded", "payments", "transfers")),
    promise("intact", "broken", {"verified": 2}, [finding("changed", text="<b>& its payload</b>")]),
)


def only_line(*promises, language="en", **more):
    (line,) = report_in(found(*promises, **more), Texts(language)).lines
    return line


def test_the_title_has_the_day_or_the_first_and_the_last_day():
    assert report_in(EVERY, Texts("en")).title.endswith(", 2026-11-25")
    week = {**EVERY, "last_day": "2026-11-30"}
    assert report_in(week, Texts("cy")).title.endswith("2026-11-25 hyd 2026-11-30")


def test_evidence_has_a_fixed_sequence_with_unknown_counts_at_the_end():
    evidence = {"paused_us": 80 * US, "pauses_page": 2, "pauses": 3, "moons": 4}
    english = only_line(promise("payments", evidence=evidence))
    assert english.evidence == (
        ("pauses", "3"),
        ("on the page", "2"),
        ("time in pauses", "1 min 20 s"),
        ("moons", "4"),
    )
    welsh = only_line(promise("payments", evidence=evidence), language="cy")
    assert welsh.evidence[2] == ("amser mewn seibiau", "1 munud 20 eiliad")


@pytest.mark.parametrize("language", ["en", "cy"])
@pytest.mark.parametrize(
    ("total", "triggers"), [("pauses", COUNTED_PAUSES), ("transfers", COUNTED_TRANSFERS)]
)
def test_each_trigger_that_is_counted_is_in_words_below_its_total(language, total, triggers):
    each = [f"{total}_{trigger.replace('-', '_')}" for trigger in (*triggers, "other")]
    counts = dict.fromkeys(each, 1) | {total: len(each), "moons": 1}
    (_, first), *rest, last = only_line(promise(evidence=counts), language=language).evidence
    assert (first, len(rest), last) == (str(len(each)), len(each), ("moons", "1"))
    assert not [words for words, _ in rest if words.startswith(total + "_")]


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (finding("unexplained", 5 * US), f"{CALL}: 5 s unexplained"),
        (finding("missing", text="no spool"), f"{CALL}: no recording: no spool"),
        (finding("fault", 45 * US, "storage"), f"{CALL}: 45 s lost by a fault: storage"),
        (finding("captured_card"), f"{CALL}: a card number was keyed outside a pause"),
        (finding("audit", text="entry 7: changed", call_id=""), "the audit: entry 7: changed"),
        (finding("comet", text="new"), f"{CALL}: comet: new"),
    ],
)
def test_each_kind_of_finding_is_one_line(fact, words):
    line = only_line(promise(verdict="broken", findings=[fact]))
    assert [str(each) for each in line.findings] == [words]
    assert (line.verdict, line.state) == ("BROKEN", "broken")


def test_findings_beyond_the_listed_ones_are_counted():
    line = only_line(promise(verdict="broken", findings=[finding("missing")], more=500))
    assert str(line.findings[1]) == "and 500 more"


def test_a_finding_with_control_characters_is_printed_on_one_line():
    line = only_line(promise(verdict="broken", findings=[finding("changed", text="a\n\x1b[2Jb")]))
    assert str(line.findings[0]).isprintable()


class Outline(HTMLParser):
    """Collects the tags, texts and attributes of a page, and checks that its tags match."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("language", ["en", "cy"])
def test_the_page_is_complete_html_in_its_language_without_scripts_or_links_to_other_files(
    language,
):
    texts = Texts(language)
    page = page_of(report_in(EVERY, texts), texts)
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert ("lang", language) == outline.attributes[0]
    assert not {"script", "img", "link", "iframe"} & set(outline.tags)
    assert not re.search(r"https?:|url\(|@import", page)
    assert not {"src", "href", "style"} & {name for name, _ in outline.attributes}
    assert outline.tags.count("h1") == 1
    assert outline.attributes.count(("scope", "col")) == 4
    assert outline.attributes.count(("scope", "row")) == 5  # a promise each, and the findings


def test_the_page_escapes_what_the_server_sends():
    texts = Texts("en")
    page = page_of(report_in(EVERY, texts), texts)
    assert "<b>" not in page
    assert '<span lang="en">&lt;b&gt;&amp; its payload&lt;/b&gt;</span>' in page


def test_the_verdicts_kept_and_broken_have_their_words_and_css_classes_on_the_page():
    page = page_of(report_in(EVERY, Texts("en")), Texts("en"))
    assert '<td class="verdict kept">kept</td>' in page
    assert '<td class="verdict broken">BROKEN</td>' in page


@pytest.mark.parametrize("name", ["recorded", "payments", "transfers", "intact"])
def test_each_promise_has_its_words_in_both_languages(name):
    english, welsh = (only_line(promise(name), language=each) for each in ("en", "cy"))
    assert english.quote != welsh.quote
    assert english.checks != welsh.checks
    assert (english.verdict, welsh.verdict) == ("kept", "wedi'i gadw")
