"""age v1: held against the `age` program and pyrage, both ways, and each fault by its name."""

import base64
import hashlib
import hmac
import io
import os
import subprocess
from pathlib import Path

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recording import age
from recording.age import Header, Identity, PayloadReader, PayloadWriter, Recipient, Stanza
from recording.age_stream import CHUNK
from recording.errors import (
    AgeError,
    BadTagError,
    EmptyLastChunkError,
    HeaderError,
    HeaderMacError,
    HeaderTruncatedError,
    KeyTextError,
    NoMatchError,
    PayloadError,
    TrailingDataError,
    TruncatedError,
)

SIZES = st.sampled_from([0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7])
FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def seal(path: Path, data: bytes, recipients: list[Recipient]) -> bytes:
    """The joined file; the payload lies at `path`."""
    file_key = age.new_file_key()
    with path.open("wb") as file, PayloadWriter(file.fileno(), file_key) as writer:
        writer.write(data)
    return age.make_header(file_key, recipients) + path.read_bytes()


@pytest.fixture
def identity() -> Identity:
    return Identity.generate()


@given(key=st.binary(min_size=32, max_size=32))
def test_recipients_and_identities_round_trip_as_text(key):
    assert Recipient.parse(str(Recipient(key))) == Recipient(key)
    assert Identity.parse(str(Identity(key))) == Identity(key)


def test_the_public_half_is_the_one_that_age_computes(identity):
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


@given(data=st.data(), size=SIZES, count=st.integers(1, 4))
@FEW
def test_pyrage_opens_what_we_seal(tmp_path, data, size, count):
    content = os.urandom(size)
    identities = [Identity.generate() for _ in range(count)]
    joined = seal(tmp_path / "payload", content, [each.recipient for each in identities])
    chosen = str(data.draw(st.sampled_from(identities)))
    assert pyrage.decrypt(joined, [pyrage.x25519.Identity.from_str(chosen)]) == content


@given(size=SIZES, count=st.integers(1, 4))
@FEW
def test_we_open_what_pyrage_seals(size, count):
    content = os.urandom(size)
    identities = [Identity.generate() for _ in range(count)]
    theirs = [pyrage.x25519.Recipient.from_str(str(each.recipient)) for each in identities]
    sealed = pyrage.encrypt(content, theirs)
    for each in identities:
        assert age.open_file(io.BytesIO(sealed), [each]).readall() == content


@pytest.mark.peer
@pytest.mark.parametrize("size", [0, 5, CHUNK, 3 * CHUNK + 1])
def test_stock_age_opens_what_we_seal_and_we_what_it_seals(tmp_path, identity, size):
    content = os.urandom(size)
    key = tmp_path / "key.txt"
    key.write_text(f"{identity}\n")
    joined = seal(tmp_path / "payload", content, [identity.recipient])
    opened = subprocess.run(["age", "-d", "-i", key], input=joined, capture_output=True, check=True)
    assert opened.stdout == content
    command = ["age", "-r", str(identity.recipient)]
    theirs = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    assert age.open_file(io.BytesIO(theirs), [identity]).readall() == content


@given(
    writes=st.lists(st.tuples(st.integers(0, CHUNK - 1), st.binary(max_size=40)), max_size=8),
    size=SIZES,
    block=st.sampled_from([1000, CHUNK, CHUNK + 3]),
)
@FEW
def test_the_first_chunk_may_be_rewritten_until_the_end(tmp_path, writes, size, block):
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


def test_a_sealed_chunk_is_never_written_again(tmp_path):
    with (tmp_path / "p").open("wb") as file:
        writer = PayloadWriter(file.fileno(), age.new_file_key())
        writer.write(bytes(3 * CHUNK))
        writer.seek(CHUNK + 5)
        with pytest.raises(PayloadError):
            writer.write(b"x")
        writer.seek(4 * CHUNK)
        with pytest.raises(PayloadError):
            writer.write(b"x")
        writer.discard()


def test_the_reader_seeks(tmp_path, identity):
    content = os.urandom(2 * CHUNK + 1000)
    reader = age.open_file(
        io.BytesIO(seal(tmp_path / "p", content, [identity.recipient])), [identity]
    )
    assert reader.seek(-10, os.SEEK_END) == len(content) - 10
    assert reader.read(100) == content[-10:]
    reader.seek(CHUNK - 5)
    assert io.BufferedReader(reader).read(10) == content[CHUNK - 5 : CHUNK + 5]


def test_header_and_payload_are_two_objects_and_a_header_can_be_replaced(tmp_path, identity):
    other = Identity.generate()
    joined = seal(tmp_path / "p", b"speech", [identity.recipient])
    header = joined[: -(tmp_path / "p").stat().st_size]
    new = age.make_header(age.open_header(header, [identity]), [other.recipient])
    with (tmp_path / "p").open("rb") as payload:
        assert age.open_parts(new, payload, [other]).readall() == b"speech"
        with pytest.raises(NoMatchError):
            age.open_parts(new, payload, [identity])


