"""`galwad check` finds passwords of trunks that are missing, or that every process can read."""

from __future__ import annotations

import pytest

from galwad.cli.checks import credentials, trunk_passwords
from galwad.settings import load
from galwad.settings.switch import Trunk

TRUNK = {"name": "pstn", "peers": ("192.0.2.1",), "username": "01970000999"}


@pytest.fixture
def settings(settings_file):
    return load(settings_file)


@pytest.fixture
def results(settings):
    def results(**password):
        trunk = Trunk.model_validate({**TRUNK, **password})
        changed = settings.model_copy(update={"trunks": (trunk,)})
        return [(each.grade.value, each.text) for each in trunk_passwords.check(changed)]

    return results


def test_a_password_in_the_settings_is_a_warning_that_does_not_repeat_it(results):
    ((grade, text),) = results(password="correct horse")
    assert grade == "warning"
    assert "the password of trunk pstn is in the settings" in text
    assert "correct horse" not in text


def test_a_password_file_that_is_missing_is_a_fault_with_its_path(results, tmp_path):
    path = tmp_path / "galwad.trunk.pstn"
    assert results(password_file=path) == [("fault", f"{path} does not exist")]
    path.write_text("correct horse")
    assert results(password_file=path) == [("fine", "the password of trunk pstn can be read")]


def test_a_password_that_systemd_passes_to_the_switch_is_looked_for_in_its_store(
    results, tmp_path, monkeypatch
):
    monkeypatch.setattr(credentials, "_STORE", tmp_path)
    path = "/run/credentials/galwad-switch.service/galwad.trunk.pstn"
    stored = tmp_path / "galwad.trunk.pstn"
    assert results(password_file=path) == [("fault", f"{stored} does not exist")]
    stored.write_text("correct horse")
    assert [grade for grade, _ in results(password_file=path)] == ["fine"]


def test_a_trunk_without_an_account_needs_no_password(settings):
    trunk = Trunk.model_validate({"name": "pstn", "peers": ("192.0.2.1",)})
    assert not [*trunk_passwords.check(settings.model_copy(update={"trunks": (trunk,)}))]
