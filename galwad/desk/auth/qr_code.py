"""QR codes for authenticator apps, as the path of an SVG image."""

from __future__ import annotations

from itertools import groupby
from typing import Final

import segno

QUIET: Final = 4
"""The width of the empty border that a reader needs, in modules (ISO/IEC 18004)."""


def drawn(text: str) -> tuple[int, str]:
    """Return the width of the QR code of a text, in modules, and the path of its dark modules.

    The width has no border. The path begins at `QUIET`, so that there is room for the border.
    """
    matrix = segno.make_qr(text, error="m").matrix
    parts = []
    for y, row in enumerate(matrix):
        x = 0
        for dark, run in groupby(row):
            width = len(list(run))
            if dark:
                parts.append(f"M{x + QUIET} {y + QUIET}h{width}v1h-{width}z")
            x += width
    return len(matrix), "".join(parts)