def test_a_small_thing_round_trips(identity):
    sealed = age.encrypt_small(b"spool key", [identity.recipient])
    assert age.decrypt_small(sealed, [identity]) == b"spool key"
    with pytest.raises(AgeError):
        age.encrypt_small(b"", [])


def header_of(stanza: bytes, file_key: bytes = bytes(16)) -> bytes:
    signed = b"age-encryption.org/v1\n" + stanza + b"---"
    key = hmac.digest(bytes(32), file_key, "sha256")
    key = hmac.digest(key, b"header\x01", "sha256")
    mac = hmac.new(key, signed, hashlib.sha256).digest()
    return signed + b" " + base64.b64encode(mac).rstrip(b"=") + b"\n"


def good_stanza(identity: Identity) -> Stanza:
    return identity.recipient.wrap(bytes(16))


def test_a_header_made_by_hand_is_taken(identity):
    assert Header.parse(header_of(bytes(good_stanza(identity)))).unwrap([identity]) == bytes(16)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (b"org/v1", b"org/v2", HeaderError),
        (b"\n-> X", b"\r\n-> X", HeaderError),
        (b"-> X25519 ", b"-> X25519  ", HeaderError),
        (b"-> X25519 ", b"->X25519 ", HeaderError),
        (b"-> X25519 ", b"-> X25519\x7f ", HeaderError),
        (b"-> X25519 ", b"-> X25519 extra ", HeaderError),
        (b"-> X25519 ", b"-> \n\n-> X25519 ", HeaderError),
        (b"-> X25519 ", b"-> scrypt AAAAAAAAAAAAAAAAAAAAAA 10\nAAAA\n-> X25519 ", HeaderError),
        (b"-> X25519 ", b"-> grease\nAAA=\n-> X25519 ", HeaderError),
        (b"-> X25519 ", b"-> grease\nAB\n-> X25519 ", HeaderError),
        (b"-> X25519 ", b"-> grease\n" + b"A" * 64 + b"\n-> X25519 ", HeaderError),
        (b"-> X25519 ", b"-> grease\n" + b"A" * 68 + b"\n-> X25519 ", HeaderError),
        (b"-> X25519 ", b"-> grease\n" + b"A" * 64 + b"\n\n-> X25519 ", HeaderMacError),
        (b"-> X25519 ", b"-> grease some thing\nAAAA\n-> X25519 ", HeaderMacError),
        (b"-> X25519 ", b"-> x25519 ", NoMatchError),
        (b"--- ", b"---", HeaderError),
        (b"--- ", b"--- A", HeaderError),
    ],
)
def test_each_fault_of_a_header_has_its_error(identity, old, new, error):
    with pytest.raises(error) as caught:
        Header.parse(header_of(bytes(good_stanza(identity))).replace(old, new, 1)).unwrap(
            [identity]
        )
    assert caught.type is error


def test_a_header_that_stops_is_short_wherever_it_stops(identity):
    whole = header_of(bytes(good_stanza(identity)))
    for length in range(len(whole)):
        with pytest.raises(HeaderTruncatedError):
            Header.parse(whole[:length])
    with pytest.raises(HeaderError):
        Header.parse(whole + b"x")


@pytest.mark.parametrize(
    "share",
    [
        bytes(32),
        b"\x01" + bytes(31),
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        bytes(31),
        bytes(33),
    ],
)
def test_a_share_of_low_order_or_wrong_length_is_refused(identity, share):
    text = base64.b64encode(share).rstrip(b"=").decode()
    stanza = Stanza(("X25519", text), bytes(32))
    with pytest.raises(HeaderError):
        Header.parse(header_of(bytes(stanza))).unwrap([identity])


def test_a_recipient_of_low_order_is_refused():
    with pytest.raises(AgeError):
        age.encrypt_small(b"x", [Recipient(bytes(32))])


def test_a_wrapped_key_of_the_wrong_length_is_refused(identity):
    stanza = identity.recipient.wrap(bytes(17))
    with pytest.raises(HeaderError):
        Header.parse(header_of(bytes(stanza), bytes(17))).unwrap([identity])


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
def test_each_fault_of_a_payload_has_its_error(tmp_path, change, error):
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


def test_an_empty_last_chunk_is_refused_unless_it_is_the_only_one(tmp_path):
    file_key, nonce = age.new_file_key(), os.urandom(16)
    cipher = age.payload_cipher(file_key, nonce)
    first = cipher.encrypt(bytes(12), bytes(CHUNK), None)
    last = cipher.encrypt(bytes(10) + b"\x01\x01", b"", None)
    with pytest.raises(EmptyLastChunkError):
        PayloadReader(io.BytesIO(nonce + first + last), file_key).readall()
    only = cipher.encrypt(bytes(11) + b"\x01", b"", None)
    assert PayloadReader(io.BytesIO(nonce + only), file_key).readall() == b""


@given(data=st.binary(max_size=400))
def test_garbage_is_a_header_error_and_nothing_else(data):
    for start in (b"", b"age-encryption.org/v1\n", b"age-encryption.org/v1\n-> X25519 "):
        with pytest.raises(HeaderError):
            Header.parse(start + data)
