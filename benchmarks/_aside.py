"""Makes Python search this folder last; import it before anything else.

This folder's `recording.py` measures the package `recording`, and must not be imported in its
place.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.sort(key=lambda place: Path(place).resolve() == HERE)
