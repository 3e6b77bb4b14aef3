"""`galwad check` and `galwad status`: find the faults of an installation; show the processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from galwad.cli.checks import CheckResult, Grade, fault
from galwad.cli.support.console import CliError, console, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings

if TYPE_CHECKING:
    from galwad.settings import Settings

Check: TypeAlias = "Callable[[Settings], Iterator[CheckResult]]"
app = new_command()

_MARKS: Final = {
    Grade.FINE: ("ok  ", "green"),
    Grade.WARNING: ("warn", "yellow"),
    Grade.FAULT: ("FAIL", "bold red"),
}


@app.command(epilog="Example: galwad check --config /etc/galwad/galwad.toml")
def check(*, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """Check settings, folders, processes, ports, keys, database, directories, clock and more.

    Run the command on the server, as the service's user or as root. The exit status is 1 if there
    is a fault, otherwise 0, even if there are warnings. The command changes no data and does not
    disturb a running service. It looks names up in DNS, and a number in each directory.
    """
    settings = load_settings(config)
    findings = [CheckResult("settings", Grade.FINE, f"{config} is correct")]
    findings += [result for each in _checks() for result in _results(each, settings)]
    faults = sum(1 for finding in findings if finding.grade is Grade.FAULT)
    if json:
        print_json([finding.as_json() for finding in findings])
    else:
        _print(findings)
    if faults:
        raise CliError(
            f"{faults} fault{'s' if faults > 1 else ''} found", "each fault is shown with its fix"
        )


def _checks() -> tuple[Check, ...]:
    """Return all checks, in the sequence in which their faults should be corrected."""
    # These modules load most of Galwad, and the help of the command must not wait for this.
    from galwad.cli.checks import (  # noqa: PLC0415
        contradictions,
        database,
        files,
        host,
        keys,
        network,
        services,
    )

    return (
        host.check_folders,
        host.check_processes,
        network.check_ports,
        network.check_ip_filter,
        network.check_routes,
        network.check_peers,
        contradictions.check_contradictions,
        keys.check_keys,
        files.check_unit_files,
        keys.check_certificates,
        files.check_trunk_passwords,
        network.check_srtp,
        database.check_database,
        services.check_directories,
        services.check_directory_answers,
        services.check_webhook,
        services.check_sign_in,
        keys.check_spools,
        database.check_coverage,
        host.check_machine,
    )


def _results(run: Check, settings: Settings) -> Iterator[CheckResult]:
    """Yield the results of one check; turn an `OSError` into a fault, so that other checks run."""
    try:
        yield from run(settings)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        ours = isinstance(error, PermissionError)
        fix = (
            "run this as root, or as the user who runs galwad"
            if ours
            else "check the disk of this path"
        )
        yield fault("disk", f"{error.filename or settings.node.state}: {reason}", fix)


def _print(findings: list[CheckResult]) -> None:
    from rich.text import Text  # noqa: PLC0415 - not loaded for the help

    out = console()
    for finding in findings:
        mark, style = _MARKS[finding.grade]
        out.print(Text.assemble((mark, style), f"  {finding.name:<12}"), end="  ")
        out.print(finding.text)
        if finding.fix:
            out.print(f"{'':20}fix: {finding.fix}")


@app.command(epilog="Example: galwad status")
def status(*, config: Config = DEFAULT_PATH, json: Json = False) -> None:
    """Show whether the switch, the desk and the finaliser are running on this server.

    The exit status is 0 if all three are running and answer, otherwise 1. `galwad check` examines
    the installation.
    """
    # These modules load much of Galwad, and the help must not wait for this.
    from galwad.cli.checks.host import why_down  # noqa: PLC0415
    from galwad.process_state import State, states  # noqa: PLC0415

    found = states(load_settings(config))
    if json:
        print_json([{"name": e.name, "state": e.state.value, "pid": e.pid} for e in found])
    else:
        print_table(
            ("PROCESS", "STATE", "PID"),
            ((each.name, each.state.value, str(each.pid or "")) for each in found),
            empty="",
        )
    down = [each for each in found if each.state is not State.RUNNING]
    if down:
        raise CliError(
            "; ".join(map(why_down, down)),
            f"journalctl -u galwad-{down[0].name} shows why; `galwad check` examines the rest",
        )
