"""`galwad disclosures`: who gets copies of recordings, who approves it, and which files left."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from galwad.archive.rules import DisclosurePurpose
from galwad.cli.support.client import ask
from galwad.cli.support.console import (
    CliError,
    console,
    date_and_time,
    print_json,
    print_table,
    size,
)
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import (
    Json,
    Reference,
    Server,
    Yes,
    checked_id,
    confirm,
    required,
)

app = new_command()
Number: TypeAlias = Annotated[int, typer.Argument(min=1, help="The number of the disclosure.")]
CallIds: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="ID...", help="The ids of the recordings.")
]
Note: TypeAlias = Annotated[str, typer.Option("--note", help="A note; the audit records it.")]


@app.command("list", epilog="Example: galwad disclosures list")
def list_(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also list those that were refused or closed.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """List disclosures, the newest first."""
    found = ask(server, "GET", f"/disclosures?ended={str(every).lower()}")
    if json:
        print_json(found)
        return
    print_table(
        ("NUMBER", "PURPOSE", "REFERENCE", "RECIPIENT", "OPENED BY", "STATE"),
        (
            (
                str(each["disclosure_id"]),
                each["purpose"],
                each["reference"],
                each["recipient"],
                each["asked_by"],
                _state(each),
            )
            for each in found["rows"]
        ),
        empty="There are no disclosures.",
    )


def _state(row: dict[str, Any]) -> str:
    if row["state"] == "urgent":
        return "urgent, not reviewed"
    waits = row["urgent"] and not row["decision"]
    return f"{row['state']}, not reviewed" if waits else str(row["state"])


@app.command(epilog="Example: galwad disclosures show 4")
def show(number: Number, *, server: Server = "", json: Json = False) -> None:
    """Show a disclosure, its recordings, and the files that left."""
    _print(ask(server, "GET", f"/disclosures/{number}"), json=json)


def _print(found: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json(found)
        return
    out, row = console(), found["disclosure"]
    lines = {
        "disclosure": f"{row['disclosure_id']}: {row['reference']}",
        "purpose": row["purpose"],
        "requester": row["requester"],
        "authority": row["authority"],
        "recipient": row["recipient"],
        "details": row["details"],
        "opened": f"{date_and_time(row['opened'])} by {row['asked_by']}",
        "urgent": row["urgent"],
        "state": _state(row),
        "decision": _act(row["decided"], row["decided_by"], row["decision"]),
        "note": row["decision_note"],
        "closed": _act(row["closed"], row["closed_by"], row["closing_note"]),
    }
    for name, text in lines.items():
        if text:
            out.print(f"{name}: {text}", markup=False)
    for call_id in found["call_ids"]:
        out.print(f"recording: {call_id}", markup=False)
    for each in found["files"]:
        what = each["what"] or f"evidence pack of {each['call_id']}"
        line = f"file: {date_and_time(each['at'])}: {what} ({size(each['size'])})"
        out.print(f"{line} sha256 {each['sha256']}", markup=False)


def _act(at: float | None, who: str, what: str) -> str:
    return "" if at is None else f"{date_and_time(at)} by {who}: {what}"


@app.command(
    "open",
    epilog="Example: galwad disclosures open 20261125-093000-abcdefgh --purpose crime --requester "
    '"DC Jones, South Wales Police" --authority "DPA 2018 schedule 2, form 7/2026" --recipient '
    '"DC Jones" --reference POLICE-7',
)
def open_(
    call_ids: CallIds,
    *,
    purpose: Annotated[
        DisclosurePurpose, typer.Option(help="Why the council discloses the recordings.")
    ],
    requester: Annotated[str, typer.Option(help="Who asks for them, and for which body.")],
    authority: Annotated[str, typer.Option(help="The order, law or form by which they ask.")],
    recipient: Annotated[str, typer.Option(help="The person who gets the copies.")],
    reference: Reference,
    details: Annotated[str, typer.Option(help="What they need, and what for.")] = "",
    urgent: Annotated[
        str,
        typer.Option(
            help="Why it cannot wait for a second administrator, who then reviews it afterwards."
        ),
    ] = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Ask to disclose recordings. A second administrator must approve it before they are used.

    Then name its number when you fetch the recordings or make evidence packs: --disclosure 4.
    """
    body = {
        "call_ids": [checked_id(each) for each in call_ids],
        "purpose": purpose,
        "requester": required("--requester", requester, "DC Jones, South Wales Police"),
        "authority": required("--authority", authority, "court order 2026/123"),
        "recipient": required("--recipient", recipient, "DC Jones"),
        "reference": required("--reference", reference, "POLICE-7"),
        "details": details,
        "urgent": urgent,
    }
    done = ask(server, "POST", "/disclosures", body)
    if json:
        print_json(done)
        return
    number = done["disclosure"]["disclosure_id"]
    print(f"Disclosure {number} is open.")
    if done["disclosure"]["state"] == "urgent":
        print("Its recordings may be used now. A second administrator must review it afterwards:")
    else:
        print("Its recordings may be used when a second administrator approves it:")
    print(f"  galwad disclosures approve {number}")


