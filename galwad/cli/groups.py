"""The groups of commands that are named after a noun, such as `galwad audit`.

This module has what the help of a group shows, so that the help loads no command.
"""

from __future__ import annotations

from typing import Final

from galwad.cli.support.lazy import LazyGroup

_TOKENS: Final = LazyGroup(
    "Manage the tokens of machines, and the personal tokens with which people pause recordings.",
    "galwad.people.commands",
    app="tokens",
    summaries={
        "list": "List the tokens of a user.",
        "add": "Make a token for a user.",
        "revoke": "Revoke one token of a user.",
    },
)

GROUPS: Final = {
    "recordings": LazyGroup(
        "Find, show, fetch, verify, flag and dispose of recordings.",
        "galwad.archive.commands.recordings",
        modules={
            "show": "galwad.archive.commands.recordings_show",
            "fetch": "galwad.archive.commands.recordings_fetch",
            "verify": "galwad.archive.commands.recordings_verify",
            "recover": "galwad.archive.commands.recordings_fetch",
            "reindex": "galwad.archive.commands.recordings_reindex",
        },
        summaries={
            "list": "List recordings, the newest first.",
            "show": "Show the recorded parts and gaps of a recording.",
            "fetch": "Fetch a recording, and decrypt it here.",
            "verify": "Verify signatures, digests and lengths of recordings.",
            "recover": "Recover spools that a reboot locked.",
            "flag": "Flag a recording, so that fewer people can hear it.",
            "unflag": "Remove a flag from a recording.",
            "purge": "Dispose of a recording.",
            "reindex": "Index recordings again from their signed manifests.",
        },
    ),
    "holds": LazyGroup(
        "Open, list, change and release legal holds, for which recordings are retained.",
        "galwad.archive.commands.holds",
        summaries={
            "list": "List legal holds, the earliest review first.",
            "show": "Show a legal hold, and who has asked for releases.",
            "open": "Open a legal hold, and retain recordings for it.",
            "add": "Retain further recordings for a legal hold.",
            "change": "Change a legal hold.",
            "release": "Release a legal hold; two administrators must do it.",
        },
    ),
    "disclosures": LazyGroup(
        "Keep the register of disclosures: who gets copies of recordings, and who approves it.",
        "galwad.archive.commands.disclosures",
        summaries={
            "list": "List disclosures, the newest first.",
            "show": "Show a disclosure, its recordings, and the files that left.",
            "open": "Ask to disclose recordings by a law, for a crime or a danger to life.",
            "add": "Add recordings to a disclosure that is not approved yet.",
            "approve": "Approve a disclosure as the second administrator.",
            "refuse": "Refuse a disclosure, with the reason.",
            "sent": "Enter a file that leaves for a disclosure.",
            "close": "Close a disclosure.",
        },
    ),
    "cases": LazyGroup(
        (
            "Keep the register of requests by people about their data, and of complaints.\n\n"
            "Each case has the deadlines that the law sets, counted from the day of receipt."
        ),
        "galwad.cases.commands.register",
        modules={
            "export": "galwad.cases.commands.export",
            "letter": "galwad.cases.commands.letter",
        },
        summaries={
            "list": "List cases, the earliest deadline first.",
            "show": "Show a case, its steps, and where was searched.",
            "open": "Open a case; its clock starts on the day of the call.",
            "change": "Change what was entered when the case was opened.",
            "step": "Enter what has happened: a question, an extension, the end.",
            "undo": "Withdraw a step that was entered by mistake.",
            "search": "Search for the calls of a person, and add them.",
            "calls": "List the calls that were found.",
            "exclude": "Exclude calls from the answer, for a reason.",
            "include": "Include calls in the answer again.",
            "accesses": "List who has used the recordings, and why.",
            "export": "Make a pack with copies for the person.",
            "letter": "Write the letter about a step to the person.",
            "figures": "Count the cases of a period, for the regulator.",
            "restrict": "Flag the recordings as restricted, or no longer.",
            "erase": "Erase the calls of a request for erasure.",
        },
    ),
    "retention": LazyGroup(
        "Show how long recordings are kept; approve changed rules; dispose of what is due.",
        "galwad.archive.commands.retention",
        summaries={
            "plan": "Show the rules, and what is due in the next days.",
            "preview": "Show what changed rules would do, before they are approved.",
            "approve": "Approve changed rules; two administrators must do it.",
            "run": "Dispose of the recordings whose term is over.",
            "confirm-clock": "Confirm that the server's clock is right.",
        },
    ),
    "calls": LazyGroup(
        "List calls in progress; show figures; check that each second of the calls is explained.",
        "galwad.calls.commands",
        summaries={
            "list": "List the calls in progress.",
            "coverage": "Check that each second of each call is explained.",
            "figures": "Show the figures of the calls that ended.",
        },
    ),
    "alarms": LazyGroup(
        "List alarms and who handles them; take an alarm, or close it.",
        "galwad.calls.alarms.commands",
        summaries={
            "list": "List the alarms that are not closed.",
            "take": "Take an alarm: all supervisors see it.",
            "close": "Close an alarm.",
        },
    ),
    "audit": LazyGroup(
        (
            "List, export and verify the audit: a chain of entries that show who did what.\n\n"
            "Each entry has the digest of the entry before it, so a later change to an entry "
            "is detected."
        ),
        "galwad.archive.commands.audit",
        summaries={
            "list": "List entries, sorted from old to new.",
            "export": "Export the whole chain, one entry a line.",
            "verify": "Verify each hash, signature and anchor.",
            "erase": "Erase names and numbers from an entry, with a signed reason.",
            "anchor": "Append the newest entry's hash to a file that you keep.",
        },
    ),
    "keys": LazyGroup(
        (
            "Manage the officer's keys, and the set of people who can open recordings.\n\n"
            "Run the commands on the officer's machine."
        ),
        "galwad.archive.commands.keys",
        modules={
            "rewrap": "galwad.archive.commands.keys_rewrap",
        },
        summaries={
            "init": "Create your two keys: an identity and a signing key.",
            "show": "Print the public halves of your keys.",
            "sign": "Sign the set of recipients who can open recordings.",
            "trust": "Sign the list of the nodes whose recordings you trust.",
            "rewrap": "Give every recording a header for the signed set.",
        },
    ),
    "directory": LazyGroup(
        "Manage the directory of the people whom Galwad can identify when they call.",
        "galwad.directories.commands",
        modules={
            "test": "galwad.directories.lookup_command",
        },
        summaries={
            "import": "Import people from a CSV file.",
            "import-folder": "Import the CSV files in a folder.",
            "test": "Look a number up in each directory.",
        },
    ),
    "contacts": LazyGroup(
        "List contact notes that the CRM does not have yet; deliver them again, or discard them.",
        "galwad.notes.commands",
        summaries={
            "list": "List the notes that are not delivered, without texts.",
            "retry": "Deliver notes as soon as possible.",
            "discard": "Never deliver notes; Galwad itself keeps them.",
        },
    ),
    "texts": LazyGroup(
        "List and change purposes, reasons, and the names of lines and teams, in both languages.",
        "galwad.texts.commands",
        summaries={
            "list": "List the texts, with where each list is from.",
            "set": "Set a list from a JSON file.",
            "reset": "Use the list of the settings again.",
        },
    ),
    "backup": LazyGroup(
        (
            "Back up this server, or restore it from a backup. Run the commands on the server, "
            "as root."
        ),
        "galwad.archive.commands.backup",
        summaries={
            "make": "Back up this server.",
            "restore": "Restore a server that lost its database.",
        },
    ),
    "users": LazyGroup(
        "Manage the users of the page and the API, and their phones.",
        "galwad.people.commands",
        groups={"tokens": _TOKENS},
        summaries={
            "add": "Add a user.",
            "list": "List the users, without secrets.",
            "role": "Give a person another role.",
            "rights": "Set the rights of a user.",
            "team": "Set the team of a user.",
            "tokens": "Manage the tokens of machines and people.",
            "password": "Give a person a new password.",
            "sip-password": "Generate a new SIP password for a phone.",
            "move": "Give a user another extension.",
            "link": "Link an account of the OpenID provider to a user.",
            "unlink": "Unlink an account of the OpenID provider.",
            "remove-second-factor": "Remove the second factor of a person.",
            "disable": "Disable a user, and end the user's sessions.",
            "enable": "Let a disabled user sign in again.",
            "remove": "Remove a user.",
        },
    ),
    "simulate": LazyGroup(
        "Test an installation with simulated calls.",
        "galwad.simulate.commands",
        summaries={
            "call": "Place a call to a running Galwad, and judge the result.",
            "payments": "Try the triggers of payment pauses.",
            "transfers": "Try each kind of transfer that phones can make.",
        },
    ),
}
