"""`galwad check`: find the faults of an installation, and print how to correct each fault."""

from __future__ import annotations

from typing import Final

from galwad.cli.checks.result import CheckResult, Grade
from galwad.cli.support.console import CliError, console, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings

app = new_command()

_MARKS: Final = {
    Grade.FINE: ("ok  ", "green"),
    Grade.WARNING: ("warn", "yellow"),
    Grade.FAULT: ("FAIL", "bold red"),
}


@app.command(epilog="Example: galwad check --config /etc/galwad/galwad.toml")
def check(*, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """Check settings, folders, ports, keys, database, coverage, clock and limits.

    Run the command on the server, as the service's user or as root. The exit status is 1 if there
    is a fault, otherwise 0, even if there are warnings. The command changes no data and does not
    disturb a running service.
    """
    from galwad.cli.checks.all_checks import run  # noqa: PLC0415 - loads most of Galwad

    settings = load_settings(config)
    findings = [CheckResult("settings", Grade.FINE, f"{config} is correct")]
    findings += run(settings)
    faults = sum(1 for finding in findings if finding.grade is Grade.FAULT)
    if json:
        print_json([finding.as_json() for finding in findings])
    else:
        _print(findings)
    if faults:
        raise CliError(
            f"{faults} fault{'s' if faults > 1 else ''} found", "the fix is below each fault"
        )


def _print(findings: list[CheckResult]) -> None:
    from rich.text import Text  # noqa: PLC0415 - not loaded for the help

    out = console()
    for finding in findings:
        mark, style = _MARKS[finding.grade]
        out.print(Text.assemble((mark, style), f"  {finding.name:<12}"), end="  ")
        out.print(finding.text)
        if finding.fix:
            out.print(f"{'':20}fix: {finding.fix}")
