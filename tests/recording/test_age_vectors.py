"""Files of the kinds that C2SP's testkit for age names, made here; three readers must agree.

What to expect is in the testkit's words: success, no match, HMAC failure, header failure, payload
failure. What we say is held against pyrage and the `age` program, which were written by others.
"""

import base64
import hashlib
import hmac
import io
import subprocess

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recording import age
from recording.age import Identity, Stanza, open_file
from recording.age_stream import CHUNK, payload_cipher
from recording.errors import AgeError, HeaderError, HeaderMacError, NoMatchError, PayloadError

SOME = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
FILE_KEY = b"YELLOW SUBMARINE"
NONCE = bytes(range(16))
ME, OTHER = Identity(hashlib.sha256(b"me").digest()), Identity(hashlib.sha256(b"other").digest())
TEXT = b"age"
VERSION = b"age-encryption.org/v1\n"
LOW_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)
SUCCESS, NO_MATCH, MAC = None, NoMatchError, HeaderMacError
HEADER, PAYLOAD = HeaderError, PayloadError
PYRAGE_TAKES = {"stanza_missing_body", "stanza_missing_final_line"}
"""As old versions of rage wrote them; the specification wants the last line."""
AGE_TAKES = {"scrypt_and_x25519"}
"""Given an X25519 identity it does not look; the specification wants the whole file refused."""


def b64(data):
    return base64.b64encode(data).rstrip(b"=")


def mine(file_key=FILE_KEY, identity=ME):
    return bytes(identity.recipient.wrap(file_key))


def mac_of(signed, file_key=FILE_KEY):
    key = hmac.digest(hmac.digest(bytes(32), file_key, "sha256"), b"header\x01", "sha256")
    return b64(hmac.digest(key, signed, "sha256"))


def header(*stanzas, end=b" %b\n", version=VERSION, file_key=FILE_KEY):
    """A header whose MAC is right, whatever is in it."""
    signed = version + b"".join(stanzas) + b"---"
    return signed + end % mac_of(signed, file_key)


def chunks(*parts, last=True):
    """A payload of these plaintexts, each a chunk, however long."""
    cipher = payload_cipher(FILE_KEY, NONCE)
    sealed = [
        cipher.encrypt(
            index.to_bytes(11, "big") + bytes([last and index == len(parts) - 1]), part, None
        )
        for index, part in enumerate(parts)
    ]
    return NONCE + b"".join(sealed)


def with_share(share, body=bytes(32)):
    return bytes(Stanza(("X25519", b64(share).decode()), body))


