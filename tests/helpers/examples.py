"""The number of examples that Hypothesis tries: all in scripts/test, a few in the quick loop."""

from __future__ import annotations

import os

QUICK = os.environ.get("GALWAD_TESTS") == "quick"
"""Set by scripts/check, which runs while somebody waits."""
_QUICK_SHARE = 10
_LEAST = 5


def examples(count: int) -> int:
    """Return the number of examples for a property that tries `count` in a whole run."""
    return min(count, max(_LEAST, count // _QUICK_SHARE)) if QUICK else count
