"""`galwad check` opens each file as the units' user, and looks for passwords of trunks."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from galwad.cli.checks import files
from galwad.settings import load
from galwad.settings.switch import Trunk
from helpers.root import as_root, galwad_as_root

USER = 61_999
"""A user of the range that systemd takes for DynamicUser=."""


@pytest.fixture
def folder(settings_file):
    """The services' folders, which belong to the units' user."""
    state = settings_file.with_name("state")
    for part in ("keys", "finaliser", "desk", "switch"):
        (state / part).mkdir(mode=0o750)
        as_root("chown", f"{USER}:{USER}", str(state / part))
    return state


def put(path, owner, mode):
    as_root("sh", "-c", f"echo text >{path} && chown {owner} {path} && chmod {mode} {path}")


def found(settings_file, *names):
    done = galwad_as_root("check", "--json", "--config", settings_file)
    results = json.loads(done.stdout)
    return [(each["grade"], each["text"], each["fix"]) for each in results if each["name"] in names]


def test_a_set_of_recipients_that_only_root_can_read_is_a_fault(settings_file, folder):
    path = folder / "keys" / "recipients.json"
    put(path, "0:0", "600")
    ((grade, text, fix),) = found(settings_file, "recipients")
    reason = f"{path} cannot be read by the units' user ({USER}), only by root"
    assert (grade, text) == ("fault", f"{reason}: no recording is sealed")
    assert fix == f"chown {USER}:{USER} {path}"
    as_root(*fix.split())
    ((_, text, _),) = found(settings_file, "recipients")
    assert "cannot be read by" not in text


@pytest.mark.parametrize("name", ["finaliser/manifest.key", "desk/audit.key", "switch/calls"])
def test_a_file_of_a_service_that_only_root_can_read_is_a_fault(settings_file, folder, name):
    put(folder / name, "0:0", "600")
    ((grade, text, _),) = found(settings_file, "files")
    assert (grade, text.startswith(f"{folder / name} cannot be read by the")) == ("fault", True)
    as_root("chown", f"{USER}:{USER}", str(folder / name))
    assert [grade for grade, _, _ in found(settings_file, "files")] == ["fine"]


@pytest.mark.usefixtures("folder")
def test_a_file_in_the_settings_that_only_root_can_read_is_a_fault(settings_file):
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        place.chmod(0o755)
        path = place / "trunk-password"
        put(path, "0:0", "600")
        with settings_file.open("a") as file:
            file.write(
                '[[trunks]]\nname = "pstn"\npeers = ["192.0.2.1"]\nusername = "u"\n'
                f'password_file = "{path}"\n'
            )
        ((grade, text, _),) = found(settings_file, "files")
        assert (grade, text.startswith(f"{path} cannot be read by the units'")) == ("fault", True)
        as_root("chmod", "644", str(path))
        assert [grade for grade, _, _ in found(settings_file, "files")] == ["fine"]
    finally:
        shutil.rmtree(place)


def test_without_installed_units_no_file_is_tried_as_another_user(settings_file, monkeypatch):
    monkeypatch.setattr(files, "FOLDERS", ())
    (settings_file.with_name("state") / "keys").mkdir()
    assert [*files.check_unit_files(load(settings_file))] == []


TRUNK = {"name": "pstn", "peers": ("192.0.2.1",), "username": "01970000999"}


@pytest.fixture
def settings(settings_file):
    return load(settings_file)


@pytest.fixture
def results(settings):
    def results(**password):
        trunk = Trunk.model_validate({**TRUNK, **password})
        changed = settings.model_copy(update={"trunks": (trunk,)})
        return [(each.grade.value, each.text) for each in files.check_trunk_passwords(changed)]

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
    monkeypatch.setattr(files, "_STORE", tmp_path)
    path = "/run/credentials/galwad-switch.service/galwad.trunk.pstn"
    stored = tmp_path / "galwad.trunk.pstn"
    assert results(password_file=path) == [("fault", f"{stored} does not exist")]
    stored.write_text("correct horse")
    assert [grade for grade, _ in results(password_file=path)] == ["fine"]


def test_a_trunk_without_an_account_needs_no_password(settings):
    trunk = Trunk.model_validate({"name": "pstn", "peers": ("192.0.2.1",)})
    assert not [*files.check_trunk_passwords(settings.model_copy(update={"trunks": (trunk,)}))]
