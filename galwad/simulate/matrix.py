"""Run the rows of a matrix, each with a call of its own.

A row that fails does not end the run. If the run is interrupted, its calls are hung up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop
from rich.text import Text

from galwad.cli.support.client import base_url
from galwad.cli.support.client_settings import client_settings
from galwad.cli.support.console import CliError, console, one_line, print_json
from galwad.cli.support.identities import read_identity
from galwad.simulate.api import MatrixApi, PageLogin
from galwad.simulate.judgement import faults_of
from galwad.simulate.phones import hush
from galwad.simulate.plan import (
    DEFAULT_REFERENCE,
    PhoneTransport,
    Plan,
    SipLogin,
    SrtpPolicy,
    check_names,
    locate,
    passwords_of,
)
from galwad.simulate.report import StepError, without_empty
from galwad.simulate.rows import LiveRow, Row
from galwad.simulate.site import NO_PBX, PbxPhones, Site, has_pbx, outside_number, pbx_line
from telephony.errors import TelephonyError

if TYPE_CHECKING:
    from galwad.settings import Settings

ROW_WITHIN_S: Final = 90.0
"""The maximum time in seconds that the call of a row may take."""


class Outcome(StrEnum):
    """The possible verdicts on a row."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_CONFIGURED = "not configured"
    NOT_APPLICABLE = "not applicable"


