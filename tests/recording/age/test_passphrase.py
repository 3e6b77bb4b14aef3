"""Passphrases: each fault that C2SP's testkit names for scrypt, and two other readers.

Covers `recording/age/header.py`.
"""

import io

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples, long_after
from helpers.recording.age_files import (
    FILE_KEY,
    ME,
    SECRET,
    SUCCESS,
    b64,
    chunks,
    closed,
    header,
    mine,
    sloppy,
)
from helpers.terminal import on_terminal
from recording.age.file import Identity, decrypt_small, encrypt_small, open_file
from recording.age.header import AnyIdentity, Stanza, make_header
from recording.age.identity_file import MAX_WORK_FACTOR, WORK_FACTOR, Passphrase
from recording.errors import (
    AgeError,
    Base64Error,
    HeaderMacError,
    KeyTextError,
    NoMatchError,
    StanzaError,
    WorkFactorError,
)

MANY = settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
TYPED = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
GOOD = chunks(b"age")
SALT = bytes(range(16))


def with_factor(text):
    """Return a stanza that is right except for this text as its work factor."""
    return closed().replace(b" 10\n", b" %b\n" % text, 1)


def with_salt(salt):
    return bytes(Stanza(("scrypt", b64(salt).decode(), "10"), bytes(32)))


def sloppy_salt():
    stanza = closed()
    salt = stanza.split(b" ")[2]
    return stanza.replace(salt, sloppy(salt), 1)


def sloppy_body():
    line, _, body = closed().rstrip(b"\n").partition(b"\n")
    return line + b"\n" + sloppy(body) + b"\n"


def bad_tag():
    line, _, body = closed().partition(b"\n")
    return line + b"\n" + (b"B" if body[:1] == b"A" else b"A") + body[1:]


VECTORS = {
    "scrypt": (header(closed()) + GOOD, SUCCESS),
    "scrypt_work_factor_1": (header(closed(factor=1)) + GOOD, SUCCESS),
    "scrypt_no_match": (header(closed(passphrase="another")) + GOOD, NoMatchError),
    "scrypt_bad_tag": (header(bad_tag()) + GOOD, NoMatchError),
    "scrypt_uppercase": (header(closed().replace(b"scrypt", b"SCRYPT")) + GOOD, NoMatchError),
    "scrypt_bad_mac": (header(closed())[:-44] + b"A" * 43 + b"\n" + GOOD, HeaderMacError),
    "scrypt_double": (header(closed(), closed()) + GOOD, StanzaError),
    "scrypt_and_x25519": (header(closed(), mine()) + GOOD, StanzaError),
    "scrypt_and_grease": (header(closed(), b"-> grease\n\n") + GOOD, StanzaError),
    "scrypt_extra_argument": (header(with_factor(b"10 10")) + GOOD, StanzaError),
    "scrypt_long_file_key": (
        header(closed(bytes(24)), file_key=bytes(24)) + GOOD,
        StanzaError,
    ),
    "scrypt_not_canonical_salt": (header(sloppy_salt()) + GOOD, Base64Error),
    "scrypt_not_canonical_body": (header(sloppy_body()) + GOOD, Base64Error),
    "scrypt_salt_short": (header(with_salt(SALT[:15])) + GOOD, StanzaError),
    "scrypt_salt_long": (header(with_salt(SALT + b"x")) + GOOD, StanzaError),
    "scrypt_salt_missing": (header(b"-> scrypt 10\n" + b64(bytes(32)) + b"\n") + GOOD, StanzaError),
    "scrypt_work_factor_missing": (
        header(closed().replace(b" 10\n", b"\n", 1)) + GOOD,
        StanzaError,
    ),
    "scrypt_work_factor_wrong": (header(with_factor(b"11")) + GOOD, NoMatchError),
    "scrypt_work_factor_23": (header(with_factor(b"23")) + GOOD, WorkFactorError),
    "scrypt_work_factor_overflow": (
        header(with_factor(b"1" + b"0" * 5000)) + GOOD,
        WorkFactorError,
    ),
    **{
        f"scrypt_work_factor_{name}": (header(with_factor(text)) + GOOD, StanzaError)
        for name, text in {
            "zero": b"0",
            "negative": b"-10",
            "leading_plus": b"+10",
            "leading_zero": b"010",
            "octal": b"012",
            "hexadecimal": b"0xa",
            "leading_garbage": b"aaaa10",
            "trailing_garbage": b"10aaaa",
            "fraction": b"10.0",
            "digits_with_underscore": b"1_0",
        }.items()
    },
}

PYRAGE_TAKES = {"scrypt_work_factor_trailing_garbage", "scrypt_work_factor_fraction"}
"""pyrage reads only the first digits."""
PYRAGE_TRIES = {"scrypt_work_factor_23"}
"""pyrage uses 8 GiB and half a minute before it refuses."""


def opened(data, passphrase=SECRET):
    return open_file(io.BytesIO(data), [Passphrase(passphrase)]).readall()


def by_pyrage(data, passphrase=SECRET):
    """Return the plaintext that pyrage reads; None if it refuses."""
    try:
        return pyrage.passphrase.decrypt(data, passphrase)
    except pyrage.DecryptError:
        return None


def by_stock_age(data, folder, passphrase=SECRET):
    """Return the plaintext that `age` reads with the passphrase typed; None if it refuses."""
    (folder / "file.age").write_bytes(data)
    said = on_terminal(["age", "-d", folder / "file.age"], passphrase)
    return said.out if said.status == 0 else None


