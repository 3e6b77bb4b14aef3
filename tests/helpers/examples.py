"""The examples that Hypothesis tries, and the cases of a test, in each tier of tests."""

from __future__ import annotations

import os

import pytest

TIER = os.environ.get("GALWAD_TESTS", "")
"""The tier: "quick" in scripts/check, "all" in `scripts/test --all`, otherwise empty."""
_SHARES = {"quick": 10, "": 2, "all": 1}
_LEAST = 5


def examples(count: int) -> int:
    """Return the number of examples for a property that tries `count` in a run of all tests."""
    return min(count, max(_LEAST, count // _SHARES[TIER]))


def long_after(count, cases):
    """Return `cases` for `parametrize`; those after the first `count` are marked `long`."""
    cases = [case if isinstance(case, tuple) else (case,) for case in cases]
    marks = [()] * count + [pytest.mark.long] * (len(cases) - count)
    return [pytest.param(*case, marks=mark) for case, mark in zip(cases, marks, strict=True)]
