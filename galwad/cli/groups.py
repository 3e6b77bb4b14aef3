"""The groups of commands that are named after a noun, such as `galwad audit`.

This module has what the help of a group shows, so that the help loads no command: the docstring of
a class is the help text of the group, and `summaries` has a line about each command. The commands
themselves are in the modules that the class names (`LazyGroup`).
"""

from __future__ import annotations

from typing import ClassVar, Final

from galwad.cli.support.lazy import LazyGroup


class RecordingsGroup(LazyGroup):
    """Find, show, fetch, verify, retain and dispose of recordings."""

    package = "galwad.archive.commands"
    module = "recordings"
    modules: ClassVar = {
        "show": "recordings_show",
        "fetch": "recordings_fetch",
        "verify": "recordings_verify",
        "recover": "recordings_fetch",
        "reindex": "recordings_reindex",
    }
    summaries: ClassVar = {
        "list": "List recordings, the newest first.",
        "show": "Show the recorded parts and gaps of a recording.",
        "fetch": "Fetch a recording, and decrypt it here.",
        "verify": "Verify signatures, digests and lengths of recordings.",
        "recover": "Recover spools that a reboot locked.",
        "hold": "Retain a recording: it cannot be disposed of.",
        "release": "End the retention of a recording.",
        "purge": "Dispose of a recording.",
        "reindex": "Index recordings again from their signed manifests.",
    }


class CallsGroup(LazyGroup):
    """List calls in progress; show figures; check that each second of the calls is explained."""

    package = "galwad.calls"
    module = "commands"
    summaries: ClassVar = {
        "list": "List the calls in progress.",
        "coverage": "Check that each second of each call is explained.",
        "figures": "Show the figures of the calls that ended.",
    }


class AlarmsGroup(LazyGroup):
    """List alarms and who handles them; take an alarm, or close it."""

    package = "galwad.calls.alarms"
    module = "commands"
    summaries: ClassVar = {
        "list": "List the alarms that are not closed.",
        "take": "Take an alarm: all supervisors see it.",
        "close": "Close an alarm.",
    }


class AuditGroup(LazyGroup):
    """List, export and verify the audit: a chain of entries that show who did what.

    Each entry has the digest of the entry before it, so a later change to an entry is detected.
    """

    package = "galwad.archive.commands"
    module = "audit"
    summaries: ClassVar = {
        "list": "List entries, sorted from old to new.",
        "export": "Export the whole chain, one entry a line.",
        "verify": "Verify each hash, signature and anchor.",
        "erase": "Erase names and numbers from an entry, with a signed reason.",
        "anchor": "Append the newest entry's hash to a file that you keep.",
    }


class KeysGroup(LazyGroup):
    """Manage the officer's keys, and the set of people who can open recordings.

    Run the commands on the officer's machine.
    """

    package = "galwad.archive.commands"
    module = "keys"
    modules: ClassVar = {"rewrap": "keys_rewrap"}
    summaries: ClassVar = {
        "init": "Create your two keys: an identity and a signing key.",
        "show": "Print the public halves of your keys.",
        "sign": "Sign the set of recipients who can open recordings.",
        "trust": "Sign the list of the nodes whose recordings you trust.",
        "rewrap": "Give every recording a header for the signed set.",
    }


class DirectoryGroup(LazyGroup):
    """Manage the directory of the people whom Galwad can identify when they call."""

    package = "galwad.directories"
    module = "commands"
    modules: ClassVar = {"test": "lookup_command"}
    summaries: ClassVar = {
        "import": "Import people from a CSV file.",
        "import-folder": "Import the CSV files in a folder.",
        "test": "Look a number up in each directory.",
    }


class ContactsGroup(LazyGroup):
    """List contact notes that the CRM does not have yet; deliver them again, or discard them."""

    package = "galwad.notes"
    module = "commands"
    summaries: ClassVar = {
        "list": "List the notes that are not delivered, without texts.",
        "retry": "Deliver notes as soon as possible.",
        "discard": "Never deliver notes; Galwad itself keeps them.",
    }


class TextsGroup(LazyGroup):
    """List and change purposes, reasons, and the names of lines and teams, in both languages."""

    package = "galwad.texts"
    module = "commands"
    summaries: ClassVar = {
        "list": "List the texts, with where each list is from.",
        "set": "Set a list from a JSON file.",
        "reset": "Use the list of the settings again.",
    }


class BackupGroup(LazyGroup):
    """Back up this server, or restore it from a backup. Run the commands on the server, as root."""

    package = "galwad.archive.commands"
    module = "backup"
    summaries: ClassVar = {
        "make": "Back up this server.",
        "restore": "Restore a server that lost its database.",
    }


class TokensGroup(LazyGroup):
    """Manage the tokens of machines, and the personal tokens with which people pause recordings."""

    package = "galwad.people"
    module = "commands"
    app = "tokens"
    summaries: ClassVar = {
        "list": "List the tokens of a user.",
        "add": "Make a token for a user.",
        "revoke": "Revoke one token of a user.",
    }


class UsersGroup(LazyGroup):
    """Manage the users of the page and the API, and their phones."""

    package = "galwad.people"
    module = "commands"
    groups: ClassVar = {"tokens": TokensGroup}
    summaries: ClassVar = {
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
    }


class SimulateGroup(LazyGroup):
    """Test an installation with simulated calls."""

    package = "galwad.simulate"
    module = "commands"
    summaries: ClassVar = {
        "call": "Place a call to a running Galwad, and judge the result.",
        "payments": "Try the triggers of payment pauses.",
        "transfers": "Try each kind of transfer that phones can make.",
    }


GROUPS: Final[dict[str, type[LazyGroup]]] = {
    "recordings": RecordingsGroup,
    "calls": CallsGroup,
    "alarms": AlarmsGroup,
    "audit": AuditGroup,
    "keys": KeysGroup,
    "directory": DirectoryGroup,
    "contacts": ContactsGroup,
    "texts": TextsGroup,
    "backup": BackupGroup,
    "users": UsersGroup,
    "simulate": SimulateGroup,
}
