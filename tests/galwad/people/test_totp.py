"""One-time codes: the test vectors of RFC 4226 and RFC 6238, and the choice of the step."""

from __future__ import annotations

import re

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from galwad.people import totp

SECRET = b"12345678901234567890"
"""The secret of the test vectors (RFC 4226, appendix D; RFC 6238, appendix B, SHA-1)."""


@pytest.mark.parametrize(
    ("counter", "code"),
    [(0, "755224"), (1, "287082"), (2, "359152"), (3, "969429"), (4, "338314"), (9, "520489")],
)
def test_the_codes_of_rfc_4226_are_computed(counter, code):
    assert totp.code_of(SECRET, counter) == code


@pytest.mark.parametrize(
    ("now", "eight_digits"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_codes_of_rfc_6238_are_computed(now, eight_digits):
    assert totp.code_of(SECRET, totp.step_at(now)) == eight_digits[-6:]


@given(step=st.integers(2, 2**40), secret=st.binary(min_size=20, max_size=20))
def test_a_code_fits_its_own_step_and_one_on_either_side(step, secret):
    code, now = totp.code_of(secret, step), step * totp.STEP_S
    for other in (-1, 0, 1):
        near = now + other * totp.STEP_S
        assert totp.matching_step(secret, code, near) is not None
    assert totp.matching_step(secret, code, now) == step


@pytest.mark.parametrize("seconds", [-90, -60, 60, 90])
def test_a_code_of_two_steps_away_does_not_fit(seconds):
    now = 1_800_000_000
    code = totp.code_of(SECRET, totp.step_at(now + seconds))
    assert totp.matching_step(SECRET, code, now) is None
    assert totp.matching_step(SECRET, code, now, 3) == totp.step_at(now + seconds)


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "\uff12\uff18\uff17\uff10\uff18\uff12", "abcdef"]
)
def test_a_text_that_is_no_code_fits_no_step(code):
    assert totp.matching_step(SECRET, code, 59) is None


def test_the_address_of_a_setup_has_the_secret_in_base32_and_the_issuer():
    address = totp.setup_address(SECRET, "sian.b", "galwad.example")
    text = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert totp.text_of(SECRET) == text
    assert address == (f"otpauth://totp/Galwad:sian.b@galwad.example?secret={text}&issuer=Galwad")


def test_new_secrets_differ_and_have_160_bits():
    assert len({totp.new_secret() for _ in range(50)}) == 50
    assert len(totp.new_secret()) == 20


TEXT = "otpauth://totp/Galwad:sian@galwad.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


def test_the_path_of_the_qr_code_draws_exactly_its_dark_modules():
    size, path = totp.drawn(TEXT)
    dark = set()
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", path):
        dark |= {(int(x) + n, int(y)) for n in range(int(width))}
    matrix = segno.make_qr(TEXT, error="m").matrix
    assert dark == {
        (x + totp.QUIET, y + totp.QUIET)
        for y, row in enumerate(matrix)
        for x, module in enumerate(row)
        if module
    }
    assert re.fullmatch(r"(M\d+ \d+h\d+v1h-\d+z)+", path)
    assert size == len(matrix)
