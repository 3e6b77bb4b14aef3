"""The sabotages: changes of one line of the product or of its settings, and who must name each.

A sabotage that no command names shows that the proof has a hole. The old text must occur exactly
once in its file. `docs/operations/promises.md` has the same table in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS = "galwad.toml"
"""The file of a sabotage that changes the server's settings, of which the officer has a copy."""
PAYMENTS = "simulate payments"
TRANSFERS = "simulate transfers"
COVERAGE = "calls coverage"
PROMISES = "promise-check"
ALL = (PAYMENTS, COVERAGE, PROMISES)


@dataclass(frozen=True)
class Sabotage:
    """One sabotage.

    Attributes:
        name: What no longer works, in words.
        file: The file, relative to the repository; `SETTINGS` for the server's settings.
        old: The text that is replaced. It occurs once in the file.
        new: The text in its place.
        named_by: The commands that must name the sabotage: each ends with 1.
        payments: The rows of `simulate payments` that are run.
        transfers: The rows of `simulate transfers` that are run.
    """

    name: str
    file: str
    old: str
    new: str
    named_by: tuple[str, ...]
    payments: tuple[str, ...] = ()
    transfers: tuple[str, ...] = ()


KEY = ("record key",)
PAGE = ("page",)
CODE = ("dialled code",)
CARD = ("card number keyed outside a pause",)
BEFORE_A_PAUSE = ("digits keyed before a pause",)
LINE = ("transfer to a payment line",)
OUTSIDE = ("blind, outside",)
AT_PBX = ("blind, by the PBX, to a department",)
GATE = "recording/spool/gate.py"
POLICY = "recording/policy.py"
RECORDER = "recording/recorder.py"
FACTS = "recording/archive/call_facts.py"
CALL = "galwad/switch/call/switch_call.py"
PAUSES = "galwad/switch/call/pauses.py"
CALL_RECORDING = "galwad/switch/call/call_recording.py"
MOVES = "galwad/switch/call/transfers.py"
SEALER = "galwad/finaliser/sealer.py"

