"""Bech32: the vectors of BIP 173, without its limit of 90 characters, which age does not have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recording.age import bech32
from recording.errors import KeyTextError

LONG = "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio"


@pytest.mark.parametrize(
    ("text", "prefix", "data"),
    [
        ("A12UEL5L", "A", b""),
        ("a12uel5l", "a", b""),
        (f"{LONG}1tt5tgs", LONG, b""),
        (
            "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
            "abcdef",
            bytes.fromhex("00443214c74254b635cf84653a56d7c675be77df"),
        ),
        ("1" * 2 + "q" * 82 + "c8247j", "1", bytes(51)),
        (
            "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
            "split",
            bytes.fromhex("c5f38b70305f519bf66d85fb6cf03058f3dde463ecd7918f2dc743918f2d"),
        ),
        ("?1ezyfcl", "?", b""),
    ],
)
def test_valid_vectors_of_bip_173_are_decoded(text, prefix, data):
    assert bech32.decode(text) == (prefix, data)
    assert bech32.encode(prefix, data) == text


@pytest.mark.parametrize(
    "text",
    [
        "\x201nwldj5",
        "\x7f1axkwrx",
        "\x801eym55h",
        "pzry9x0s0muk",
        "1pzry9x0s0muk",
        "x1b4n0q5v",
        "li1dgmt3",
        "de1lg7wt\xff",
        "A1G7SGD8",
        "10a06t8",
        "1qzzfhee",
        "A12uEL5L",
        "",
    ],
)
def test_invalid_vectors_of_bip_173_are_refused(text):
    with pytest.raises(KeyTextError):
        bech32.decode(text)


@given(
    prefix=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1).map(str.lower),
    data=st.binary(max_size=80),
)
def test_any_data_round_trips_in_lower_and_upper_case(prefix, data):
    text = bech32.encode(prefix, data)
    assert bech32.decode(text) == (prefix, data)
    assert bech32.decode(text.upper()) == (prefix.upper(), data)


@given(data=st.binary(min_size=1, max_size=40), place=st.integers(0), other=st.integers(1, 31))
def test_one_wrong_character_is_always_detected(data, place, other):
    text = bech32.encode("age", data)
    at = 4 + place % (len(text) - 4)
    alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    wrong = alphabet[(alphabet.index(text[at]) + other) % 32]
    with pytest.raises(KeyTextError):
        bech32.decode(text[:at] + wrong + text[at + 1 :])


@pytest.mark.parametrize("values", [[31], [0], [1, 1]])
def test_padding_that_is_non_zero_or_too_long_is_refused(values):
    checksum = bech32._polymod([*bech32._expand("a"), *values, *([0] * 6)]) ^ 1
    values = [*values, *(checksum >> 5 * (5 - place) & 31 for place in range(6))]
    with pytest.raises(KeyTextError, match="padding"):
        bech32.decode("a1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[value] for value in values))