@app.command(epilog="Example: galwad disclosures add 4 20261125-101500-bcdefghi")
def add(number: Number, call_ids: CallIds, *, server: Server = "", json: Json = False) -> None:
    """Add recordings to a disclosure that you have opened, before it is approved or refused."""
    body = {"call_ids": [checked_id(each) for each in call_ids]}
    _print(ask(server, "POST", f"/disclosures/{number}/calls", body), json=json)


@app.command(epilog="Example: galwad disclosures approve 4")
def approve(
    number: Number, *, note: Note = "", yes: Yes = False, server: Server = "", json: Json = False
) -> None:
    """Approve a disclosure that another administrator has opened, or review an urgent one.

    The command first shows the disclosure.
    """
    _decide(number, "approved", note, server, yes=yes, json=json)


@app.command(epilog='Example: galwad disclosures refuse 4 --note "the form has no signature"')
def refuse(
    number: Number, *, note: Note = "", yes: Yes = False, server: Server = "", json: Json = False
) -> None:
    """Refuse a disclosure that another administrator has opened, with the reason.

    If it was urgent, its recordings cannot be used from now on, and what has left was wrong.
    """
    note = required("--note", note, "the form has no signature")
    _decide(number, "refused", note, server, yes=yes, json=json)


def _decide(number: int, decision: str, note: str, server: str, *, yes: bool, json: bool) -> None:
    found = ask(server, "GET", f"/disclosures/{number}")
    if not json:
        _print(found, json=False)
    if not yes:
        verb = "Approve" if decision == "approved" else "Refuse"
        confirm(f"{verb} this disclosure?", "nothing was decided")
    body = {"version": found["disclosure"]["version"], "decision": decision, "note": note}
    done = ask(server, "POST", f"/disclosures/{number}/decision", body)
    print_json(done) if json else print(f"Disclosure {number} is {decision}.")


@app.command(epilog='Example: galwad disclosures sent 4 call.flac --what "on a disc, by hand"')
def sent(
    number: Number,
    file: Annotated[
        Path, typer.Argument(help="The file that the recipient gets.", exists=True, dir_okay=False)
    ],
    *,
    what: Annotated[str, typer.Option(help="What it is, and how it leaves.")],
    server: Server = "",
    json: Json = False,
) -> None:
    """Enter a file that leaves for a disclosure, with its SHA-256. The file is not sent anywhere.

    `galwad evidence --disclosure` enters its packs itself.
    """
    try:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
            octets = content.tell()
    except OSError as error:
        raise CliError(
            f"cannot read {file}: {(error.strerror or '').lower()}", "name the file that leaves"
        ) from None
    body = {"what": required("--what", what, "on a disc"), "sha256": digest, "size": octets}
    done = ask(server, "POST", f"/disclosures/{number}/files", body)
    print_json(done) if json else print(f"{file} ({size(octets)}) sha256 {digest}")


@app.command(epilog='Example: galwad disclosures close 4 --note "the court has the copies"')
def close(number: Number, *, note: Note = "", server: Server = "", json: Json = False) -> None:
    """Close a disclosure: its recordings cannot be used for it any more."""
    note = required("--note", note, "the court has the copies")
    version = ask(server, "GET", f"/disclosures/{number}")["disclosure"]["version"]
    done = ask(server, "POST", f"/disclosures/{number}/close", {"version": version, "note": note})
    print_json(done) if json else print(f"Disclosure {number} is closed.")
