"""The encryption of secrets with a key in a file beside the database."""

from __future__ import annotations

import pytest

from galwad.people.second_factor import SecretBox, SecretBoxError

SECRET = b"12345678901234567890"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "second-factor.key"


def test_a_secret_can_be_opened_after_a_restart_and_not_be_read_in_the_box(path):
    sealed = SecretBox(path).seal("sian", SECRET)
    assert SecretBox(path).open("sian", sealed) == SECRET
    assert SECRET.hex() not in sealed
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == 32
    assert SecretBox(path).seal("sian", SECRET) != sealed


def test_the_box_of_one_user_cannot_be_opened_for_another(path):
    box = SecretBox(path)
    sealed = box.seal("sian", SECRET)
    with pytest.raises(SecretBoxError, match="another key"):
        box.open("huw", sealed)


def test_a_missing_key_is_not_created_to_open_a_box(path, tmp_path):
    sealed = SecretBox(tmp_path / "old.key").seal("sian", SECRET)
    with pytest.raises(SecretBoxError, match="does not exist"):
        SecretBox(path).open("sian", sealed)
    assert not path.exists()


def test_a_damaged_key_is_reported_and_kept(path):
    path.write_bytes(b"short")
    with pytest.raises(SecretBoxError, match="damaged"):
        SecretBox(path).seal("sian", SECRET)
    assert path.read_bytes() == b"short"


def test_a_key_that_cannot_be_written_or_read_is_reported(tmp_path):
    with pytest.raises(SecretBoxError, match="cannot write"):
        SecretBox(tmp_path / "missing" / "second-factor.key").seal("sian", SECRET)
    with pytest.raises(SecretBoxError, match="cannot read"):
        SecretBox(tmp_path).seal("sian", SECRET)
