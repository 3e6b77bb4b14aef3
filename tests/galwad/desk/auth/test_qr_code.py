"""The QR code for authenticator apps as the path of an SVG image."""

from __future__ import annotations

import re

import segno

from galwad.desk.auth.qr_code import QUIET, drawn

TEXT = "otpauth://totp/Galwad:sian@galwad.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


def test_the_path_draws_exactly_the_dark_modules_inside_the_quiet_zone():
    size, path = drawn(TEXT)
    dark = set()
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", path):
        dark |= {(int(x) + n, int(y)) for n in range(int(width))}
    matrix = segno.make_qr(TEXT, error="m").matrix
    assert dark == {
        (x + QUIET, y + QUIET)
        for y, row in enumerate(matrix)
        for x, module in enumerate(row)
        if module
    }
    assert re.fullmatch(r"(M\d+ \d+h\d+v1h-\d+z)+", path)
    assert size == len(matrix)