_STYLES: Final = {Outcome.OK: "green", Outcome.FAILED: "bold red"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one row. `call_id` is "" if there was no call.

    `reasons` are the faults, the missing settings, or why the row does not apply.
    """

    row: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    call_id: str = ""

    def __str__(self) -> str:
        reasons = "; ".join(self.reasons)
        return f"{self.outcome}: {reasons}" if reasons else str(self.outcome)

    def as_json(self) -> dict[str, object]:
        """Return the verdict as a mapping for JSON output, without the empty fields."""
        return without_empty(
            row=self.row,
            verdict=self.outcome.value.lower(),
            reasons=list(self.reasons),
            call_id=self.call_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixOptions:
    """The options of the command line, before they are checked."""

    number: str
    sip: str
    answer: Sequence[str]
    identity: Path
    settings: Settings
    caller: str
    outside: Sequence[str]
    advisor: str = ""
    pbx_line: str = ""
    pbx_answer: Sequence[str] = ()
    bind: str
    transport: PhoneTransport
    tls_ca: Path | None
    srtp: SrtpPolicy
    password_stdin: bool
    card: bool = False
    only: Sequence[str]
    parallel: int
    server: str
    json: bool


def run_matrix(rows: Sequence[Row], options: MatrixOptions) -> None:
    """Run the rows and print their verdicts; raise CliError for a wrong option or a failed row."""
    chosen = choose(rows, options.only)
    _check_phones(options)
    settings, line = options.settings, None
    if options.pbx_answer:
        line = pbx_line(settings, options.pbx_line or options.number)
    plan, login, at_pbx = _plan(options)
    check_names(replace(plan, answering=(*plan.answering, *at_pbx)))
    base_url(options.server or client_settings().server)
    outside = [outside_number(settings, number) for number in options.outside]
    identities = read_identity(options.identity).identities
    token = os.environ.get("GALWAD_PAUSE_TOKEN", "")
    pbx = PbxPhones(plan, line, *at_pbx) if line is not None else None
    hush()
    tell = _printer(chosen, quiet=options.json)
    with (
        MatrixApi(options.server, settings.desk.origin, token, login, identities) as api,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):

        async def work() -> list[Verdict]:
            async with Site(plan, settings, api, outside, pbx=pbx, keys_card=options.card) as site:
                return await MatrixRun(site, tell, options.parallel).run(chosen)

        verdicts = runner.run(work())
    report(verdicts, json=options.json)


# --- the options and the printed result -------------------------------------------------------


def choose(rows: Sequence[Row], only: Sequence[str]) -> list[Row]:
    """Return the rows named in `only`, or all if it is empty; raise CliError for a wrong name."""
    known = {row.name for row in rows}
    for name in only:
        if name not in known:
            raise CliError(
                f'there is no row "{name}"',
                "the rows are: " + "; ".join(row.name for row in rows),
                status=2,
            )
    return [row for row in rows if not only or row.name in only]


def _check_phones(options: MatrixOptions) -> None:
    if len(options.answer) > 2:
        fault = "--answer is given more than twice", "give the advisor and one colleague"
    elif len(options.pbx_answer) not in {0, 2}:
        fault = "--pbx-answer must be given twice", "give an advisor and a department"
    elif not options.answer and not options.pbx_answer:
        fault = "missing option '--answer'", "give the extension that the line rings"
    else:
        return
    raise CliError(*fault, status=2)


def _plan(options: MatrixOptions) -> tuple[Plan, PageLogin | None, list[SipLogin]]:
    """Ask for passwords; return the plan, the login of --advisor, and the phones at the PBX."""
    questions = [f"SIP password of {extension}" for extension in options.answer]
    questions += [f"SIP password of {extension} at the PBX" for extension in options.pbx_answer]
    if options.advisor:
        questions.append(f"page password of {options.advisor}")
    secrets = passwords_of(
        questions, "each --answer, each --pbx-answer, --advisor", from_stdin=options.password_stdin
    )
    login = PageLogin(options.advisor, secrets.pop()) if options.advisor else None
    extensions = (*options.answer, *options.pbx_answer)
    accounts = [SipLogin(*pair) for pair in zip(extensions, secrets, strict=True)]
    own = len(options.answer)
    plan = Plan(
        number=options.number,
        addresses=locate(options.sip, options.transport, options.bind, options.tls_ca),
        caller=options.caller,
        acts_as=None,
        answering=tuple(accounts[:own]),
        media=options.srtp,
        reference=DEFAULT_REFERENCE,
    )
    return plan, login, accounts[own:]


def report(verdicts: Sequence[Verdict], *, json: bool) -> None:
    """Print the summary, or all verdicts as JSON; raise CliError if a row has failed."""
    counts = {outcome: sum(v.outcome is outcome for v in verdicts) for outcome in Outcome}
    if not counts[Outcome.NOT_APPLICABLE]:
        del counts[Outcome.NOT_APPLICABLE]
    failed = [verdict for verdict in verdicts if verdict.outcome is Outcome.FAILED]
    if json:
        summary = {outcome.value.lower(): count for outcome, count in counts.items()}
        rows = [verdict.as_json() for verdict in verdicts]
        print_json({"ok": not failed, "summary": summary, "rows": rows})
    else:
        total = "1 row" if len(verdicts) == 1 else f"{len(verdicts)} rows"
        print(f"{total}: " + ", ".join(f"{n} {kind.value.lower()}" for kind, n in counts.items()))
    if failed:
        names = "; ".join(f'"{verdict.row}"' for verdict in failed)
        raise CliError(
            f"{len(failed)} of {len(verdicts)} rows failed: {names}",
            "keep the recordings and the journals; `galwad recordings show ID` shows the gaps",
        )


def _printer(rows: Sequence[Row], *, quiet: bool) -> Callable[[Verdict], None]:
    width = max(len(row.name) for row in rows)

    def tell(verdict: Verdict) -> None:
        if quiet:
            return
        out = console()
        out.print(f"{verdict.row:<{width}}  ", end="")
        out.print(Text(one_line(str(verdict)), _STYLES.get(verdict.outcome, "dim")))

    return tell


# --- the run ----------------------------------------------------------------------------------


class MatrixRun:
    """Runs rows, and reports each verdict to `tell`."""

    def __init__(self, site: Site, tell: Callable[[Verdict], None], parallel: int) -> None:
        self._site = site
        self._tell = tell
        self._calls = asyncio.Semaphore(parallel)
        self._judge = asyncio.Lock()
        """Recordings are judged one at a time, so that the phones have enough of the processor."""

    async def run(self, rows: Iterable[Row]) -> list[Verdict]:
        """Run the rows, the `alone` rows last and one by one. Return the verdicts in row order."""
        every = list(rows)
        verdicts: dict[str, Verdict] = {}
        async with asyncio.TaskGroup() as running:
            for row in every:
                if not row.alone:
                    running.create_task(self._into(verdicts, row))
        for row in every:
            if row.alone:
                await self._into(verdicts, row)
        return [verdicts[row.name] for row in every]

    async def _into(self, verdicts: dict[str, Verdict], row: Row) -> None:
        verdicts[row.name] = verdict = await self._verdict(row)
        self._tell(verdict)

    async def _verdict(self, row: Row) -> Verdict:
        if row.at_pbx and not has_pbx(self._site.settings):
            return Verdict(row.name, Outcome.NOT_APPLICABLE, (NO_PBX,))
        missing = row.missing(self._site)
        if missing:
            return Verdict(row.name, Outcome.NOT_CONFIGURED, (missing,))
        call = LiveRow(self._site, at_pbx=row.at_pbx)
        faults = await _faults_in(self._call(row, call))
        if call.call_id:
            faults += await _faults_in(call.save_note())
        if not faults:
            faults = await _faults_in(self._judged(row, call))
        faults = (*call.faults, *faults)
        outcome = Outcome.FAILED if faults else Outcome.OK
        return Verdict(row.name, outcome, faults, call.call_id)

    async def _call(self, row: Row, call: LiveRow) -> None:
        try:
            async with self._calls, asyncio.timeout(ROW_WITHIN_S):
                async with self._site.ringing:
                    rung = await call.ring()
                for step in row.before:
                    await step(call)
                await call.answer(rung)
                for step in row.steps:
                    await step(call)
        except TimeoutError:
            raise StepError(f"the call took longer than {ROW_WITHIN_S:.0f} s") from None
        finally:
            await call.end()

    async def _judged(self, row: Row, call: LiveRow) -> tuple[str, ...]:
        site = self._site
        gaps = [gap for rule in row.gaps if (gap := rule.expected(call)) is not None]
        manifest = await call.sealed_manifest()
        async with self._judge:
            there = await asyncio.to_thread(
                site.api.open, call.call_id, site.plan.reference, manifest
            )
            return await asyncio.to_thread(
                faults_of,
                there,
                call.phases,
                gaps,
                segments=row.segments,
                erase_back_s=site.settings.recording.erase_back,
            )


async def _faults_in(work: Coroutine[None, None, tuple[str, ...] | None]) -> tuple[str, ...]:
    try:
        return await work or ()
    except StepError as error:
        return (f"{error.message} ({error.hint})" if error.hint else error.message,)
    except CliError as error:
        return (error.message,)
    except TelephonyError as error:
        return (f"a phone failed: {error or type(error).__name__}",)
