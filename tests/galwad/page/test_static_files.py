"""The files of the page: both languages complete, nothing inline or external, enough contrast.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from importlib.resources import files
from typing import get_args

from galwad.calls.alarms.kinds import KINDS
from galwad.people.user import RIGHTS, Role, UserChange

DESK = files("galwad.page")
SOURCES = [
    f for f in DESK.joinpath("static").iterdir() if f.name.endswith((".js", ".html", ".css"))
]
PAIRS = [
    ("text", "page"),
    ("text", "card"),
    ("muted", "card"),
    ("muted", "page"),
    ("accent-text", "accent"),
    ("soft-text", "soft"),
    ("warn-text", "warn"),
    ("bad-text", "bad"),
    ("rec-text", "rec"),
    ("paused-text", "paused"),
    ("paused-text", "paused-stripe"),
    ("off-text", "off"),
    ("fault-text", "fault"),
]


IMPORTED = re.compile(r"""(?:^import|\bfrom|\bimport\()\s*"\./(\w+\.js)\"""", re.MULTILINE)


def test_the_modules_of_the_page_have_no_circular_imports():
    imports = {
        each.name: set(IMPORTED.findall(each.read_text(encoding="utf-8")))
        for each in SOURCES
        if each.name.endswith(".js")
    }
    assert "step_up.js" in imports["api.js"]
    left = dict(imports)
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}


def texts(language: str) -> dict[str, str]:
    return json.loads(DESK.joinpath("locale", f"{language}.json").read_text(encoding="utf-8"))


def themes() -> dict[str, dict[str, str]]:
    css = DESK.joinpath("static", "style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return {"light": light, "dark": {**light, **dark}}


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_both_languages_have_the_same_keys():
    assert texts("en").keys() == texts("cy").keys()


def test_the_welsh_texts_use_the_straight_apostrophe_and_one_phrase_for_a_withheld_number():
    welsh = texts("cy")
    assert [key for key, text in welsh.items() if "\N{RIGHT SINGLE QUOTATION MARK}" in text] == []
    words = {text.partition(".")[0] for key, text in welsh.items() if key.endswith(".withheld")}
    assert words == {"Rhif wedi'i gadw'n ôl"}


def test_both_languages_use_the_same_placeholders():
    english, welsh = texts("en"), texts("cy")
    for key in english:
        assert set(re.findall(r"\{\w+\}", english[key])) == set(re.findall(r"\{\w+\}", welsh[key]))


def test_no_welsh_text_equals_the_english_text():
    english, welsh = texts("en"), texts("cy")
    assert [key for key in english if english[key] == welsh[key]] == []


def test_every_key_that_the_page_names_is_in_the_locale():
    known = texts("en")
    named = set()
    for source in SOURCES:
        text = source.read_text(encoding="utf-8")
        named |= set(re.findall(r'(?:data-t(?:-label)?=|\bt: |, )"([a-z_]+(?:\.[a-z_.]+)?)"', text))
    missing = {key for key in named if "." in key} - known.keys()
    assert missing == set()


def test_every_kind_of_alarm_has_a_text_that_says_what_it_means_and_one_that_says_what_to_do():
    keys = {key for key in texts("en") if key.startswith("alarm.")}
    of_kinds = {f"alarm.{kind}{part}" for kind in KINDS for part in ("", ".do")}
    assert keys == of_kinds | {"alarm.close", "alarm.other"}


def test_every_role_right_and_change_of_a_user_has_a_text():
    changes = {each.name for each in fields(UserChange)} - {"disabled"} | {"disable", "enable"}
    families = {"role": get_args(Role), "right": RIGHTS, "done": changes}
    keys = {f"admin.{family}.{name}" for family, names in families.items() for name in names}
    assert keys - texts("en").keys() == set()


def contrasts(*pairs: tuple[str, str]) -> dict[tuple[str, str, str], float]:
    """Contrast of each pair of colours in each theme (WCAG 2.2)."""
    found = {}
    for theme, colours in themes().items():
        for pair in pairs:
            lighter, darker = sorted((luminance(colours[name]) for name in pair), reverse=True)
            found[theme, *pair] = (lighter + 0.05) / (darker + 0.05)
    return found


def test_text_has_enough_contrast_with_its_background():
    assert {pair: of for pair, of in contrasts(*PAIRS).items() if of < 4.5} == {}


def test_the_border_of_a_field_has_enough_contrast():
    assert {pair: of for pair, of in contrasts(("field", "card")).items() if of < 3} == {}


def test_no_script_or_style_is_inline_or_from_another_site():
    for source in SOURCES:
        text = source.read_text(encoding="utf-8").replace('"http://www.w3.org/2000/svg"', "a name")
        if source.name == "age.js":
            text = text.partition("*/")[2]  # without the licences
        assert not re.search(r"https?://", text), source.name
        inline = r"<style|style=|<script(?![^>]*src=)|\son[a-z]+=|innerHTML|eval\("
        assert not re.search(inline, text), source.name
