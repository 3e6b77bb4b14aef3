"""Files of the kinds in C2SP's testkit for age, made here; three readers must agree.

Each fault has an error of its own. pyrage and the `age` program, which have other authors, must
refuse the same files.

Covers `recording/age/header.py` and `recording/age/stream.py`.
"""

import io
import os
import shutil

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.age_files import (
    FILE_KEY,
    ME,
    NONCE,
    OTHER,
    SUCCESS,
    b64,
    by_pyrage,
    by_stock_age,
    chunks,
    header,
    mine,
    run_stock_age,
    sloppy,
    with_share,
)
from recording.age.file import open_file
from recording.age.header import make_header
from recording.age.stream import CHUNK
from recording.errors import (
    AgeError,
    BadTagError,
    Base64Error,
    EmptyLastChunkError,
    HeaderError,
    HeaderMacError,
    HeaderTruncatedError,
    LowOrderError,
    NoMatchError,
    StanzaError,
    TrailingDataError,
    TruncatedError,
    VersionError,
)

SOME = settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
TEXT = b"age"
LOW_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)
PYRAGE_TAKES = {"stanza_missing_body", "stanza_missing_final_line"}
"""Old versions of rage wrote them; the specification requires the last line."""


def sloppy_share():
    stanza = mine()
    share = stanza.partition(b"\n")[0].rpartition(b" ")[2]
    return stanza.replace(share, sloppy(share), 1)


def sloppy_body():
    line, _, body = mine().rstrip(b"\n").partition(b"\n")
    return line + b"\n" + sloppy(body) + b"\n"


def changed_body():
    stanza = mine()
    return stanza[:-2] + (b"E" if stanza[-2:-1] == b"A" else b"A") + b"\n"


