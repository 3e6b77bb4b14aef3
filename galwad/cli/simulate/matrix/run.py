"""The run of a matrix: several rows at a time, each with a call of its own.

A row that fails does not end the run. Its call is hung up even if the run is interrupted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Final

from galwad.cli.simulate.api_client import ApiClient
from galwad.cli.simulate.matrix.live_row import LiveRow
from galwad.cli.simulate.matrix.pbx import NO_PBX, has_pbx
from galwad.cli.simulate.matrix.rows import Row
from galwad.cli.simulate.matrix.site import Site
from galwad.cli.simulate.matrix.verdict import Outcome, Verdict, faults_of
from galwad.cli.simulate.steps import StepError
from galwad.cli.support.console import CliError
from telephony.errors import TelephonyError

ROW_WITHIN_S: Final = 90.0
"""The maximum time in seconds that the call of a row may take."""


class MatrixRun:
    """Runs rows, reports each verdict to `tell`, and opens recordings with `archive`."""

    def __init__(
        self, site: Site, archive: ApiClient, tell: Callable[[Verdict], None], parallel: int
    ) -> None:
        self._site = site
        self._archive = archive
        self._tell = tell
        self._calls = asyncio.Semaphore(parallel)
        self._judge = asyncio.Lock()
        """Recordings are judged one at a time, so that the phones have enough of the processor."""

    async def run(self, rows: Iterable[Row]) -> list[Verdict]:
        """Run the rows, at last each that is `alone`; return their verdicts in order."""
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

    async def _call(self, row: Row, call: LiveRow) -> tuple[str, ...]:
        try:
            async with self._calls, asyncio.timeout(ROW_WITHIN_S):
                async with self._site.ringing:
                    rung = await call.ring()
                for step in row.before:
                    await step.run(call)
                await call.answer(rung)
                for step in row.steps:
                    await step.run(call)
        except TimeoutError:
            return (f"the call took longer than {ROW_WITHIN_S:.0f} s",)
        finally:
            await call.end()
        return ()

    async def _judged(self, row: Row, call: LiveRow) -> tuple[str, ...]:
        gaps = [gap for rule in row.gaps if (gap := rule.expected(call)) is not None]
        await call.sealed()
        async with self._judge:
            there = await asyncio.to_thread(
                self._archive.recording, call.call_id, self._site.plan.reference
            )
            return await asyncio.to_thread(
                faults_of,
                there,
                call.phases,
                gaps,
                segments=row.segments,
                erase_back_s=self._site.settings.recording.erase_back,
            )


async def _faults_in(work: Coroutine[None, None, tuple[str, ...]]) -> tuple[str, ...]:
    try:
        return await work
    except StepError as error:
        return (f"{error.text} ({error.hint})" if error.hint else error.text,)
    except CliError as error:
        return (error.message,)
    except TelephonyError as error:
        return (f"a phone failed: {error or type(error).__name__}",)
