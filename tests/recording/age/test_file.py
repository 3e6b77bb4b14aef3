"""age v1 files: keys as text, header and payload as two objects, an error for each fault.

Other implementations are in `test_peers.py`; files like the published vectors are in
`test_vectors.py`, `test_passphrase.py` and `test_armor.py`.

Covers `recording/age/header.py`, `recording/age/stream.py` and `recording/errors.py`.
"""

import contextlib
import io
import os
import tracemalloc
from pathlib import Path

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.age_files import header
from recording.age import file as age
from recording.age.file import Identity, Recipient
from recording.age.header import Header, make_header
from recording.age.stream import CHUNK, PayloadReader, PayloadWriter, payload_cipher
from recording.errors import (
    AgeError,
    BadTagError,
    Base64Error,
    EmptyLastChunkError,
    HeaderError,
    HeaderMacError,
    HeaderTruncatedError,
    KeyTextError,
    NoMatchError,
    PayloadError,
    StanzaError,
    TrailingDataError,
    TruncatedError,
    VersionError,
)

SIZES = st.sampled_from([0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7])
FEW = settings(max_examples=examples(12), deadline=None, suppress_health_check=list(HealthCheck))


def seal(path: Path, data: bytes, recipients: list[Recipient]) -> bytes:
    """Write the payload to `path`, and return the joined file."""
    file_key = age.new_file_key()
    with path.open("wb") as file, PayloadWriter(file.fileno(), file_key) as writer:
        writer.write(data)
    return make_header(file_key, recipients) + path.read_bytes()


@pytest.fixture
def identity() -> Identity:
    return Identity.generate()


@given(key=st.binary(min_size=32, max_size=32))
def test_recipients_and_identities_round_trip_as_text(key):
    assert Recipient.parse(str(Recipient(key))) == Recipient(key)
    assert Identity.parse(str(Identity(key))) == Identity(key)


def test_the_recipient_of_an_identity_is_the_one_that_pyrage_computes(identity):
    assert str(identity.recipient) == str(
        pyrage.x25519.Identity.from_str(str(identity)).to_public()
    )
    assert str(identity) not in repr(identity)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "age1",
        "age1qqqqqqqq",
        "AGE-SECRET-KEY-1QQQQ",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8x",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8P",
        "é1qqqqqqqqqq",
    ],
)
def test_a_mistyped_recipient_is_refused(text):
    with pytest.raises(KeyTextError):
        Recipient.parse(text)


@given(
    writes=st.lists(st.tuples(st.integers(0, CHUNK - 1), st.binary(max_size=40)), max_size=8),
    size=SIZES,
    block=st.sampled_from([1000, CHUNK, CHUNK + 3]),
)
@FEW
def test_the_first_chunk_can_be_rewritten_until_the_payload_is_closed(
    tmp_path, writes, size, block
):
    expected = bytearray(os.urandom(size))
    file_key = age.new_file_key()
    with (tmp_path / "p").open("wb") as file, PayloadWriter(file.fileno(), file_key) as writer:
        for at in range(0, size, block):
            writer.write(bytes(expected[at : at + block]))
        for at, text in writes:
            if at + len(text) <= min(size, CHUNK):
                writer.seek(at)
                writer.write(text)
                expected[at : at + len(text)] = text
    with (tmp_path / "p").open("rb") as payload:
        assert PayloadReader(payload, file_key).readall() == expected


def test_a_payload_follows_its_header_in_the_same_file(tmp_path, identity):
    file_key = age.new_file_key()
    header = make_header(file_key, [identity.recipient])
    with (tmp_path / "p").open("wb") as file:
        file.write(header)
        file.flush()
        with PayloadWriter(file.fileno(), file_key, len(header)) as writer:
            writer.write(bytes(CHUNK) + b"end")
    assert age.decrypt_small((tmp_path / "p").read_bytes(), [identity]) == bytes(CHUNK) + b"end"


def test_an_error_while_a_payload_is_written_leaves_no_file_that_opens(tmp_path):
    file_key = age.new_file_key()
    with (tmp_path / "p").open("wb") as file:
        writer = PayloadWriter(file.fileno(), file_key)
        with contextlib.suppress(RuntimeError), writer:
            writer.write(b"half of it")
            raise RuntimeError
        with pytest.raises(ValueError, match="closed"):
            writer.write(b"more")
    with (tmp_path / "p").open("rb") as payload, pytest.raises(PayloadError):
        PayloadReader(payload, file_key).readall()


