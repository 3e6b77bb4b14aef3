"""The number of examples that Hypothesis tries: half in scripts/test, a few in scripts/check."""

from __future__ import annotations

import os

TIER = os.environ.get("GALWAD_TESTS", "")
"""The tier: "quick" in scripts/check, "all" in `scripts/test --all`, otherwise empty."""
_SHARES = {"quick": 10, "": 2, "all": 1}
_LEAST = 5


def examples(count: int) -> int:
    """Return the number of examples for a property that tries `count` in a run of all tests."""
    return min(count, max(_LEAST, count // _SHARES[TIER]))
