"""`galwad retention`: the rules, the plan of disposals, and the approval of changed rules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Reason, Server, Yes, confirm, required

app = new_command()
_TIMEOUT_S: Final = 600.0
"""The longest time in seconds for requests that read a million recordings or dispose of many."""


@app.command(epilog="Example: galwad retention plan --days 30")
def plan(
    *,
    days: Annotated[
        int, typer.Option(min=0, max=3660, help="The length of the plan in days.")
    ] = 30,
    server: Server = "",
    json: Json = False,
) -> None:
    """Show the rules in force, and which recordings are due in the next days.

    A due recording is disposed of in the night after its term, unless it is retained or restricted
    or has an open incident of a captured card.
    """
    found = ask(server, "GET", f"/retention?days={days}")
    if json:
        print_json(found)
        return
    _print_rules(found)
    until = date_and_time(found["until"])
    if not found["due"]:
        print(f"\nNo recording is due before {until}.")
    else:
        print(f"\nDue before {until}:")
        print_table(
            ("CATEGORY", "RECORDINGS", "RETAINED", "RESTRICTED", "CARD INCIDENT", "FIRST"),
            (
                (
                    each["category"],
                    *(str(each[name]) for name in ("recordings", "retained", "restricted")),
                    str(each["incidents"]),
                    _day(each["first"]),
                )
                for each in found["due"]
            ),
            empty="",
        )
    if found["clock_in_doubt"]:
        print(
            f"\nNothing is disposed of: {found['clock_in_doubt']}. "
            "Check the server's clock, and after a restore the legal holds, then: "
            "galwad retention confirm-clock"
        )
    if found["waiting"] is not None:
        _print_waiting(found["waiting"])


def _print_rules(found: dict[str, Any]) -> None:
    if found["in_force"] is None:
        print("No rules are in force: recordings are disposed of only by hand.")
        return
    kept = {each["category"]: each["recordings"] for each in found["kept"]}
    print(f"Rules in force: version {found['in_force']['version']}")
    print_table(
        ("CATEGORY", "KEEP", "FROM", "MINIMUM", "APPLIES TO", "RECORDINGS"),
        (_rule(each, kept.pop(each["category"], 0)) for each in found["in_force"]["rules"]),
        empty="",
    )


def _rule(rule: dict[str, Any], recordings: int) -> tuple[str, ...]:
    lists = (f"{name}: {', '.join(rule[name])}" for name in ("lines", "purposes", "flags"))
    applies = "; ".join(each for each in lists if not each.endswith(": "))
    return (
        rule["category"],
        rule["keep"],
        rule["counted_from"] or "",
        rule["minimum"] or "",
        applies or "all others",
        str(recordings),
    )


def _print_waiting(waiting: dict[str, Any]) -> None:
    first = waiting["approved_by"]
    needed = f"a second approval after that of {first}" if first else "two approvals"
    print(
        f"\nVersion {waiting['version']} of the rules waits for {needed}, because some recordings "
        "may go earlier by it. Show its effect: galwad retention preview"
    )


@app.command(epilog="Example: galwad retention preview")
def preview(*, server: Server = "", json: Json = False) -> None:
    """Show, by category, what the version of the rules that waits would change."""
    found = ask(server, "GET", "/retention/preview", timeout_s=_TIMEOUT_S)
    if json:
        print_json(found)
    elif found["version"] is None:
        print("No version of the rules waits for approval.")
    else:
        _print_preview(found)


def _print_preview(found: dict[str, Any]) -> None:
    print(f"Effect of version {found['version']} of the rules:")
    print_table(
        ("CATEGORY", "RECORDINGS", "EARLIER", "LATER", "DUE AT ONCE"),
        (
            (
                each["category"],
                *(str(each[name]) for name in ("recordings", "earlier", "later", "due")),
            )
            for each in found["categories"]
        ),
        empty="",
    )


@app.command(epilog="Example: galwad retention approve 4")
def approve(
    version: Annotated[int, typer.Argument(min=1, help="The number of the version.")],
    *,
    yes: Yes = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Approve the version of the rules that waits. Two administrators must approve it.

    The command first shows how many recordings may go earlier, and how many would be due at once.
    You need the right "purge" (`galwad users rights`).
    """
    found = ask(server, "GET", "/retention/preview", timeout_s=_TIMEOUT_S)
    if found["version"] != version:
        waits = "none waits" if found["version"] is None else f"{found['version']} waits"
        raise CliError(
            f"version {version} does not wait for approval: {waits}",
            "`galwad retention plan` shows the versions",
        )
    if not json:
        _print_preview(found)
    if not yes:
        confirm(f"Approve version {version}?", "nothing was approved")
    body = {"version": version}
    done = ask(server, "POST", "/retention/approve", body, timeout_s=_TIMEOUT_S)
    if json:
        print_json({"version": version, **done})
    elif done["in_force"]:
        print(f"Version {version} is in force.")
    else:
        print(f"Version {version} is approved; a second administrator must approve it too.")


@app.command(epilog="Example: galwad retention run")
def run(*, server: Server = "", json: Json = False) -> None:
    """Dispose of the recordings whose term is over now. This happens each night by itself.

    You need the right "purge" (`galwad users rights`).
    """
    total = {"disposed": 0, "failed": 0}
    body: dict[str, Any] = {"limit": 100}
    while True:
        done = ask(server, "POST", "/retention/run", body, timeout_s=_TIMEOUT_S)
        total = {name: count + done[name] for name, count in total.items()}
        if done["waits"] or done["after"] is None:
            break
        body["after"] = done["after"]
    if json:
        print_json({**total, "waits": done["waits"]})
        return
    print(f"disposed of: {total['disposed']}, refused: {total['failed']}")
    if done["waits"]:
        raise CliError(
            f"nothing more was disposed of: {done['waits']}",
            "`galwad retention plan` says what to do",
        )


@app.command(
    "confirm-clock",
    epilog='Example: galwad retention confirm-clock --reason "compared with the mobile network"',
)
def confirm_clock(*, reason: Reason, server: Server = "", json: Json = False) -> None:
    """Confirm that the server's clock is right, so that disposals go on.

    Do this only after you have compared the clock with another one: a clock that is ahead disposes
    of recordings too early. You need the right "purge" (`galwad users rights`).
    """
    body = {"reason": required("--reason", reason, "compared with the mobile network")}
    ask(server, "POST", "/retention/clock", body)
    print_json({"confirmed": True}) if json else print("The clock is confirmed.")


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().date().isoformat()
