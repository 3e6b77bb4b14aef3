"""The texts in Welsh and English for the command line, and the HTML pages that it writes.

The texts are those of the page: the files `en.json` and `cy.json` in `galwad/page/locale`. A text
may have placeholders, such as `{name}`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Final

LANGUAGES: Final = ("en", "cy")
_VARIABLES: Final = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
_HOUR_S: Final = 3600
_MINUTE_S: Final = 60
_TWO: Final = 2


class Texts:
    """The texts in one language."""

    def __init__(self, language: str) -> None:
        """Load the texts. `language` is one of `LANGUAGES`."""
        file = files("galwad.page") / "locale" / f"{language}.json"
        self.language = language
        self._texts: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))

    def __contains__(self, key: str) -> bool:
        return key in self._texts

    def text(self, key: str, **values: str | int) -> str:
        """Return a text with `values` in its placeholders; KeyError if text or value is missing."""
        return self._texts[key].format_map(values)

    def duration(self, us: int) -> str:
        """Return a duration of `us` microseconds as text, such as "1 min 20 s" or "0.4 s".

        Durations below ten seconds are given to the tenth, longer ones in whole seconds. A duration
        that is not 0, but would be rounded to 0.0 s, is "less than 0.1 s".
        """
        tenths = round(us / 100_000)
        if 0 < tenths < 100 and tenths % 10:
            return self.text("duration.seconds", count=f"{tenths / 10:.1f}")
        if us > 0 and tenths == 0:
            return self.text("duration.moment")
        whole = round(us / 1_000_000)
        hours, rest = divmod(whole, _HOUR_S)
        minutes, seconds = divmod(rest, _MINUTE_S)
        parts = [self.text("duration.hours", count=hours)] if hours else []
        if minutes:
            # In Welsh, the word for "minute" changes its first letter after the number two.
            key = "duration.two_minutes" if minutes == _TWO else "duration.minutes"
            parts.append(self.text(key, count=minutes))
        if seconds or not parts:
            parts.append(self.text("duration.seconds", count=seconds))
        return " ".join(parts)


def html_page(language: str, title: str, style: str, content: str) -> str:
    """Return an HTML document for printing, which has no scripts and loads nothing.

    `style` is CSS, and `content` is the HTML below the heading. The title is escaped here.
    """
    heading = escape(title)
    return f"""\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{heading}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
{content}</main>
</body>
</html>
"""


def preferred_language(environment: Mapping[str, str] | None = None) -> str:
    """Return "cy" if the first variable of `_VARIABLES` that is set asks for Welsh, else "en"."""
    known = os.environ if environment is None else environment
    first = next((known[name] for name in _VARIABLES if known.get(name)), "")
    return "cy" if first.lower().startswith("cy") else "en"
