"""The kinds of cases, of their steps and their outcomes.

Commands import this module for their help, so it must not import modules that load slowly.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

CaseKind: TypeAlias = Literal[
    "access", "rectification", "erasure", "restriction", "portability", "objection", "complaint"
]
"""The rights of a person by UK GDPR, Articles 15 to 21, and a complaint."""
Channel: TypeAlias = Literal["telephone", "letter", "email", "in-person", "online"]
StepKind: TypeAlias = Literal[
    "identity-asked",
    "identity-given",
    "fee-asked",
    "fee-paid",
    "scope-asked",
    "scope-given",
    "extended",
    "acknowledged",
    "noted",
    "sent",
    "closed",
]
"""The steps of a case. Only the first seven move the day on which the answer is due."""
Outcome: TypeAlias = Literal["granted", "partly-refused", "refused", "withdrawn", "no-answer"]
"""The end of a case. For a complaint, "granted" means that it is upheld.

"withdrawn": the person no longer asks; "no-answer": they did not answer a question of the council.
"""
CaseState: TypeAlias = Literal[
    "open", "waiting-for-identity", "waiting-for-fee", "waiting-for-scope", "closed"
]
NEED_REASON: Final = frozenset({"partly-refused", "refused"})
"""The outcomes for which the person must be given a reason."""
