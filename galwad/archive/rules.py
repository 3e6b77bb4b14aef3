"""The purposes of a fetch, its audit entries, the reasons for a disposal, and advice on orphans.

Commands import this module for their help, so it must not import modules that load slowly.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

Purpose: TypeAlias = Literal[
    "quality-training",
    "customer-insight",
    "complaint",
    "legal-claim",
    "staff-safety",
    "legal-disclosure",
    "crime",
    "vital-interests",
]
DisclosurePurpose: TypeAlias = Literal["legal-disclosure", "crime", "vital-interests"]
DISCLOSURE_PURPOSES: Final = frozenset(get_args(DisclosurePurpose))
"""The purposes for which recordings are used only for a disclosure in the register.

Each is a situation in which the council may have to disclose data (privacy notice, lines 97 to 99).
For "legal-disclosure", a case in which a person asks for their own data is enough.
"""
ADMIN_PURPOSES: Final = DISCLOSURE_PURPOSES | {"legal-claim"}
"""The purposes for which only an administrator may fetch recordings."""
RESTRICTED_PURPOSES: Final = frozenset({"legal-claim", "legal-disclosure", "vital-interests"})
"""The purposes for which a restricted recording may still be fetched."""
FETCHED: Final = "recording.fetched"
"""The kind of the audit entry about each use of a recording."""
PACK_MADE: Final = "evidence.made"
"""The kind of the audit entry about each evidence pack."""
OrdinaryReason: TypeAlias = Literal["retention", "erasure", "mistake", "order"]
"""The reasons for a disposal that need no prevention record (`galwad.archive.custody.Purge`)."""
DisposalReason: TypeAlias = OrdinaryReason | Literal["captured-card"]

_FIXES: Final = {
    "archive is empty": (
        "mount the archive's disk again; if it is lost, restore the archive from a copy"
    ),
    "files without row": "`galwad recordings reindex` verifies the files, and adds the row",
    "files without manifest": (
        "restore the manifest from a copy; else keep the files, `age -d` may open them"
    ),
    "row without files": "restore the files from a copy of the archive",
    "files of another day": (
        "move the files to the folder that the index names, then run `galwad recordings verify`"
    ),
    "header of a disposal": (
        "`galwad recordings purge` destroys the header, if this node signed the certificate"
    ),
    "disposal without row": (
        "`galwad recordings purge` completes the disposal, if this node signed the certificate"
    ),
    "unfinished file": "if the call has a recording, remove this file",
}
_SPOOL_FIXES: Final = {
    "recording.locked": "`galwad recordings recover` with an officer's identity",
    "recording.no_recipients": "correct the signed set of recipients; the spool is then sealed",
}


def fix_of(kind: str, why: str = "") -> str:
    """Return the advice for an orphan. `why` is the kind of the alarm about its spool, or ""."""
    if why in _SPOOL_FIXES:
        return _SPOOL_FIXES[why]
    if kind.startswith(("no ", "manifest without ")):
        return "restore the missing file from a copy of the archive"
    return _FIXES.get(kind, "the journal of galwad-finaliser says why; keep the spool")
