"""The lock files in requirements/: complete, in agreement, and independent of newer releases."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
FIRST_PIPS = {(3, 11): "22.3", (3, 12): "23.2.1", (3, 13): "24.2", (3, 14): "25.2"}
"""The pip that the first release of each supported Python brings."""
LOCKS_OF_TOOLS = ("demo", "ldap", "test")
OLD_PIP = FIRST_PIPS[sys.version_info[:2]]


def pinned(lock):
    """The canonical names and versions in a lock whose markers hold for this Python."""
    found = {}
    for line in re.findall(r"^[\w.-]+==.*?(?= \\$)", lock.read_text(), flags=re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            found[canonicalize_name(requirement.name)] = str(requirement.specifier)[2:]
    return found


def unmet(requirement, pins):
    """Each requirement that the pins leave open, followed through every extra that is asked for."""
    missing: list[str] = []
    seen: set = set()
    todo = [requirement]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if name in pins and not wanted.specifier.contains(pins[name], prereleases=True):
            missing.append(f"{wanted} (locked: {pins[name]})")
        if name not in pins and name != "galwad":
            missing.append(str(wanted))
            continue
        for extra in {"", *wanted.extras} - {e for n, e in seen if n == name}:
            seen.add((name, extra))
            for line in distribution(name).requires or []:
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    todo.append(needed)
    return missing


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("runtime", "galwad"),
        ("test", "galwad[test]"),
        ("build", "hatchling>=1.25"),
        ("build", "setuptools>=61"),
        ("ldap", "python-ldap>=3.4.8"),
    ],
)
def test_a_lock_names_every_package_that_is_needed_extras_included(lock, wanted):
    assert unmet(Requirement(wanted), pinned(ROOT / "requirements" / f"{lock}.txt")) == []


def test_a_lock_that_lacks_a_package_or_has_an_unfit_version_is_found():
    pins = pinned(ROOT / "requirements/test.txt")
    assert unmet(Requirement("galwad[test]"), {k: v for k, v in pins.items() if k != "coverage"})
    assert unmet(Requirement("galwad[test]"), {**pins, "pytest": "7.0"})


def test_locks_agree_on_each_package_that_they_share():
    versions: dict = {}
    for lock in LOCKS:
        for name, version in pinned(lock).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_versions_under_test_are_the_locked_versions():
    for name, version in {k: v for lock in LOCKS for k, v in pinned(lock).items()}.items():
        try:
            assert distribution(name).version == version
        except PackageNotFoundError:
            pytest.fail(f"{name} is in a lock and not installed")


@pytest.mark.parametrize("document", ["README.md", "docs/operations/*.md"])
def test_documents_install_a_lock_without_resolving_and_without_a_newer_builder(document):
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob(document)))
    commands = re.findall(r"^\S*pip install .*$", text, flags=re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert "--no-deps" in command
        assert "--require-hashes" in command or "--no-build-isolation" in command


def newer_wheels(folder):
    """Make an installable wheel of version 9999 of every package in the locks."""
    for name in {name for lock in LOCKS for name in pinned(lock)}:
        file = name.replace("-", "_")
        info = f"{file}-9999.dist-info"
        with zipfile.ZipFile(folder / f"{file}-9999-py3-none-any.whl", "w") as wheel:
            extras = "".join(f"Provides-Extra: {e}\n" for e in ("asyncio", "toml", "standard"))
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 9999\n{extras}"
            )
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def old_pip(tmp_path_factory):
    """A folder with the `bin/pip` of this Python's first release, and the environment for it.

    The environment has newer versions of everything on offer. Nothing is installed: pip writes
    what it would install to `report.json` in the folder.
    """
    offers, venv = tmp_path_factory.mktemp("newer"), tmp_path_factory.mktemp("venv")
    newer_wheels(offers)
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*download, "--dest", venv, f"pip=={OLD_PIP}"], check=True)
    (wheel,) = venv.glob("pip-*.whl")
    (venv / "bin").mkdir()
    pip = venv / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nPYTHONPATH={wheel} exec {sys.executable} -m pip "$@"\n')
    pip.chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
        "PIP_FIND_LINKS": str(offers),
        "PIP_DRY_RUN": "1",
        "PIP_IGNORE_INSTALLED": "1",
        "PIP_REPORT": str(venv / "report.json"),
    }
    return venv, environment


def chosen(venv):
    """The names and versions that pip would have installed."""
    report = json.loads((venv / "report.json").read_text())
    assert report["pip_version"] == OLD_PIP
    found = [entry["metadata"] for entry in report["install"]]
    return {canonicalize_name(entry["name"]): entry["version"] for entry in found}


@pytest.mark.long
@pytest.mark.peer
@pytest.mark.parametrize("name", ["build", *LOCKS_OF_TOOLS])
def test_the_oldest_pip_installs_the_locked_versions_where_newer_ones_are_on_offer(old_pip, name):
    venv, environment = old_pip
    lock = ROOT / "requirements" / f"{name}.txt"
    script = '. scripts/setup.sh; version=x; venv=$1; install_locked "$2"'
    command = ["bash", "-ec", script, "install", venv, lock]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert chosen(venv) == pinned(lock)


@pytest.mark.long
@pytest.mark.peer
def test_the_oldest_pip_takes_the_newer_version_where_no_lock_binds_it(old_pip):
    venv, environment = old_pip
    free = [venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "pytest"]
    subprocess.run(free, env=environment, check=True)
    assert chosen(venv) == {"pytest": "9999"}