SABOTAGES = (
    # --- the gate and the recorder -------------------------------------------------------------
    Sabotage(
        "the gate stores packets in pauses",
        GATE,
        "if at_us >= self._until_us:",
        "if at_us >= self._until_us and not self.stored:",
        ALL,
        payments=KEY,
    ),
    Sabotage(
        "the gate stores packets after a transfer",
        GATE,
        "if at_us >= self._until_us:",
        "if at_us >= self._until_us and not self.stored:",
        (TRANSFERS, COVERAGE, PROMISES),
        transfers=OUTSIDE,
    ),
    Sabotage(
        "the gate does not count what it drops",
        GATE,
        "drops.shut[track] += 1",
        "pass",
        (COVERAGE, PROMISES),
        payments=KEY,
    ),
    Sabotage(
        "a pause has no effect on the recorder",
        POLICY,
        "self._pauses[holder] = ShutCause(GapReason.PAYMENT, trigger, actor)",
        "return ()",
        ALL,
        payments=KEY,
    ),
    Sabotage(
        "the policy says that a pause erases nothing",
        POLICY,
        "back_to = at if erase_to is None else min(at, max(erase_to, edge))",
        "back_to = at",
        ALL,
        payments=PAGE,
    ),
    Sabotage(
        "the recorder erases nothing at a pause",
        RECORDER,
        "if self._erase_back_us and self.writer is not None:",
        "if False:",
        ALL,
        payments=KEY,
    ),
    Sabotage(
        "a code is erased only from its last digit on",
        RECORDER,
        "begun = at if begun_mono is None else min(at, self._at(begun_mono))",
        "begun = at",
        (COVERAGE, PROMISES),
        payments=CODE,
    ),
    Sabotage(
        "what a pause erases stays in the spool",
        RECORDER,
        "self.storage.outbox.erase_back_to(at)",
        "pass",
        ALL,
        payments=KEY,
    ),
    Sabotage(
        "a resume has no effect",
        RECORDER,
        "self._execute(self._policy.resume(holder, self._now()))",
        "pass",
        (PAYMENTS,),
        payments=KEY,
    ),
    Sabotage(
        "an answer starts no recording",
        RECORDER,
        "self._execute(self._policy.answered(at))",
        "pass",
        (PAYMENTS,),
        payments=KEY,
    ),
    Sabotage(
        "the first resume ends the pauses of all holders",
        POLICY,
        "if self._ended or self._pauses.pop(holder, None) is None:",
        "if self._ended or self._pauses.clear() is not None:",
        (PAYMENTS,),
        payments=("two holders: page and record key",),
    ),
    Sabotage(
        "a transfer out of the centre has no effect on the recorder",
        POLICY,
        "self._referral = _transfer_cause(destination, trigger, actor)",
        "return ()",
        (TRANSFERS, COVERAGE, PROMISES),
        transfers=OUTSIDE,
    ),
    Sabotage(
        "a payment line is taken for a transfer",
        POLICY,
        "paying = destination is DestinationClass.PAYMENT",
        "paying = False",
        (PAYMENTS,),
        payments=LINE,
    ),
    Sabotage(
        "the recording does not continue after a failed transfer",
        RECORDER,
        "self._execute(self._policy.transfer_failed(self._at(arrived_mono)))",
        "pass",
        (TRANSFERS,),
        transfers=("failed, the advisor rung again",),
    ),
    Sabotage(
        "the recording does not continue after a return",
        RECORDER,
        "self._execute(self._policy.returned(self._at(arrived_mono)))",
        "pass",
        (TRANSFERS,),
        transfers=("return from outside",),
    ),
    Sabotage(
        "the counts of dropped packets are not written",
        "recording/spool/packet_counts.py",
        '"shut": drops.shut[track],',
        '"shut": 0,',
        (COVERAGE, PROMISES),
        payments=KEY,
    ),
    # --- the triggers --------------------------------------------------------------------------
    Sabotage(
        "a trigger of the phone or the page does not shut the gate",
        PAUSES,
        "recording.shut(pause, arrived_mono, begun_mono)",
        "pass",
        ALL,
        payments=KEY,
    ),
    Sabotage(
        "a dialled code does not shut the gate",
        CALL_RECORDING,
        "self.recorder.pause(pause.holder, pause.trigger, pause.actor, **times)",
        "times.clear()",
        ALL,
        payments=CODE,
    ),
    Sabotage(
        "a payment system does not shut the gate",
        CALL_RECORDING,
        "self.recorder.pause(pause.holder, pause.trigger, pause.actor, **times)",
        "times.clear()",
        ALL,
        payments=("payment system, by extension",),
    ),
    Sabotage(
        "the record key to pause resumes",
        "galwad/switch/call/pauses.py",
        '{"off": PauseAction.PAUSE, "on": PauseAction.RESUME}',
        '{"off": PauseAction.RESUME, "on": PauseAction.RESUME}',
        (PAYMENTS,),
        payments=KEY,
    ),
    Sabotage(
        "the record key of the advisor counts as the caller's",
        CALL,
        "pauses = self.callers_pauses if caller else self.pauses",
        "pauses = self.callers_pauses",
        (PAYMENTS,),
        payments=KEY,
    ),
    Sabotage(
        "digits in INFO requests are ignored",
        CALL,
        "self.pauses.info(request, now)",
        "pass",
        (PAYMENTS,),
        payments=("dialled code, by INFO",),
    ),
    Sabotage(
        "digits as telephone events are ignored",
        CALL,
        "self._context.relay.watch_events(leg_id, self.pauses.watcher)",
        "pass",
        (PAYMENTS,),
        payments=CODE,
    ),
    Sabotage(
        "codes are never recognised",
        "galwad/switch/call/pauses.py",
        "if self._tail.endswith(text):",
        "if False:",
        (PAYMENTS,),
        payments=CODE,
    ),
    Sabotage(
        "the desk's pauses reach no call",
        "galwad/switch/call/commands.py",
        "calls, trigger = self._meant(command), Trigger(command.trigger)",
        "calls, trigger = self._meant(command)[:0], Trigger(command.trigger)",
        (PAYMENTS,),
        payments=PAGE,
    ),
    Sabotage(
        "the triggers are not recorded",
        CALL_RECORDING,
        'self.event("trigger", fields, arrived_mono)',
        "fields.clear()",
        (PAYMENTS,),
        payments=KEY,
    ),
    Sabotage(
        "a page may end the pause of a payment system",
        "galwad/calls/payments.py",
        'raise NotPermittedError("you may not change another holder\'s pause", "ask a supervisor")',
        "pass",
        (PAYMENTS,),
        payments=("page may not release a payment system",),
    ),
    Sabotage(
        "a pause by the advisor's phone has another actor",
        PAUSES,
        "CallPause(actor, trigger, actor)",
        'CallPause(actor, trigger, "system")',
        (PAYMENTS,),
        payments=KEY,
    ),
    # --- transfers -----------------------------------------------------------------------------
    Sabotage(
        "a transfer by REFER does not reach the recording",
        MOVES,
        "actor = transfer.actor or call.advisor_side.actor",
        "return",
        (TRANSFERS,),
        transfers=OUTSIDE,
    ),
    Sabotage(
        "a transfer to a payment line ceases only at the answer",
        MOVES,
        "at_once = self._ceases_at_request or destination is DestinationClass.PAYMENT",
        "at_once = self._ceases_at_request",
        (PAYMENTS,),
        payments=LINE,
    ),
    Sabotage(
        "a hang-up while the target rings does not cease the recording",
        MOVES,
        "if self._call.legs.joined is None:",
        "if False:",
        (TRANSFERS,),
        transfers=("blind, outside, the advisor hangs up while it rings",),
    ),
    Sabotage(
        "a transfer out of the centre is recorded as one of another trigger",
        CALL_RECORDING,
        "destination, actor, label, trigger=trigger, arrived_mono=now.arrived",
        "destination, actor, label, trigger=Trigger.IDENTITY, arrived_mono=now.arrived",
        (TRANSFERS,),
        transfers=OUTSIDE,
    ),
    Sabotage(
        "a name from the PBX does not count",
        CALL,
        "destination = side.class_of_name(is_first=not before)",
        "destination = None",
        (TRANSFERS,),
        transfers=AT_PBX,
    ),
    Sabotage(
        "a party that the PBX names is taken for the centre",
        "galwad/switch/call/advisor_side.py",
        "return self._router.classify(name.uri)\n",
        "return DestinationClass.CENTRE\n",
        (TRANSFERS,),
        transfers=AT_PBX,
    ),
    Sabotage(
        "a name from the PBX does not shut the gate",
        CALL_RECORDING,
        "self.recorder.identity_changed(actor, trigger=trigger, arrived_mono=arrived)",
        "return",
        (TRANSFERS,),
        transfers=AT_PBX,
    ),
    # --- the finaliser -------------------------------------------------------------------------
    Sabotage(
        "the hunt for card numbers is off",
        "recording/audio/captured_card.py",
        "return (doubled + sum(digits[::-2])) % 10 == 0",
        "return False",
        (PAYMENTS,),
        payments=CARD,
    ),
    Sabotage(
        "digits keyed before a pause stay",
        "galwad/finaliser/process.py",
        "near_pause_s=settings.recording.digits_near_pause",
        "near_pause_s=0.0",
        (PAYMENTS,),
        payments=BEFORE_A_PAUSE,
    ),
    Sabotage(
        "a card number that was silenced is not listed as a gap",
        FACTS,
        "for part in _without(span, self.gaps):",
        "for part in _without(span, [span]):",
        (PAYMENTS,),
        payments=CARD,
    ),
    Sabotage(
        "gaps are missing in the manifest",
        FACTS,
        "self.gaps.append(Gap(start, at_us, reason, trigger, actor))",
        "pass",
        ALL,
        payments=KEY,
    ),
    Sabotage(
        "segments are missing in the manifest",
        FACTS,
        "self.segments.append(Segment(start, at_us, destination))",
        "pass",
        ALL,
        payments=KEY,
    ),
    Sabotage(
        "segments are too short",
        FACTS,
        "self.segments.append(Segment(start, at_us, destination))",
        "self.segments.append(Segment(start, at_us - 1000, destination))",
        ALL,
        payments=KEY,
    ),
    Sabotage(
        "the manifest has another length than the call",
        "recording/archive/store.py",
        "talk_us=facts.talk_us,",
        "talk_us=facts.talk_us + 2_000_000,",
        ALL,
        payments=KEY,
    ),
    Sabotage(
        "the index gets another length than the manifest",
        SEALER,
        "talk_us=manifest.talk_us,",
        "talk_us=manifest.talk_us + 1,",
        (COVERAGE, PROMISES),
        payments=KEY,
    ),
    Sabotage(
        "the index gets no advisor",
        SEALER,
        "**msgspec.structs.asdict(personal),",
        '**{**msgspec.structs.asdict(personal), "advisor": ""},',
        (COVERAGE, PROMISES),
        payments=KEY,
    ),
    Sabotage(
        "the index gets no gaps",
        SEALER,
        "gaps=tuple(manifest.gaps),",
        "gaps=(),",
        (COVERAGE, PROMISES),
        payments=KEY,
    ),
    Sabotage(
        "packets are counted twice when they are read",
        "recording/archive/packet_ledger.py",
        "stretch.add_read(tracks)",
        "stretch.add_read(tracks), stretch.add_read(tracks)",
        (COVERAGE, PROMISES),
        payments=KEY,
    ),
    Sabotage(
        "ended calls are not sealed",
        SEALER,
        "spools = self.spools(call_id)",
        "spools = self.spools(call_id)[:0]",
        (PAYMENTS,),
        payments=KEY,
    ),
    # --- the settings --------------------------------------------------------------------------
    Sabotage(
        "the server erases nothing before a pause",
        SETTINGS,
        'payment_code_off = "*72"',
        'payment_code_off = "*72"\nerase_back = 0',
        (PAYMENTS,),
        payments=KEY,
    ),
    Sabotage(
        "the server has another code to pause",
        SETTINGS,
        'payment_code_on = "*71"',
        'payment_code_on = "*81"',
        (PAYMENTS,),
        payments=CODE,
    ),
    Sabotage(
        "the server has another code to resume",
        SETTINGS,
        'payment_code_off = "*72"',
        'payment_code_off = "*82"',
        (PAYMENTS,),
        payments=CODE,
    ),
    Sabotage(
        "a payment line has the class centre",
        SETTINGS,
        'match = "550"\nclass = "payment"',
        'match = "550"\nclass = "centre"',
        (PAYMENTS,),
        payments=LINE,
    ),
    Sabotage(
        "a department has the class centre",
        SETTINGS,
        'match = "500"\nclass = "department"',
        'match = "500"\nclass = "centre"',
        (TRANSFERS,),
        transfers=OUTSIDE,
    ),
    Sabotage(
        "transfers cease at another time than is agreed",
        SETTINGS,
        'point_of_transfer = "answer"',
        'point_of_transfer = "request"',
        (TRANSFERS,),
        transfers=OUTSIDE,
    ),
)
