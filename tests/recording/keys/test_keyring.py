"""Keys: the officer's file, the signed set of recipients, and the keys of the node."""

import json
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.age import bech32
from recording.age.file import Identity, Recipient, encrypt_small
from recording.age.identity_file import IdentityFile
from recording.errors import KeyFileError, KeySetError
from recording.keys.keyring import (
    NamedRecipient,
    OfficerKeys,
    RecipientSet,
    fingerprint,
    load_boot_key,
    load_or_create_boot_key,
    load_or_create_signing_key,
    parse_public,
    public_text,
)


@pytest.fixture(scope="module")
def officer() -> OfficerKeys:
    return OfficerKeys.generate()


@pytest.fixture(scope="module")
def signed(officer) -> bytes:
    named = [("Officer", officer.identity.recipient), ("Deputy", Identity.generate().recipient)]
    return RecipientSet.of(named, 3).sign(officer.signing)


def test_an_officers_key_file_round_trips_and_is_private(tmp_path, officer):
    path = tmp_path / "officer.txt"
    officer.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = OfficerKeys.load(path)
    assert loaded.identity == officer.identity
    assert loaded.public_key == officer.public_key
    assert IdentityFile.read(path).identities == (officer.identity,)
    with pytest.raises(KeyFileError, match="exists"):
        officer.save(path)


@pytest.mark.peer
def test_the_age_program_accepts_an_officers_key_file(tmp_path, officer):
    path = tmp_path / "officer.txt"
    officer.save(path)
    sealed = encrypt_small(b"hello", [officer.identity.recipient])
    opened = subprocess.run(
        ["age", "-d", "-i", path], input=sealed, capture_output=True, check=True
    )
    assert opened.stdout == b"hello"


def test_a_key_file_that_others_can_read_is_refused_with_a_hint(tmp_path, officer):
    path = tmp_path / "officer.txt"
    officer.save(path)
    path.chmod(0o644)
    with pytest.raises(KeyFileError) as caught:
        OfficerKeys.load(path)
    assert caught.value.hint.startswith("chmod 600")


@pytest.mark.parametrize("text", ["", "# nothing\n", "AGE-SECRET-KEY-1XX\n", "hello\n"])
def test_a_file_without_an_identity_is_refused(tmp_path, text):
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(KeyFileError):
        IdentityFile.read(path)


def test_a_set_signed_by_the_officer_is_accepted(officer, signed):
    found = RecipientSet.parse(signed, officer.public_key)
    assert found.serial == 3
    assert found.recipients[0] == officer.identity.recipient
    assert found.fingerprints[0] == fingerprint(officer.identity.recipient)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("signature"),
        lambda d: d.update(signature="AAAA"),
        lambda d: d.update(signature="not base64!"),
        lambda d: d.update(serial=4),
        lambda d: d["recipients"].pop(),
        lambda d: d["recipients"][0].update(recipient=str(Identity.generate().recipient)),
        lambda d: d.update(format="other"),
        lambda d: d.update(more=1),
    ],
)
def test_a_changed_or_unsigned_set_is_refused_with_a_hint(officer, signed, change):
    document = json.loads(signed)
    change(document)
    with pytest.raises(KeySetError) as caught:
        RecipientSet.parse(json.dumps(document).encode(), officer.public_key)
    assert caught.value.hint


def test_a_set_signed_by_another_key_is_refused(signed):
    stranger = public_text(Ed25519PrivateKey.generate().public_key())
    with pytest.raises(KeySetError, match="not signed by the officer"):
        RecipientSet.parse(signed, stranger)


def test_an_empty_set_is_refused(officer):
    with pytest.raises(KeySetError, match="empty"):
        RecipientSet.parse(RecipientSet.of([], 1).sign(officer.signing), officer.public_key)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (str(Recipient(bytes(32))), "low order"),
        (str(Identity.generate()), "not an age recipient"),
        ("age1mistyped", "not an age recipient"),
    ],
    ids=["a point of low order", "an identity", "mistyped"],
)
def test_a_set_with_an_unusable_recipient_is_refused(officer, text, told):
    named = (NamedRecipient("Officer", text),)
    signed = RecipientSet(named, 1, "2026-03-01T09:00:00Z").sign(officer.signing)
    with pytest.raises(KeySetError, match=told):
        RecipientSet.parse(signed, officer.public_key)


def test_an_identity_file_without_a_signing_key_is_refused(tmp_path):
    path = tmp_path / "plain"
    path.touch(0o600)
    path.write_text(f"{Identity.generate()}\n")
    with pytest.raises(KeyFileError, match="contains no signing key") as caught:
        OfficerKeys.load(path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("GALWAD-SIGNING-KEY-1XXX", "the signing key: this is not a key"),
        (str(Identity.generate()), "this is not a signing key"),
        (bech32.encode("GALWAD-SIGNING-KEY-", bytes(31)), "this is not a signing key"),
    ],
    ids=["mistyped", "another key", "too short"],
)
def test_a_damaged_signing_key_is_refused_with_its_fault(tmp_path, key, told):
    path = tmp_path / "damaged"
    path.touch(0o600)
    path.write_text(f"# signing key: {key}\n{Identity.generate()}\n")
    with pytest.raises(KeyFileError, match=told):
        OfficerKeys.load(path)


def test_keys_that_cannot_be_written_raise_key_file_error(tmp_path, officer):
    with pytest.raises(KeyFileError, match="No such file"):
        officer.save(tmp_path / "none" / "identity.txt")


def test_a_malformed_public_key_is_refused():
    for text in ("", "AAAA", "not base64!"):
        with pytest.raises(KeySetError, match="not a public signing key"):
            parse_public(text)


def test_a_missing_set_is_refused(tmp_path, officer):
    with pytest.raises(KeySetError):
        RecipientSet.load(tmp_path / "none.json", officer.public_key)


def test_the_boot_key_is_created_once_and_kept(tmp_path):
    path = tmp_path / "run" / "boot.key"
    assert load_boot_key(path) is None
    key = load_or_create_boot_key(path)
    assert len(key) == 32
    assert load_or_create_boot_key(path) == load_boot_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.write_bytes(b"short")
    with pytest.raises(KeyFileError):
        load_or_create_boot_key(path)


def test_the_nodes_signing_key_is_created_once_and_kept(tmp_path):
    first = load_or_create_signing_key(tmp_path / "key")
    assert public_text(load_or_create_signing_key(tmp_path / "key").public_key()) == public_text(
        first.public_key()
    )
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