def test_a_write_to_an_encrypted_chunk_is_refused(tmp_path):
    with (tmp_path / "p").open("wb") as file:
        writer = PayloadWriter(file.fileno(), age.new_file_key())
        writer.write(bytes(3 * CHUNK))
        writer.seek(CHUNK + 5)
        with pytest.raises(PayloadError):
            writer.write(b"x")
        writer.seek(4 * CHUNK)
        assert writer.tell() == 4 * CHUNK
        with pytest.raises(PayloadError):
            writer.write(b"x")
        assert writer.writable()
        assert writer.seekable()
        writer.close()
        writer.close()


@pytest.fixture
def memory():
    """A function that returns the peak of Python's memory, in octets, since its last call."""
    tracemalloc.start()

    def most() -> int:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        return peak

    yield most
    tracemalloc.stop()


def test_writing_ten_hours_takes_no_more_memory_than_a_minute(memory):
    """The rate is 18 kB a second, as for two parties' speech in FLAC; chunk 0 is sealed last."""
    block, peaks = os.urandom(180_000), []
    with Path("/dev/null").open("wb") as nowhere:
        for blocks in (6, 3600):
            writer = PayloadWriter(nowhere.fileno(), age.new_file_key())
            memory()
            for _ in range(blocks):
                writer.write(block)
            writer.close()
            peaks.append(memory())
    assert peaks[1] < peaks[0] + 4096
    assert peaks[1] < 10 * CHUNK


def test_a_reader_of_a_long_payload_keeps_less_than_ten_chunks_in_memory(tmp_path, memory):
    file_key, content = age.new_file_key(), os.urandom(CHUNK)
    with (tmp_path / "p").open("wb") as file, PayloadWriter(file.fileno(), file_key) as writer:
        for _ in range(200):
            writer.write(content)
    with (tmp_path / "p").open("rb") as payload:
        reader = PayloadReader(payload, file_key)
        memory()
        assert all(reader.read(CHUNK) == content for _ in range(200))
        assert reader.read(1) == b""
        assert memory() < 10 * CHUNK


def test_an_unfinished_payload_does_not_open_even_with_its_key(tmp_path):
    file_key = age.new_file_key()
    with (tmp_path / "p").open("wb") as file:
        writer = PayloadWriter(file.fileno(), file_key)
        writer.write(os.urandom(5 * CHUNK))
        del writer
    with (tmp_path / "p").open("rb") as payload, pytest.raises(BadTagError, match="chunk 0"):
        PayloadReader(payload, file_key).read(1)


def test_a_reader_seeks_to_any_position(tmp_path, identity):
    content = os.urandom(2 * CHUNK + 1000)
    reader = age.open_file(
        io.BytesIO(seal(tmp_path / "p", content, [identity.recipient])), [identity]
    )
    assert reader.seek(-10, os.SEEK_END) == len(content) - 10
    assert reader.read(100) == content[-10:]
    reader.seek(CHUNK - 5)
    assert io.BufferedReader(reader).read(10) == content[CHUNK - 5 : CHUNK + 5]
    with pytest.raises(ValueError, match="before the start"):
        reader.seek(-1)


def test_a_payload_opens_with_a_replaced_header_for_another_recipient(tmp_path, identity):
    other = Identity.generate()
    joined = seal(tmp_path / "p", b"speech", [identity.recipient])
    header = joined[: -(tmp_path / "p").stat().st_size]
    new = make_header(age.open_header(header, [identity]), [other.recipient])
    with (tmp_path / "p").open("rb") as payload:
        assert age.open_parts(new, payload, [other]).readall() == b"speech"
        with pytest.raises(NoMatchError):
            age.open_parts(new, payload, [identity])


def test_a_small_content_round_trips_and_a_large_one_is_refused(identity):
    sealed = age.encrypt_small(b"spool key", [identity.recipient])
    assert age.decrypt_small(sealed, [identity]) == b"spool key"
    with pytest.raises(AgeError, match="never be opened"):
        age.encrypt_small(b"", [])
    with pytest.raises(AgeError, match="the data is longer than"):
        age.encrypt_small(bytes(CHUNK + 1), [identity.recipient])


def good_header(identity: Identity) -> bytes:
    return header(bytes(identity.recipient.wrap(bytes(16))), file_key=bytes(16))