def sloppy(text):
    """The same octets in another spelling of base64: a spare bit set."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return text[:-1] + bytes([alphabet[alphabet.index(text[-1:]) | 1]])


def sloppy_share():
    stanza = mine()
    share = stanza.partition(b"\n")[0].rpartition(b" ")[2]
    return stanza.replace(share, sloppy(share), 1)


def sloppy_body():
    line, _, body = mine().rstrip(b"\n").partition(b"\n")
    return line + b"\n" + sloppy(body) + b"\n"


FULL = bytes(CHUNK)
GOOD = chunks(TEXT)
VECTORS = {
    "empty": (b"", HEADER),
    "x25519": (header(mine()) + GOOD, SUCCESS),
    "x25519_multiple_recipients": (header(mine(identity=OTHER), mine()) + GOOD, SUCCESS),
    "x25519_no_match": (header(mine(identity=OTHER)) + GOOD, NO_MATCH),
    "x25519_grease": (header(b"-> grease\n\n", mine(), b"-> g x\nQUJD\n") + GOOD, SUCCESS),
    "x25519_lowercase": (header(mine().replace(b"X25519", b"x25519")) + GOOD, NO_MATCH),
    "x25519_extra_argument": (
        header(mine().replace(b"\n", b" 1234\n", 1)) + GOOD,
        HEADER,
    ),
    "x25519_short_share": (header(with_share(bytes(range(31)))) + GOOD, HEADER),
    "x25519_long_share": (header(with_share(bytes(range(33)))) + GOOD, HEADER),
    "x25519_short_body": (header(with_share(bytes(range(32)), bytes(31))) + GOOD, HEADER),
    "x25519_long_file_key": (header(mine(bytes(17)), file_key=bytes(17)) + GOOD, HEADER),
    "x25519_not_canonical_share": (header(sloppy_share()) + GOOD, HEADER),
    "x25519_not_canonical_body": (header(sloppy_body()) + GOOD, HEADER),
    **{
        f"x25519_low_order_{index}": (header(with_share(bytes.fromhex(point))) + GOOD, HEADER)
        for index, point in enumerate(LOW_ORDER)
    },
    "hmac_bad": (header(mine())[:-44] + b"A" * 43 + b"\n" + GOOD, MAC),
    "hmac_extra_space": (header(mine(), end=b"  %b\n") + GOOD, HEADER),
    "hmac_trailing_space": (header(mine(), end=b" %b \n") + GOOD, HEADER),
    "hmac_no_space": (header(mine(), end=b"%b\n") + GOOD, HEADER),
    "hmac_missing": (header(mine(), end=b"\n%.0b") + GOOD, HEADER),
    "hmac_short": (header(mine(), end=b" %.40b\n") + GOOD, HEADER),
    "hmac_garbage": (header(mine(), end=b" %bAAA\n") + GOOD, HEADER),
    "hmac_not_canonical": (sloppy(header(mine())[:-1]) + b"\n" + GOOD, HEADER),
    "header_crlf": (header(mine()).replace(b"\n", b"\r\n") + GOOD, HEADER),
    "version_unsupported": (
        header(mine(), version=b"age-encryption.org/v1234\n") + GOOD,
        HEADER,
    ),
    "no_recipients": (header() + GOOD, HEADER),
    "stanza_bad_start": (header(b"--> grease\n\n", mine()) + GOOD, HEADER),
    "stanza_no_space": (header(b"->grease\n\n", mine()) + GOOD, HEADER),
    "stanza_base64_padding": (header(b"-> grease\nQUI=\n", mine()) + GOOD, HEADER),
    "stanza_not_canonical": (header(b"-> grease\nQUJ\n", mine()) + GOOD, HEADER),
    "stanza_empty_argument": (header(b"-> grease  x\n\n", mine()) + GOOD, HEADER),
    "stanza_no_arguments": (header(b"->\n\n", mine()) + GOOD, HEADER),
    "stanza_invalid_character": (header("-> è\n\n".encode(), mine()) + GOOD, HEADER),
    "stanza_valid_characters": (
        header(b"-> " + bytes(range(33, 127)) + b"\n\n", mine()) + GOOD,
        SUCCESS,
    ),
    "stanza_long_line": (header(b"-> g\n" + b"A" * 68 + b"\n\n", mine()) + GOOD, HEADER),
    "stanza_missing_body": (header(b"-> grease\n", mine()) + GOOD, HEADER),
    "stanza_missing_final_line": (
        header(b"-> g\n" + b"A" * 64 + b"\n", mine()) + GOOD,
        HEADER,
    ),
    "stanza_empty_last_line": (
        header(b"-> g\n" + b"A" * 64 + b"\n\n", mine()) + GOOD,
        SUCCESS,
    ),
    "stanza_multiple_short_lines": (header(b"-> g\nAAAA\nAAAA\n", mine()) + GOOD, HEADER),
    "stanza_spurious_cr": (header(b"-> g\nAAAA\r\n", mine()) + GOOD, HEADER),
    "scrypt_and_x25519": (
        header(b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10\n" + b64(bytes(32)) + b"\n", mine()) + GOOD,
        HEADER,
    ),
    "stream_empty_payload": (header(mine()) + chunks(b""), SUCCESS),
    "stream_no_nonce": (header(mine()), HEADER),
    "stream_short_nonce": (header(mine()) + NONCE[:12], HEADER),
    "stream_no_chunks": (header(mine()) + NONCE, PAYLOAD),
    "stream_short_tag": (header(mine()) + GOOD[:-1], PAYLOAD),
    "stream_no_tag": (header(mine()) + NONCE + b"age", PAYLOAD),
    "stream_bad_tag": (header(mine()) + GOOD[:-1] + bytes([GOOD[-1] ^ 1]), PAYLOAD),
    "stream_no_final": (header(mine()) + chunks(TEXT, last=False), PAYLOAD),
    "stream_no_final_full": (header(mine()) + chunks(FULL, last=False), PAYLOAD),
    "stream_two_chunks": (header(mine()) + chunks(FULL, TEXT), SUCCESS),
    "stream_three_chunks": (header(mine()) + chunks(FULL, FULL, TEXT), SUCCESS),
    "stream_last_chunk_full": (header(mine()) + chunks(FULL), SUCCESS),
    "stream_last_chunk_full_second": (header(mine()) + chunks(FULL, FULL), SUCCESS),
    "stream_last_chunk_empty": (header(mine()) + chunks(FULL, b""), PAYLOAD),
    "stream_no_final_two_chunks": (header(mine()) + chunks(FULL, TEXT, last=False), PAYLOAD),
    "stream_two_final_chunks": (
        header(mine()) + chunks(FULL) + chunks(FULL, TEXT)[16 + CHUNK + 16 :],
        PAYLOAD,
    ),
    "stream_short_chunk": (header(mine()) + chunks(FULL[:-1], TEXT), PAYLOAD),
    "stream_trailing_garbage_short": (header(mine()) + chunks(FULL) + b"garbage", PAYLOAD),
    "stream_trailing_garbage_long": (header(mine()) + chunks(FULL) + bytes(64), PAYLOAD),
}


def opened(data):
    """What we find inside; raises `AgeError`."""
    return open_file(io.BytesIO(data), [ME]).readall()


def by_pyrage(data):
    """What pyrage finds inside; None if it refuses."""
    try:
        return pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(str(ME))])
    except pyrage.DecryptError:
        return None


@pytest.mark.parametrize("name", VECTORS)
def test_each_vector_is_taken_or_refused_for_its_own_reason(name):
    data, fault = VECTORS[name]
    if fault is None:
        assert opened(data) == by_pyrage(data) is not None
        return
    with pytest.raises(AgeError) as caught:
        opened(data)
    assert isinstance(caught.value, fault)
    assert (fault is MAC) == isinstance(caught.value, HeaderMacError)


REFUSED = sorted(name for name, (_, fault) in VECTORS.items() if fault is not SUCCESS)


@pytest.mark.parametrize("name", REFUSED)
def test_pyrage_refuses_what_we_refuse(name):
    assert (by_pyrage(VECTORS[name][0]) is None) == (name not in PYRAGE_TAKES)


@pytest.mark.peer
@pytest.mark.parametrize("name", VECTORS)
def test_stock_age_says_the_same(tmp_path, name):
    data, fault = VECTORS[name]
    (tmp_path / "me.txt").write_text(f"{ME}\n")
    command = ["age", "-d", "-i", tmp_path / "me.txt"]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert (done.returncode == 0) == (fault is SUCCESS or name in AGE_TAKES), done.stderr
    if fault is SUCCESS:
        assert done.stdout == opened(data)


@given(
    name=st.sampled_from(["x25519", "x25519_grease", "stream_two_chunks", "stream_empty_payload"]),
    change=st.data(),
)
@SOME
def test_whatever_is_changed_we_and_pyrage_say_the_same(name, change):
    whole = VECTORS[name][0]
    at = change.draw(st.integers(0, min(len(whole), 700)))
    length = change.draw(st.integers(0, 3))
    data = whole[:at] + change.draw(st.binary(max_size=3)) + whole[at + length :]
    try:
        found = opened(data)
    except AgeError:
        found = None
    assert found == by_pyrage(data)


def test_what_is_sealed_here_differs_each_time():
    assert age.make_header(FILE_KEY, [ME.recipient]) != age.make_header(FILE_KEY, [ME.recipient])