@pytest.mark.parametrize("name", VECTORS)
def test_each_vector_is_opened_or_refused_with_its_own_error(name):
    data, fault = VECTORS[name]
    if fault is SUCCESS:
        assert opened(data) == b"age"
        return
    with pytest.raises(AgeError) as caught:
        opened(data)
    assert type(caught.value) is fault


@pytest.mark.parametrize("name", sorted(VECTORS.keys() - PYRAGE_TRIES))
def test_pyrage_agrees_on_each_vector(name):
    data, fault = VECTORS[name]
    taken = fault is SUCCESS or name in PYRAGE_TAKES
    assert by_pyrage(data) == (b"age" if taken else None)


@pytest.mark.peer
@pytest.mark.parametrize("name", VECTORS)
def test_the_age_program_agrees_on_each_vector(tmp_path, name):
    data, fault = VECTORS[name]
    assert by_stock_age(data, tmp_path) == (b"age" if fault is SUCCESS else None)


@pytest.mark.parametrize("identities", [[ME], [Passphrase(SECRET)], [ME, Passphrase(SECRET)]])
def test_a_passphrase_stanza_beside_another_stanza_is_refused_for_any_identity(identities):
    with pytest.raises(StanzaError):
        open_file(io.BytesIO(VECTORS["scrypt_and_x25519"][0]), identities)


def test_a_key_does_not_open_a_passphrase_file_nor_a_passphrase_a_key_file():
    for sealed, identity in (
        (header(closed()) + GOOD, ME),
        (header(mine()) + GOOD, Passphrase(SECRET)),
    ):
        with pytest.raises(NoMatchError):
            open_file(io.BytesIO(sealed), [identity])


def test_each_of_several_passphrases_is_tried():
    secrets: list[AnyIdentity] = [ME, Passphrase("wrong"), Passphrase(SECRET)]
    assert open_file(io.BytesIO(header(closed()) + GOOD), secrets).readall() == b"age"


def test_a_header_with_a_passphrase_and_other_recipients_is_refused():
    for other in (Passphrase("another", work_factor=1), ME.recipient):
        with pytest.raises(StanzaError, match="combined with other recipients"):
            make_header(FILE_KEY, [other, Passphrase(SECRET, work_factor=1)])


@pytest.mark.parametrize("text", ["", "\ud800"])
def test_an_empty_or_unencodable_passphrase_is_refused(text):
    with pytest.raises(KeyTextError):
        Passphrase(text)


def test_a_passphrase_that_is_not_utf_8_is_used_as_its_original_bytes():
    latin = b"p\xe4ss".decode("utf-8", "surrogateescape")
    sealed = encrypt_small(b"x", [Passphrase(latin, work_factor=1)])
    assert decrypt_small(sealed, [Passphrase(latin)]) == b"x"


def test_a_passphrase_does_not_appear_in_its_repr():
    assert SECRET not in repr(Passphrase(SECRET))


def test_a_work_factor_above_the_readers_maximum_is_refused():
    sealed = header(closed(factor=5)) + GOOD
    with pytest.raises(WorkFactorError, match="above the limit of 4"):
        open_file(io.BytesIO(sealed), [Passphrase(SECRET, max_work_factor=4)])
    assert (WORK_FACTOR, MAX_WORK_FACTOR) == (18, 22)


def test_too_little_memory_for_scrypt_raises_work_factor_error():
    with pytest.raises(WorkFactorError, match="memory"):
        Passphrase("x", work_factor=48).wrap(FILE_KEY)  # 256 PiB


def test_the_default_work_factor_is_18_as_in_age():
    sealed = encrypt_small(b"x", [Passphrase("correct horse")])
    assert b" 18\n" in sealed
    assert decrypt_small(sealed, [Passphrase("correct horse")]) == b"x"


@given(text=TEXTS, content=st.binary(max_size=200), factor=st.integers(1, 10))
@MANY
def test_pyrage_opens_our_passphrase_files(text, content, factor):
    sealed = encrypt_small(content, [Passphrase(text, work_factor=factor)])
    assert pyrage.passphrase.decrypt(sealed, text) == content
    assert by_pyrage(sealed, text + "x") is None


@pytest.mark.long
@pytest.mark.slow  # pyrage chooses a work factor that takes a second, and our scrypt is slower
def test_passphrase_files_of_pyrage_are_opened():
    sealed = pyrage.passphrase.encrypt(b"speech", "Ŵyth o'r gloch", armored=True)
    assert opened(sealed, "Ŵyth o'r gloch") == b"speech"


@pytest.mark.peer
@given(text=TYPED, content=st.binary(max_size=200))
@FEW
def test_the_age_program_opens_our_passphrase_files(tmp_path, text, content):
    sealed = encrypt_small(content, [Passphrase(text, work_factor=8)])
    assert by_stock_age(sealed, tmp_path, text) == content


@pytest.mark.peer
@pytest.mark.parametrize("options", long_after(1, [((),), (("-a",),)]), ids=["binary", "armored"])
def test_passphrase_files_of_the_age_program_are_opened(tmp_path, options):
    content = f"{Identity.generate()}\n".encode()
    (tmp_path / "plain").write_bytes(content)
    secret = "Ŵyth o'r gloch"
    said = on_terminal(["age", "-p", *options, tmp_path / "plain"], secret, secret)
    assert said.status == 0, said.shown
    assert opened(said.out, secret) == content
