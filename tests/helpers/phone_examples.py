"""The examples of docs/phone.md, each to be run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/phone.md"

_BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
PROGRAM, IMPORTS, *_FUNCTIONS = _BLOCKS


def _name_of(block):
    found = re.search(r"^(?:async )?def (\w+)", block, re.MULTILINE)
    assert found, block
    return found[1]


FUNCTIONS = {_name_of(block): block for block in _FUNCTIONS}


def example(name):
    """The function of this name on the page, after the page's imports."""
    names: dict[str, Any] = {}
    exec(compile(IMPORTS + FUNCTIONS[name], str(PAGE), "exec"), names)
    return names[name]


def used(*files):
    """The names that these tests run."""
    return {name for file in files for name in re.findall(r'example\("(\w+)"\)', file.read_text())}
