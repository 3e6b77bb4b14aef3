"""Bech32 (BIP 173) as age uses it: a text has any length, and the case of its prefix."""

from __future__ import annotations

from recording.errors import KeyTextError

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM = 6
_PRINTABLE = frozenset(map(chr, range(33, 127)))


def encode(prefix: str, data: bytes) -> str:
    """Return the bech32 text of `data` with this prefix."""
    lower = prefix.lower()
    values = _regroup(data, 8, 5, pad=True)
    checksum = _polymod([*_expand(lower), *values, *([0] * _CHECKSUM)]) ^ 1
    values += [checksum >> 5 * (_CHECKSUM - 1 - place) & 31 for place in range(_CHECKSUM)]
    text = lower + "1" + "".join(_ALPHABET[value] for value in values)
    return text if prefix == lower else text.upper()


def decode(text: str) -> tuple[str, bytes]:
    """Return the prefix and the data of a bech32 text.

    Raises `KeyTextError` for mixed case, or a wrong character, checksum or padding.
    """
    if text not in {text.lower(), text.upper()}:
        raise KeyTextError("upper and lower case are mixed")
    prefix, separator, rest = text.rpartition("1")
    if not separator or not prefix or len(rest) < _CHECKSUM or not _PRINTABLE.issuperset(text):
        raise KeyTextError("this is not a key")
    try:
        values = [_VALUES[character] for character in rest.lower()]
    except KeyError:
        raise KeyTextError("a character is not allowed in a key") from None
    if _polymod([*_expand(prefix.lower()), *values]) != 1:
        raise KeyTextError("the checksum is wrong: a character was mistyped or is missing")
    return prefix, bytes(_regroup(values[:-_CHECKSUM], 5, 8, pad=False))


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _expand(prefix: str) -> list[int]:
    codes = [ord(character) for character in prefix]
    return [*(code >> 5 for code in codes), 0, *(code & 31 for code in codes)]


def _regroup(data: bytes | list[int], from_bits: int, to_bits: int, *, pad: bool) -> list[int]:
    """Divide the bits of `data` into groups of `to_bits` bits, and return the groups as numbers.

    With `pad`, zero bits complete the last group. Without it, `KeyTextError` is raised if the bits
    after the last complete group are not zero, or are `from_bits` or more.
    """
    groups: list[int] = []
    pending = bits = 0
    for value in data:
        pending = pending << from_bits | value
        bits += from_bits
        while bits >= to_bits:
            bits -= to_bits
            groups.append(pending >> bits & (1 << to_bits) - 1)
        pending &= (1 << bits) - 1
    if pad and bits:
        groups.append(pending << (to_bits - bits))
    elif not pad and (bits >= from_bits or pending):
        raise KeyTextError("the padding is wrong")
    return groups
