"""The matrix of transfers: the kinds in docs/transfers.md that phones make, or ask a PBX for."""

from __future__ import annotations

from typing import Final

from galwad.cli.simulate.matrix.payment_rows import PauseStep, ReleaseStep
from galwad.cli.simulate.matrix.rows import GapRule, Row, Talk
from galwad.cli.simulate.matrix.site import Need
from galwad.cli.simulate.matrix.transfer_steps import (
    BlindTransfer,
    BusyAndRecalled,
    BusyTransfer,
    Consult,
    HangUpWhileItRings,
    JoinWhileItRings,
    NamedByPbx,
    PbxName,
    PickUp,
    Referral,
    SendBack,
    Shown,
    TransferAtPbx,
    TransferParty,
)
from galwad.cli.simulate.matrix.triggers import KEY, PERSON
from galwad.cli.simulate.matrix.voices import Fate

_BEFORE: Final = Talk("before the transfer")
_INSIDE: Final = Talk("after the transfer")
_OUTSIDE: Final = Talk("after the transfer", Fate.IN_GAP)
_RETURNED: Final = Talk("after the return", longer=True)
_PAUSED: Final = Talk("in the pause", Fate.IN_GAP)
_CEASED: Final = GapRule("transfer", Referral())
_CEASED_WHILE_IT_RANG: Final = GapRule("transfer", Referral(), at_request=True)
_COLLEAGUE: Final = frozenset({Need.COLLEAGUE})
_AWAY: Final = frozenset({Need.OUTSIDE})
_NAMED: Final = GapRule("transfer", PbxName())
_AT_PBX: Final = frozenset({Need.PBX})

TRANSFERS: Final[tuple[Row, ...]] = (
    Row(
        "blind, to a colleague",
        (_BEFORE, BlindTransfer(TransferParty.COLLEAGUE), Shown("recording"), _INSIDE),
        needs=_COLLEAGUE,
        segments=2,
    ),
    Row(
        "blind, outside",
        (_BEFORE, BlindTransfer(TransferParty.OUTSIDE), Shown("ceased"), _OUTSIDE),
        (_CEASED,),
        _AWAY,
        segments=1,
    ),
    Row(
        "blind, outside, the advisor hangs up while it rings",
        (_BEFORE, HangUpWhileItRings(), _OUTSIDE),
        (_CEASED,),
        _AWAY,
        segments=1,
    ),
    Row(
        "attended, to a colleague",
        (_BEFORE, Consult(TransferParty.COLLEAGUE), Shown("recording"), _INSIDE),
        needs=_COLLEAGUE,
        segments=2,
    ),
    Row(
        "attended, outside",
        (_BEFORE, Consult(TransferParty.OUTSIDE), Shown("ceased"), _OUTSIDE),
        (_CEASED,),
        _AWAY,
        segments=1,
    ),
    Row(
        "attended, while the colleague still rings",
        (_BEFORE, JoinWhileItRings(), Shown("recording"), _INSIDE),
        needs=_COLLEAGUE,
        segments=2,
    ),
    Row(
        "consultation, then back to the caller",
        (_BEFORE, Consult(TransferParty.COLLEAGUE, joins=False), Talk("after the consultation")),
        needs=_COLLEAGUE,
        segments=1,
    ),
    Row(
        "pick-up by a colleague, with Replaces",
        (_BEFORE, PickUp(), Shown("recording"), _INSIDE),
        needs=_COLLEAGUE,
        segments=2,
    ),
    Row(
        "failed, the advisor still there",
        (_BEFORE, BusyTransfer(), Talk("after the failure")),
        (_CEASED_WHILE_IT_RANG,),
        _AWAY,
    ),
    Row(
        "failed, the advisor rung again",
        (_BEFORE, BusyAndRecalled(), _RETURNED),
        (_CEASED,),
        _AWAY,
        segments=2,
    ),
    Row(
        "return from outside",
        (_BEFORE, Consult(TransferParty.OUTSIDE), _OUTSIDE, SendBack(), _RETURNED),
        (_CEASED,),
        _AWAY,
        segments=2,
    ),
    Row(
        "to a colleague, in a pause",
        (
            *(_BEFORE, PauseStep(KEY), _PAUSED),
            BlindTransfer(TransferParty.COLLEAGUE, ringing=Fate.IN_GAP),
            Shown("paused"),
            Talk("with the colleague, in the pause", Fate.IN_GAP),
            ReleaseStep(PERSON, KEY),
            Talk("after the pause", longer=True),
        ),
        (GapRule("payment", KEY),),
        _COLLEAGUE,
        segments=2,
    ),
    Row(
        "attended, with a pause in the consultation",
        (
            *(_BEFORE, Consult(TransferParty.COLLEAGUE, pauses=True), Shown("paused")),
            Talk("with the colleague, in the pause", Fate.IN_GAP),
            *(ReleaseStep(PERSON, KEY), Talk("after the pause", longer=True)),
        ),
        (GapRule("payment", KEY),),
        _COLLEAGUE,
        segments=2,
    ),
    Row(
        "outside, in a pause",
        (
            *(_BEFORE, PauseStep(KEY), _PAUSED),
            BlindTransfer(TransferParty.OUTSIDE, ringing=Fate.IN_GAP),
            *(Shown("ceased"), _OUTSIDE),
        ),
        (GapRule("payment", KEY), _CEASED),
        _AWAY,
        segments=1,
    ),
    Row(
        "blind, by the PBX, to a department",
        (_BEFORE, TransferAtPbx(), NamedByPbx(), _OUTSIDE),
        (_NAMED,),
        _AT_PBX,
        segments=1,
    ),
    Row(
        "attended, by the PBX, to a department",
        (_BEFORE, Consult(TransferParty.AT_PBX), NamedByPbx(), _OUTSIDE),
        (_NAMED,),
        _AT_PBX,
        segments=1,
    ),
)
