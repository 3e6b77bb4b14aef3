"""`galwad recordings list`: the filters, the pages, and the gaps of each recording.

Covers `galwad/cli/recordings/positions.py` and `galwad/cli/support/periods.py`.
"""

from __future__ import annotations

import pytest

CALL = "20261125-093000-abcdefgh"


def test_list_shows_the_gap_reasons_of_a_recording(run, server):
    done = run("recordings", "list")
    assert CALL in done.out
    assert "payment, transfer" in done.out


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("option", "text", "asked"),
    [
        ("--number", "01970 000001", {"number": "01970 000001"}),
        ("--advisor", "sian", {"advisor": "sian"}),
        ("--extension", "201", {"extension": "201"}),
        ("--line", "Council Tax", {"line": "Council Tax"}),
        ("--when", "last week", {"when": "last week"}),
        ("--since", "2026-11-24", {"since": "2026-11-24"}),
        ("--until", "yesterday", {"until": "yesterday"}),
        ("--longer", "1:02:03", {"min_length_s": 3723.0}),
        ("--shorter", "0", {"max_length_s": 0.0}),
        ("--gap", "payment", {"gap_reason": "payment"}),
        ("--reference", "C-1024", {"reference": "C-1024"}),
    ],
)
def test_a_filter_of_list_is_sent_in_the_request_body(run, archive, option, text, asked):
    assert run("recordings", "list", option, text).status == 0
    assert archive.asked == [("POST", "/recordings/search", {**asked, "limit": 50})]


@pytest.mark.parametrize("option", ["--when", "--since", "--until", "--longer", "--shorter"])
def test_an_unreadable_time_is_refused_before_the_server_is_asked(run, server, archive, option):
    done = run("recordings", "list", option, "once")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f'error: cannot read {option} "once"\nhint: write it as ')
    assert archive.asked == []


def test_a_limited_list_shows_the_option_for_the_next_page(run, server, archive):
    archive.listed = 3
    assert run("recordings", "list", "--limit", "2").out.endswith("more: add --after 2\n")
    done = run("recordings", "list", "--limit", "2", "--after", "2")
    assert (done.out.count(CALL), "--after" in done.out) == (1, False)


def test_a_long_list_is_requested_in_pages_of_500(run, server, archive):
    archive.listed = 1300
    page = run("recordings", "list", "--limit", "1200", "--json").json()
    assert (len(page["rows"]), page["after"]) == (1200, "1200")
    assert [body["limit"] for _, _, body in archive.asked] == [500, 500, 200]
    rest = run("recordings", "list", "--limit", "1200", "--after", "1200", "--json").json()
    assert (len(rest["rows"]), rest["after"]) == (100, None)
