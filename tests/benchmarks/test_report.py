"""The growth part of docs/performance.md and its picture are what benchmarks/report.py writes.

Covers `benchmarks/report.py`, `benchmarks/_growth.py` and `benchmarks/_picture.py`.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import _growth
import _picture
import pytest
import report

ROOT = Path(__file__).parents[2]
MOST_BYTES = 60_000
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def results():
    """A copy of the stored results, which a test may change."""
    return copy.deepcopy(report.read(ROOT / report.STORED))


@pytest.fixture
def site(tmp_path, results):
    """A folder with a page and the results of a run, as the repository has them."""
    (tmp_path / "docs" / "images").mkdir(parents=True)
    page = f"# Performance\n\nBefore.\n\n{_growth.BEGIN}\n\nOld.\n\n{_growth.END}\n\nAfter.\n"
    (tmp_path / report.PAGE).write_text(page, encoding="utf-8")
    return tmp_path


def cells(part, first):
    """The rows of the table in the generated part whose first heading is `first`, by column."""
    table = part[part.index(f"| {first} |") :].partition("\n\n")[0].splitlines()
    heads, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    return [dict(zip(heads, row, strict=True)) for row in rows]


def test_the_generated_part_of_the_page_is_made_from_the_stored_results(results):
    page = (ROOT / report.PAGE).read_text(encoding="utf-8")
    hint = "run: python benchmarks/report.py --from docs/performance"
    assert report.with_part(page, _growth.generated(results)) == page, hint


def test_the_picture_is_made_from_the_stored_results(results):
    stored = (ROOT / _growth.PICTURE).read_text(encoding="utf-8")
    assert report.drawing(results) == stored, (
        "run: python benchmarks/report.py --from docs/performance"
    )


def test_the_picture_is_small_and_has_a_title_and_a_description(results):
    text = report.drawing(results)
    root = ET.fromstring(text)
    named = [each for name in ("title", "desc") for each in root.findall(f"{SVG}{name}")]
    assert len(text.encode()) < MOST_BYTES
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == " ".join(each.attrib["id"] for each in named)
    assert [bool(each.text) for each in named] == [True, True]
    assert "prefers-color-scheme:dark" in text


def test_writing_changes_only_what_is_between_the_markers(site, results):
    report.write(site, results)
    page = (site / report.PAGE).read_text(encoding="utf-8")
    assert page.startswith(f"# Performance\n\nBefore.\n\n{_growth.BEGIN}\n")
    assert page.endswith(f"{_growth.END}\n\nAfter.\n")
    assert "Old." not in page
    again = report.with_part(page, _growth.generated(results))
    assert again == page


@pytest.mark.parametrize(
    "page",
    [
        "no markers",
        f"{_growth.BEGIN}\nno end",
        f"{_growth.END}\n{_growth.BEGIN}\n",
        2 * f"{_growth.BEGIN}\n{_growth.END}\n",
    ],
)
def test_a_page_that_does_not_have_each_marker_once_in_order_is_not_changed(site, results, page):
    (site / report.PAGE).write_text(page, encoding="utf-8")
    with pytest.raises(SystemExit, match=re.escape(_growth.BEGIN)):
        report.write(site, results)
    assert (site / report.PAGE).read_text(encoding="utf-8") == page


def test_missing_results_are_named_with_the_command_that_makes_them(tmp_path, results):
    report.keep({"media": results["media"]}, tmp_path)
    with pytest.raises(SystemExit, match=r"rates\.json, long\.json\nrun: python benchmarks/report"):
        report.read(tmp_path)


def test_stored_results_are_read_back_unchanged(tmp_path, results):
    report.keep(results, tmp_path)
    assert report.read(tmp_path) == results


def test_a_quick_run_is_named_on_the_page_and_in_the_picture(results):
    for result in results.values():
        result["quick"] = False
    assert "--quick`, of" not in _growth.generated(results)
    assert "no measure" not in report.drawing(results)
    results["rates"]["quick"] = True
    assert "--quick`, of" in _growth.generated(results)
    assert "no measure" in report.drawing(results)


def test_other_work_on_the_machine_is_named(results):
    for result in results.values():
        result["busy_before"] = 0.1
    assert "Other programs" not in _growth.generated(results)
    results["long"]["busy_before"] = 1.7
    assert "**Other programs used up to 1.7 cores" in _growth.generated(results)


def test_a_rate_that_sipp_could_not_place_is_named(results):
    row = results["rates"]["rows"][-1]
    row |= {"rate": 300, "generator_limited": True, "offered_a_second": 221.4}
    shown = cells(_growth.generated(results), "set-ups a second")[-1]
    assert shown["set-ups a second"] == "300, but SIPp placed only 221"


def test_refused_calls_are_shown_by_status(results):
    row = results["rates"]["rows"][-1]
    row |= {"answered": 1000, "offered": 2203, "refused": 1203, "unanswered": 7}
    row["refused_by_status"] = {"503": 1200, "480": 3}
    shown = cells(_growth.generated(results), "set-ups a second")[-1]
    assert shown["refused"] == "1,200 (503), 3 (480)"
    assert shown["answered"] == "1,000 of 2,203"
    assert shown["no answer"] == "7"


def test_the_cost_of_a_set_up_is_shown_with_its_margin_of_error(results):
    row = results["rates"]["rows"][-1]
    row |= {"cpu_us_per_setup": 5_120, "cpu_us_per_setup_error": 340}
    assert (
        cells(_growth.generated(results), "set-ups a second")[-1]["CPU ms a set-up"] == "5.1 ± 0.3"
    )


def test_a_cost_of_a_set_up_that_is_not_known_is_a_dash(results):
    results["rates"]["rows"][-1]["cpu_us_per_setup"] = None
    assert cells(_growth.generated(results), "set-ups a second")[-1]["CPU ms a set-up"] == "-"


def test_the_memory_of_a_call_is_that_above_the_memory_without_calls(results):
    results["media"]["growth"][-1] |= {
        "calls": 100,
        "resident_kb_before": 80_000,
        "resident_kb": 86_500,
    }
    assert cells(_growth.generated(results), "recorded calls")[-1]["kB a call"] == "65"


def test_a_row_whose_packets_never_arrived_has_dashes_and_no_point_in_the_picture(results):
    def points(drawn):
        line = list(ET.fromstring(drawn).iter(f"{SVG}polyline"))[-1]
        return line.attrib["points"].split()

    before = len(points(report.drawing(results)))
    for name in ("p50", "p99", "p99.9", "max"):
        results["rates"]["rows"][-1][f"delay_ms_{name}"] = None
    shown = _growth.lateness_table(results["rates"]).splitlines()[-1]
    assert "| - / - / - |" in shown
    assert len(points(report.drawing(results))) == before - 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0364, "0.0364"), (7.94, "7.94"), (99.96, "100"), (1553.2, "1,553"), (15.0, "15")],
)
def test_figures_have_three_significant_digits(value, text):
    assert _growth.figure(value) == text


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0.042, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        (50, [0, 10, 20, 30, 40, 50]),
        (300, [0, 100, 200, 300]),
        (1500, [0, 500, 1000, 1500]),
    ],
)
def test_the_axis_ends_at_the_first_round_value_that_is_not_below_the_highest(highest, ticks):
    assert _picture.ticks(highest) == ticks


@pytest.mark.parametrize(("highest", "last"), [(0, 10), (9.5, 10), (10.5, 100), (2400, 10_000)])
def test_the_axis_of_delays_has_a_line_for_each_power_of_ten(highest, last):
    lines = _picture.decades(highest)
    assert lines[0] == pytest.approx(0.1)
    assert lines[-1] == last


def test_a_higher_cost_is_drawn_higher(results):
    growth = results["media"]["growth"]
    for row in growth:
        row["cores"] = row["calls"] * 0.001
    drawn = ET.fromstring(report.drawing(results))
    line = next(each for each in drawn.iter(f"{SVG}polyline"))
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    assert len(points) == len(growth)


def test_the_stored_results_have_their_date_command_and_the_load_before_them():
    for name in _growth.RESULTS:
        stored = json.loads((ROOT / report.STORED / f"{name}.json").read_text(encoding="utf-8"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", stored["date"])
        assert stored["busy_before"] >= 0
        assert stored["command"][0] == f"{stored['benchmark']}.py"


def test_the_work_of_other_programs_is_seen_before_a_run():
    command = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(command) as other:
        try:
            assert report.busy_cores(1.0) > 0.3
        finally:
            other.kill()


def test_the_last_line_of_a_failing_benchmark_is_not_taken_for_its_result(tmp_path, monkeypatch):
    (tmp_path / "failing.py").write_text("print('{}')\nraise SystemExit(1)\n")
    monkeypatch.setattr(report, "__file__", str(tmp_path / "report.py"))
    with pytest.raises(SystemExit, match=r"failing\.py failed"):
        report.run(("failing.py",))
