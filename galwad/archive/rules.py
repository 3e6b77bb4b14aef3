"""The purposes of a fetch, the reasons for a disposal, and the advice about orphans.

Commands import this module for their help, so it must not import modules that load slowly.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

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
ADMIN_PURPOSES: Final = frozenset({"legal-claim", "legal-disclosure", "crime", "vital-interests"})
"""The purposes for which only an administrator may fetch recordings."""
OrdinaryReason: TypeAlias = Literal["retention", "erasure", "mistake", "order"]
"""The reasons for a disposal that need no prevention record (`galwad.archive.custody.Purge`)."""
DisposalReason: TypeAlias = OrdinaryReason | Literal["captured-card"]

_FIXES: Final = {
    "archive is empty": "mount its disk again; if it is lost, restore it from a copy",
    "files without row": "`galwad recordings reindex` verifies it, and adds its row",
    "files without manifest": (
        "restore the manifest from a copy; else keep the files, `age -d` may open them"
    ),
    "row without files": "restore them from a copy of the archive",
    "files of another day": "move all its files there; `galwad recordings verify` verifies them",
    "header of a disposal": (
        "`galwad recordings purge` destroys it, if this node signed the certificate"
    ),
    "disposal without row": (
        "`galwad recordings purge` completes it, if this node signed the certificate"
    ),
    "unfinished file": "if its call has a recording, remove it",
}
_SPOOL_FIXES: Final = {
    "recording.locked": "`galwad recordings recover` with an officer's identity",
    "recording.no_recipients": "correct the signed set of recipients; the spool is then sealed",
}


def fix_of(kind: str, why: str = "") -> str:
    """Return the advice for an orphan; `why` is the kind of the alarm about its spool, or ""."""
    if why in _SPOOL_FIXES:
        return _SPOOL_FIXES[why]
    if kind.startswith(("no ", "manifest without ")):
        return "restore it from a copy of the archive"
    return _FIXES.get(kind, "the journal of galwad-finaliser says why; keep it")