FULL = bytes(CHUNK)
GOOD = chunks(TEXT)
VECTORS = {
    "empty": (b"", HeaderTruncatedError),
    "x25519": (header(mine()) + GOOD, SUCCESS),
    "x25519_multiple_recipients": (header(mine(identity=OTHER), mine()) + GOOD, SUCCESS),
    "x25519_no_match": (header(mine(identity=OTHER)) + GOOD, NoMatchError),
    "x25519_bad_tag": (header(changed_body()) + GOOD, NoMatchError),
    "x25519_grease": (header(b"-> grease\n\n", mine(), b"-> g x\nQUJD\n") + GOOD, SUCCESS),
    "x25519_lowercase": (header(mine().replace(b"X25519", b"x25519")) + GOOD, NoMatchError),
    "x25519_extra_argument": (
        header(mine().replace(b"\n", b" 1234\n", 1)) + GOOD,
        StanzaError,
    ),
    "x25519_no_argument": (header(b"-> X25519\n" + b64(bytes(32)) + b"\n") + GOOD, StanzaError),
    "x25519_short_share": (header(with_share(bytes(range(31)))) + GOOD, StanzaError),
    "x25519_long_share": (header(with_share(bytes(range(33)))) + GOOD, StanzaError),
    "x25519_short_body": (header(with_share(bytes(range(32)), bytes(31))) + GOOD, StanzaError),
    "x25519_long_file_key": (header(mine(bytes(17)), file_key=bytes(17)) + GOOD, StanzaError),
    "x25519_not_canonical_share": (header(sloppy_share()) + GOOD, Base64Error),
    "x25519_not_canonical_body": (header(sloppy_body()) + GOOD, Base64Error),
    **{
        f"x25519_low_order_{index}": (
            header(with_share(bytes.fromhex(point))) + GOOD,
            LowOrderError,
        )
        for index, point in enumerate(LOW_ORDER)
    },
    "hmac_bad": (header(mine())[:-44] + b"A" * 43 + b"\n" + GOOD, HeaderMacError),
    "hmac_extra_space": (header(mine(), end=b"  %b\n") + GOOD, Base64Error),
    "hmac_trailing_space": (header(mine(), end=b" %b \n") + GOOD, Base64Error),
    "hmac_no_space": (header(mine(), end=b"%b\n") + GOOD, HeaderError),
    "hmac_missing": (header(mine(), end=b"\n%.0b") + GOOD, HeaderError),
    "hmac_short": (header(mine(), end=b" %.40b\n") + GOOD, HeaderError),
    "hmac_garbage": (header(mine(), end=b" %bAAA\n") + GOOD, HeaderError),
    "hmac_not_canonical": (sloppy(header(mine())[:-1]) + b"\n" + GOOD, Base64Error),
    "header_crlf": (header(mine()).replace(b"\n", b"\r\n") + GOOD, VersionError),
    "header_no_end": (header(mine())[:-1], HeaderTruncatedError),
    "header_no_mac": (header(mine())[:-48], HeaderTruncatedError),
    "version_unsupported": (
        header(mine(), version=b"age-encryption.org/v1234\n") + GOOD,
        VersionError,
    ),
    "no_recipients": (header() + GOOD, StanzaError),
    "stanza_bad_start": (header(b"--> grease\n\n", mine()) + GOOD, StanzaError),
    "stanza_no_space": (header(b"->grease\n\n", mine()) + GOOD, StanzaError),
    "stanza_base64_padding": (header(b"-> grease\nQUI=\n", mine()) + GOOD, Base64Error),
    "stanza_not_canonical": (header(b"-> grease\nQUJ\n", mine()) + GOOD, Base64Error),
    "stanza_empty_argument": (header(b"-> grease  x\n\n", mine()) + GOOD, StanzaError),
    "stanza_no_arguments": (header(b"->\n\n", mine()) + GOOD, StanzaError),
    "stanza_invalid_character": (header("-> è\n\n".encode(), mine()) + GOOD, StanzaError),
    "stanza_valid_characters": (
        header(b"-> " + bytes(range(33, 127)) + b"\n\n", mine()) + GOOD,
        SUCCESS,
    ),
    "stanza_long_line": (header(b"-> g\n" + b"A" * 68 + b"\n\n", mine()) + GOOD, StanzaError),
    "stanza_missing_body": (header(b"-> grease\n", mine()) + GOOD, Base64Error),
    "stanza_missing_final_line": (
        header(b"-> g\n" + b"A" * 64 + b"\n", mine()) + GOOD,
        Base64Error,
    ),
    "stanza_empty_last_line": (
        header(b"-> g\n" + b"A" * 64 + b"\n\n", mine()) + GOOD,
        SUCCESS,
    ),
    "stanza_multiple_short_lines": (header(b"-> g\nAAAA\nAAAA\n", mine()) + GOOD, StanzaError),
    "stanza_spurious_cr": (header(b"-> g\nAAAA\r\n", mine()) + GOOD, Base64Error),
    "stream_empty_payload": (header(mine()) + chunks(b""), SUCCESS),
    "stream_no_nonce": (header(mine()), HeaderTruncatedError),
    "stream_short_nonce": (header(mine()) + NONCE[:12], HeaderTruncatedError),
    "stream_no_chunks": (header(mine()) + NONCE, TruncatedError),
    "stream_short_tag": (header(mine()) + GOOD[:-1], BadTagError),
    "stream_no_tag": (header(mine()) + NONCE + b"age", TruncatedError),
    "stream_bad_tag": (header(mine()) + GOOD[:-1] + bytes([GOOD[-1] ^ 1]), BadTagError),
    "stream_no_final": (header(mine()) + chunks(TEXT, last=False), TruncatedError),
    "stream_no_final_full": (header(mine()) + chunks(FULL, last=False), TruncatedError),
    "stream_two_chunks": (header(mine()) + chunks(FULL, TEXT), SUCCESS),
    "stream_three_chunks": (header(mine()) + chunks(FULL, FULL, TEXT), SUCCESS),
    "stream_last_chunk_full": (header(mine()) + chunks(FULL), SUCCESS),
    "stream_last_chunk_full_second": (header(mine()) + chunks(FULL, FULL), SUCCESS),
    "stream_last_chunk_empty": (header(mine()) + chunks(FULL, b""), EmptyLastChunkError),
    "stream_no_final_two_chunks": (
        header(mine()) + chunks(FULL, TEXT, last=False),
        TruncatedError,
    ),
    "stream_two_final_chunks": (
        header(mine()) + chunks(FULL) + chunks(FULL, TEXT)[16 + CHUNK + 16 :],
        TrailingDataError,
    ),
    "stream_short_chunk": (header(mine()) + chunks(FULL[:-1], TEXT), BadTagError),
    "stream_trailing_garbage_short": (
        header(mine()) + chunks(FULL) + b"garbage",
        TrailingDataError,
    ),
    "stream_trailing_garbage_long": (header(mine()) + chunks(FULL) + bytes(64), TrailingDataError),
}


