"""Runs the real service from a copy of the product in which one line was changed.

The commands that must name the change run from the product itself, as on an officer's machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import galwad
from helpers.peers.client import PAYMENT_LINE, PBX_LINE, PBX_TARGET, OfficerClient
from helpers.peers.scripted_pbx import ScriptedPbx
from helpers.peers.service import PASSWORD, OfficerKeys, Service
from helpers.processes import run_galwad
from helpers.sabotages import COVERAGE, PAYMENTS, PROMISES, SETTINGS, TRANSFERS, Sabotage

PACKAGES = ("galwad", "recording", "telephony", "config", "callerid", "net")
INSTALLED = Path(galwad.__file__).parent.parent
_INDEXED_WITHIN_S = 8.0
_LONGEST_S = 240


def copied(folder: Path, sabotage: Sabotage | None) -> Path:
    """Copy the installed product into a folder, change the line, and return the copy's path."""
    copy = folder / "product"
    for package in PACKAGES:
        # With the compiled modules, so that only the changed one is compiled.
        shutil.copytree(INSTALLED / package, copy / package)
    if sabotage is not None and sabotage.file != SETTINGS:
        change(copy / sabotage.file, sabotage)
    return copy


def change(file: Path, sabotage: Sabotage) -> None:
    """Replace the old text of a sabotage, which must occur once in the file."""
    text = file.read_text(encoding="utf-8")
    assert text.count(sabotage.old) == 1, f"{sabotage.name}: {text.count(sabotage.old)} times"
    file.write_text(text.replace(sabotage.old, sabotage.new), encoding="utf-8")


class SabotagedSite:
    """A site whose three processes run the copy, and the commands that check it."""

    def __init__(self, folder: Path, officer: OfficerKeys, sabotage: Sabotage | None) -> None:
        """Make the copy and the settings. Call `start` next."""
        self._copy = copied(folder, sabotage)
        self._service = Service(folder, officer, erase_back="", more=PAYMENT_LINE)
        self._officer = officer
        self._settings = folder / "officer.toml"
        shutil.copy(self._service.config, self._settings)
        if sabotage is not None and sabotage.file == SETTINGS:
            change(self._service.config, sabotage)

    def start(self) -> None:
        """Start the processes, and sign in as the officer."""
        service, ours = self._service, dict(os.environ)
        os.environ |= {"PYTHONPATH": str(self._copy), "PYTHONSAFEPATH": "1"}
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        try:
            where = subprocess.check_output(
                [sys.executable, "-c", "import recording; print(recording.__file__)"], text=True
            )
            assert where.startswith(str(self._copy)), where
            service.add_users()
            service.start("switch", "desk", "finaliser")
            service.log.wait("phones.set")
            self._pbx = ScriptedPbx("127.0.0.3", service.pbx_port, PBX_TARGET)
            machine = ("users", "add", "pay", "--role", "machine", "--right", "payments", "--json")
            self._token = json.loads(service.galwad(*machine))["token"]
        finally:
            os.environ.clear()
            os.environ.update(ours)
        self._client = OfficerClient(service, service.folder / "client")

    def stop(self) -> None:
        """End the processes. Their logs are not judged, because a sabotage may fill them."""
        self._pbx.end()
        self._service.stop()

    def named_by(self, sabotage: Sabotage) -> dict[str, str]:
        """Run the commands; return the output of each that ends with 1, by the command's name."""
        service = self._service
        found: dict[str, tuple[int, str]] = {}
        words: tuple[str, ...]
        if sabotage.payments:
            words = ("--advisor", "sian", "--outside", "550", "--card")
            secrets = [service.sip_password, PASSWORD]
            found[PAYMENTS] = self._simulate("payments", words, sabotage.payments, secrets)
        if sabotage.transfers:
            words = ("--answer", "301", "--outside", "500", "--pbx-line", PBX_LINE)
            words += ("--pbx-answer", "201", "--pbx-answer", "500")
            secrets = [service.sip_password, "secret-301", "not asked", "not asked"]
            found[TRANSFERS] = self._simulate("transfers", words, sabotage.transfers, secrets)
        self._wait_until_indexed()
        found[COVERAGE] = self._run(["calls", "coverage"])
        found[PROMISES] = self._run(["promise-check"])
        assert all(status in {0, 1} for status, _ in found.values()), found
        return {command: output for command, (status, output) in found.items() if status}

    def _simulate(
        self, command: str, words: tuple[str, ...], rows: tuple[str, ...], secrets: list[str]
    ) -> tuple[int, str]:
        only = [word for row in rows for word in ("--only", row)]
        options = ("--answer", "201", *words, *only)
        return self._run(self._client.simulation(command, *options, config=self._settings), secrets)

    def _run(self, words: list[str], lines: list[str] | None = None) -> tuple[int, str]:
        done = run_galwad(
            *words,
            input="".join(f"{line}\n" for line in lines or ()),
            timeout=_LONGEST_S,
            env=self._client.environment | {"GALWAD_PAUSE_TOKEN": self._token},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def _wait_until_indexed(self) -> None:
        """Wait until no spool is left, if the sabotage allows that."""
        limit = time.monotonic() + _INDEXED_WITHIN_S
        spools = self._service.state / "spool"
        while any(spools.glob("*.spool")) and time.monotonic() < limit:
            time.sleep(0.1)
