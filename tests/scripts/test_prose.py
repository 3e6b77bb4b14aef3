"""`scripts/prose.py check` finds docstrings that say no more than the signature beside them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

empty = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "prose.py"))["empty"]


@pytest.mark.parametrize(
    "source",
    [
        'def _folder_of(call: Call):\n "Return the folder of a call."\n return call.folder',
        'def _read(path) -> Header:\n "Parse the headers of the path."\n return parse(path)',
        'class _Counters:\n "The counters."\n total = 0',
        'class _Box:\n def count(self):\n  "Count the boxes."\n  return 2',
        'def load():\n def parse(line):\n  "Parse one line."\n  return line',
        'def load(path):\n """Load it.\n\n Args:\n  path: The path.\n """\n return path',
    ],
)
def test_a_docstring_that_repeats_the_signature_is_found(source):
    (found,) = empty("a.py", source)
    assert "says no more than the signature" in found


@pytest.mark.parametrize(
    "source",
    [
        'def _folder(call):\n "Return the folder of a call, or None after its end."\n return x',
        'def _wait(time_s):\n "Wait for the time, without reading the clock."\n return 0',
        'def load(path):\n "Load the path."\n return path',
        'class Box:\n def __len__(self):\n  "Return the len."\n  return 2',
        'class _Error(Exception):\n "An error."',
        'def load(path):\n """Load.\n\n Args:\n  path: Not a link.\n """\n return path',
        "def _load(path):\n return path",
    ],
)
def test_a_docstring_with_new_words_or_one_that_is_required_is_not_found(source):
    assert list(empty("a.py", source)) == []