def opened(data):
    """Return the plaintext that we read; raise `AgeError` if there is a fault."""
    return open_file(io.BytesIO(data), [ME]).readall()


@pytest.mark.parametrize("name", VECTORS)
def test_each_vector_is_opened_or_refused_with_its_own_error(name):
    data, fault = VECTORS[name]
    if fault is SUCCESS:
        assert opened(data) == by_pyrage(data) is not None
        return
    with pytest.raises(AgeError) as caught:
        opened(data)
    assert type(caught.value) is fault


REFUSED = sorted(name for name, (_, fault) in VECTORS.items() if fault is not SUCCESS)


@pytest.mark.parametrize("name", REFUSED)
def test_pyrage_refuses_each_refused_vector_but_the_known_exceptions(name):
    assert (by_pyrage(VECTORS[name][0]) is None) == (name not in PYRAGE_TAKES)


@pytest.mark.peer
@pytest.mark.parametrize("name", VECTORS)
def test_the_age_program_agrees_on_each_vector(tmp_path, name):
    data, fault = VECTORS[name]
    assert by_stock_age(data, tmp_path) == (opened(data) if fault is SUCCESS else None)


STREAMS = sorted(name for name in REFUSED if name.startswith("stream"))


@pytest.mark.peer
@pytest.mark.parametrize("name", STREAMS)
def test_galwad_pyrage_and_age_return_the_same_chunks_before_a_fault(tmp_path, name):
    data = VECTORS[name][0]
    ours, theirs = io.BytesIO(), io.BytesIO()
    with pytest.raises(AgeError):
        shutil.copyfileobj(open_file(io.BytesIO(data), [ME]), ours)
    with pytest.raises((pyrage.DecryptError, OSError)):
        pyrage.decrypt_io(io.BytesIO(data), theirs, [pyrage.x25519.Identity.from_str(str(ME))])
    stock = run_stock_age(data, tmp_path)
    assert stock.returncode == 1
    assert ours.getvalue() == theirs.getvalue() == stock.stdout


@pytest.mark.parametrize("name", sorted(set(STREAMS) - {"stream_two_final_chunks"}))
def test_no_length_is_returned_for_a_payload_with_a_faulty_end(name):
    """Seeking to the end checks the last chunk; only reading finds an earlier final chunk."""
    with pytest.raises(AgeError):
        open_file(io.BytesIO(VECTORS[name][0]), [ME]).seek(0, os.SEEK_END)


@given(
    name=st.sampled_from(["x25519", "x25519_grease", "stream_two_chunks", "stream_empty_payload"]),
    change=st.data(),
)
@SOME
def test_galwad_and_pyrage_agree_on_any_changed_file(name, change):
    whole = VECTORS[name][0]
    at = change.draw(st.integers(0, min(len(whole), 700)))
    length = change.draw(st.integers(0, 3))
    data = whole[:at] + change.draw(st.binary(max_size=3)) + whole[at + length :]
    try:
        found = opened(data)
    except AgeError:
        found = None
    assert found == by_pyrage(data)


def test_two_headers_for_the_same_key_and_recipient_differ():
    assert make_header(FILE_KEY, [ME.recipient]) != make_header(FILE_KEY, [ME.recipient])
