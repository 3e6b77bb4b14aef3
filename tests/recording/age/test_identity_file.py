"""Identity files: plain, or protected by a passphrase in either form."""

import contextlib
import subprocess
from pathlib import Path

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples, long_after
from helpers.recording.age_files import chunks, closed, header, mine
from helpers.terminal import on_terminal
from recording.age.file import Identity, armored, encrypt_small
from recording.age.identity_file import IdentityFile, Passphrase, protected
from recording.errors import KeyFileError
from recording.keys.keyring import OfficerKeys

SECRET = "Ŵyth o'r gloch bob bore"
QUICK = Passphrase(SECRET, work_factor=5)
FIRST, SECOND = Identity.generate(), Identity.generate()
TEXT = f"# created: today\n# public key: {FIRST.recipient}\n{FIRST}\n\n  {SECOND}\r\n"


def tell(path: Path) -> str:
    """Return the passphrase, as a person does who is asked for it."""
    assert path.name.startswith("key")
    return SECRET


def never(path: Path) -> str:
    raise AssertionError(f"asked for the passphrase of {path}")


@pytest.fixture
def file(tmp_path):
    """Write a file with this content, by default readable only by its owner."""

    def write(content, mode=0o600):
        path = tmp_path / "key"
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        protected(TEXT, QUICK),
        protected(TEXT, QUICK).replace(b"\n", b"\r\n"),
        b"\n\n" + protected(TEXT, QUICK) + b"\n",
        encrypt_small(TEXT.encode(), [QUICK]),
        TEXT.encode(),
    ],
    ids=["armored", "with crlf", "among empty lines", "binary", "plain"],
)
def test_each_form_of_an_identity_file_is_read(file, content):
    read = IdentityFile.read(file(content), tell)
    assert read.identities == (FIRST, SECOND)
    assert read.comments == {"created": "today", "public key": str(FIRST.recipient)}
    assert str(FIRST) not in repr(read)
    assert "public key" not in repr(read)


def test_no_passphrase_is_requested_for_a_plain_file(file):
    assert IdentityFile.read(file(TEXT.encode()), never).identities == (FIRST, SECOND)


def test_an_identity_file_that_others_can_read_is_refused_unless_it_has_a_passphrase(file):
    with pytest.raises(KeyFileError, match="accessible to other users"):
        IdentityFile.read(file(TEXT.encode(), 0o644), never)
    assert IdentityFile.read(file(protected(TEXT, QUICK), 0o644), tell).identities[0] == FIRST


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (protected(TEXT, Passphrase("another", work_factor=5)), "the passphrase is wrong"),
        (header(closed(passphrase=SECRET))[:-44] + b"A" * 43 + b"\n" + chunks(b""), "changed"),
        (protected(TEXT, QUICK)[:-60], "the armor's last line"),
        (protected(TEXT, QUICK).replace(b"\n", b" \n", 1), "the armor's first line"),
        (header(closed(passphrase=SECRET, factor=5)) + chunks(b"", last=False), "stops"),
        (protected("no key at all", QUICK), "not an age identity"),
        (protected("# a comment\n", QUICK), "contains no identity"),
        (encrypt_small(b"\xff\xfe", [QUICK]), "not an identity file"),
        (b"\xff\xfe", "not an identity file"),
        (b"", "contains no identity"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_each_unusable_identity_file_raises_an_error_that_names_the_fault(file, content, told):
    with pytest.raises(KeyFileError, match=told) as caught:
        IdentityFile.read(file(content), tell)
    assert caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        header(mine()) + chunks(TEXT.encode()),
        armored(header(mine()) + chunks(TEXT.encode())),
        header(closed().replace(b" 10\n", b" ten\n")) + chunks(b""),
        b"age-encryption.org/v9\n",
    ],
    ids=["sealed to a key", "armored, to a key", "malformed in the stanza", "another version"],
)
def test_no_passphrase_is_requested_for_a_file_that_no_passphrase_can_open(file, content):
    with pytest.raises(KeyFileError):
        IdentityFile.read(file(content), never)


def test_a_protected_file_without_a_passphrase_prompt_is_refused(file):
    with pytest.raises(KeyFileError, match="protected by a passphrase"):
        IdentityFile.read(file(protected(TEXT, QUICK)))


def test_a_missing_identity_file_is_reported(tmp_path):
    with pytest.raises(KeyFileError, match="no such file"):
        IdentityFile.read(tmp_path / "none", never)


def test_an_officers_keys_round_trip_through_a_protected_file(tmp_path):
    made = OfficerKeys.generate()
    made.save(tmp_path / "key", QUICK)
    content = (tmp_path / "key").read_bytes()
    assert content.isascii()
    assert b"GALWAD" not in content
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    loaded = OfficerKeys.load(tmp_path / "key", tell)
    assert (loaded.identity, loaded.public_key) == (made.identity, made.public_key)


@pytest.mark.peer
def test_the_age_program_and_pyrage_open_our_protected_identity_file(tmp_path):
    made = OfficerKeys.generate()
    made.save(tmp_path / "plain")
    made.save(tmp_path / "key.age", Passphrase(SECRET))
    said = on_terminal(["age", "-d", tmp_path / "key.age"], SECRET)
    assert said.status == 0, said.shown
    assert said.out.splitlines()[1:] == (tmp_path / "plain").read_bytes().splitlines()[1:]
    assert pyrage.passphrase.decrypt((tmp_path / "key.age").read_bytes(), SECRET) == said.out
    (tmp_path / "sealed").write_bytes(encrypt_small(b"speech", [made.identity.recipient]))
    opened = on_terminal(["age", "-d", "-i", tmp_path / "key.age", tmp_path / "sealed"], SECRET)
    assert (opened.status, opened.out) == (0, b"speech")


@pytest.mark.peer
@pytest.mark.parametrize("options", long_after(1, [((),), (("-a",),)]), ids=["binary", "armored"])
def test_an_identity_file_protected_by_the_age_program_is_read(tmp_path, options):
    made = OfficerKeys.generate()
    made.save(tmp_path / "plain")
    words = ["age", "-p", *options, "-o", tmp_path / "key.age", tmp_path / "plain"]
    assert on_terminal(words, SECRET, SECRET).status == 0
    loaded = OfficerKeys.load(tmp_path / "key.age", tell)
    assert (loaded.identity, loaded.public_key) == (made.identity, made.public_key)


@pytest.mark.peer
def test_an_identity_file_made_by_age_keygen_is_read(tmp_path):
    subprocess.run(["age-keygen", "-o", tmp_path / "key"], capture_output=True, check=True)
    read = IdentityFile.read(tmp_path / "key", never)
    assert read.comments["public key"] == str(read.identities[0].recipient)


@given(form=st.sampled_from([0, 1, 2]), place=st.floats(0, 1), octets=st.binary(max_size=1))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_changed_identity_file_raises_only_key_file_errors(file, form, place, octets):
    whole = (TEXT.encode(), protected(TEXT, QUICK), encrypt_small(TEXT.encode(), [QUICK]))[form]
    at = int(place * len(whole))
    for content in (whole[:at] + octets + whole[at + 1 :], whole[:at]):
        with contextlib.suppress(KeyFileError):
            assert {FIRST, SECOND}.issuperset(IdentityFile.read(file(content), tell).identities)