def test_a_header_made_by_hand_is_accepted(identity):
    assert Header.parse(good_header(identity)).unwrap([identity]) == bytes(16)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b"org/v1", b"org/v2", VersionError),
        (b"\n-> X", b"\r\n-> X", VersionError),
        (b"-> X25519 ", b"-> X25519  ", StanzaError),
        (b"-> X25519 ", b"->X25519 ", StanzaError),
        (b"-> X25519 ", b"-> X25519\x7f ", StanzaError),
        (b"-> X25519 ", b"-> X25519 extra ", StanzaError),
        (b"-> X25519 ", b"-> \n\n-> X25519 ", StanzaError),
        (b"-> X25519 ", b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10\nAAAA\n-> X25519 ", StanzaError),
        (b"-> X25519 ", b"-> scrypt\nAAAA\n-> X25519 ", StanzaError),
        (b"-> X25519 ", b"-> grease\nAAA=\n-> X25519 ", Base64Error),
        (b"-> X25519 ", b"-> grease\nAB\n-> X25519 ", Base64Error),
        (b"-> X25519 ", b"-> grease\n" + b"A" * 64 + b"\n-> X25519 ", Base64Error),
        (b"-> X25519 ", b"-> grease\n" + b"A" * 68 + b"\n-> X25519 ", StanzaError),
        (b"-> X25519 ", b"-> grease\n" + b"A" * 64 + b"\n\n-> X25519 ", HeaderMacError),
        (b"-> X25519 ", b"-> grease some thing\nAAAA\n-> X25519 ", HeaderMacError),
        (b"-> X25519 ", b"-> x25519 ", NoMatchError),
        (b"--- ", b"---", HeaderError),
        (b"--- ", b"--- AAAA", HeaderError),
        (b"--- ", b"--- =", Base64Error),
    ],
)
def test_each_fault_of_a_header_raises_its_own_error(identity, old, new, error):
    with pytest.raises(error) as caught:
        Header.parse(good_header(identity).replace(old, new, 1)).unwrap([identity])
    assert caught.type is error


def test_a_header_cut_at_any_byte_raises_header_truncated_error(identity):
    whole = good_header(identity)
    for length in range(len(whole)):
        with pytest.raises(HeaderTruncatedError):
            Header.parse(whole[:length])
    with pytest.raises(HeaderError, match="data after the header"):
        Header.parse(whole + b"x")


def test_a_header_that_is_too_long_is_refused():
    endless = header(b"-> g\n" + (b"A" * 64 + b"\n") * 270_000)
    with pytest.raises(HeaderError, match="too long"):
        Header.parse(endless)


def test_a_recipient_of_low_order_is_refused():
    with pytest.raises(AgeError):
        age.encrypt_small(b"x", [Recipient(bytes(32))])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda p: b"", HeaderTruncatedError),
        (lambda p: p[:15], HeaderTruncatedError),
        (lambda p: p[:16], TruncatedError),
        (lambda p: p[:20], TruncatedError),
        (lambda p: p[: 16 + CHUNK + 16], TruncatedError),
        (lambda p: p[: 16 + CHUNK + 16 + 9], TruncatedError),
        (lambda p: p[:-1], BadTagError),
        (lambda p: p + b"x", BadTagError),
        (lambda p: p[:40] + bytes([p[40] ^ 1]) + p[41:], BadTagError),
        (lambda p: bytes([p[0] ^ 1]) + p[1:], BadTagError),
    ],
)
def test_each_fault_of_a_payload_raises_its_own_error(tmp_path, change, error):
    file_key = age.new_file_key()
    with (tmp_path / "p").open("wb") as file, PayloadWriter(file.fileno(), file_key) as writer:
        writer.write(os.urandom(CHUNK + 100))
    broken = io.BytesIO(change((tmp_path / "p").read_bytes()))
    with pytest.raises(error) as caught:
        PayloadReader(broken, file_key).readall()
    assert caught.type is error


def test_data_after_a_full_last_chunk_is_trailing_data(tmp_path):
    file_key = age.new_file_key()
    with (tmp_path / "p").open("wb") as file, PayloadWriter(file.fileno(), file_key) as writer:
        writer.write(bytes(CHUNK))
    with pytest.raises(TrailingDataError):
        PayloadReader(io.BytesIO((tmp_path / "p").read_bytes() + bytes(50)), file_key).readall()


def test_an_empty_last_chunk_is_refused_unless_it_is_the_only_chunk(tmp_path):
    file_key, nonce = age.new_file_key(), os.urandom(16)
    cipher = payload_cipher(file_key, nonce)
    first = cipher.encrypt(bytes(12), bytes(CHUNK), None)
    last = cipher.encrypt(bytes(10) + b"\x01\x01", b"", None)
    with pytest.raises(EmptyLastChunkError):
        PayloadReader(io.BytesIO(nonce + first + last), file_key).readall()
    only = cipher.encrypt(bytes(11) + b"\x01", b"", None)
    assert PayloadReader(io.BytesIO(nonce + only), file_key).readall() == b""


@given(data=st.binary(max_size=400))
def test_random_bytes_raise_only_header_errors(data):
    for start in (b"", b"age-encryption.org/v1\n", b"age-encryption.org/v1\n-> X25519 "):
        with pytest.raises(HeaderError):
            Header.parse(start + data)
