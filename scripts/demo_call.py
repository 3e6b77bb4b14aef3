"""The demo's call, step by step, with the checks of what each side sees and hears."""

from __future__ import annotations

import asyncio
from typing import Any

from demo_page import Page, Pop
from demo_phones import Phones, Talk
from demo_proof import find
from demo_report import Report, expect
from demo_site import DEPARTMENT, LINE
from demo_sound import Samples

from telephony.phone import CallState

CARD = "4929123456789012"
"""Sixteen digits that are no bank's card number: they fail the Luhn check."""
_PERSON = "Gwen Protheroe"
_ERASED_S = 2.5
"""The seconds of silence before the pause. The pause erases the last two (`erase_back`)."""


class DemoCall:
    """One call through the running service; each method is a step, in order."""

    def __init__(self, report: Report, page: Page, phones: Phones) -> None:
        self._report = report
        self._page = page
        self._phones = phones
        self.call_id = ""
        self._caller: Talk
        self._advisor: Talk

    async def run(self) -> str:
        """Run the whole call; return its id."""
        self._report.title("A call")
        for step in (
            self._ring,
            self._find_in_crm,
            self._answer,
            self._speak,
            self._confirm,
            self._pause,
            self._give_card,
            self._resume,
            self._transfer,
            self._hang_up,
        ):
            await step()
        return self.call_id

    async def _ring(self) -> None:
        with self._report.step("A caller rings the council; the advisor's page shows who") as told:
            clock = asyncio.get_running_loop().time
            started = clock()
            call = await self._phones.caller.call(LINE)
            pop = await self._page.until(
                lambda pop: pop["state"] == "ringing" and pop["caller"]["status"] != "looking_up"
            )
            taken_ms = 1000 * (clock() - started)
            self.call_id = pop["call_id"]
            names = [person["name"] for person in pop["caller"]["candidates"]]
            expect(names == [_PERSON], f"the pop to name {_PERSON}", names)
            expect(pop["mine"], "the pop to be the advisor's own", pop)
            async with asyncio.timeout(20):
                await call.wait_for(CallState.RINGING)
            expect(call.state is CallState.RINGING, "the pop before the answer", call.state)
            self._caller = Talk(call)
            language = pop["caller"]["candidates"][0]["language"]
            told.append(f"{names[0]}, prefers {language}, {pop['caller']['number_display']}")
            told.append(f"after {taken_ms:.0f} ms")
        with self._report.step("Nothing but the name is shown before it is confirmed") as told:
            details = pop["caller"]["details"]
            expect(not details, "no details", details)
            expect(pop["recording"] == "not_started", "no recording yet", pop["recording"])
            told.append("recording: not started")

    async def _find_in_crm(self) -> None:
        with self._report.step("The CRM finds her too; she stays one person on the page") as told:
            pop = await self._own(lambda pop: _answers(pop).get("crm") not in {None, "asking"})
            expect(_answers(pop)["crm"] == "found", "the CRM to find her", _answers(pop))
            names = [person["name"] for person in pop["caller"]["candidates"]]
            expect(names == [_PERSON], f"still only {_PERSON}", names)
            told.append("joined by her reference; the CRM needs 150 ms")

    async def _answer(self) -> None:
        with self._report.step("The advisor answers; recording starts") as told:
            async with asyncio.timeout(20):
                taken = await self._phones.ringing.get()
                await taken.answer()
                await self._caller.call.wait_for(CallState.ANSWERED)
            self._advisor = Talk(taken)
            pop = await self._until_recording("recording")
            expect(pop["advisor"] == "sian", "sian to have the call", pop["advisor"])
            told.append("page: REC")

    async def _speak(self) -> None:
        with self._report.step("They hear each other") as told:
            await self._advisor.say("advisor-1")
            await self._caller.say("caller-1")
            told += [
                _heard("the caller", self._caller.heard, "advisor-1"),
                _heard("the advisor", self._advisor.heard, "caller-1"),
            ]

    async def _confirm(self) -> None:
        with self._report.step("The advisor confirms the caller; the rest is shown") as told:
            pop = await self._own(lambda pop: len(pop["caller"]["candidates"]) == 1)
            person = pop["caller"]["candidates"][0]["person_id"]
            body = {"outcome": "confirmed", "person_id": person}
            answer = await self._page.ask("POST", f"calls/{self.call_id}/confirm", body)
            details = answer["caller"]["details"]
            expect("12 Heol yr Eglwys" in str(details), "the caller's address", details)
            expect("CT-4471" in str(details), "her open case, from the CRM", details)
            told.append(
                f"{len(details)} details: address from the directory, open case from the CRM"
            )

    async def _pause(self) -> None:
        with self._report.step("Before the card, the advisor pauses the recording") as told:
            await self._advisor.say("advisor-2")
            await asyncio.sleep(_ERASED_S)
            answer = await self._page.ask("PUT", f"calls/{self.call_id}/payment", {})
            expect(answer["state"] == "paused", "the recording to be paused", answer)
            expect(answer["durable"], "the pause to be on disk before it is confirmed", answer)
            await self._until_recording("paused")
            told.append("page: PAUSED, on disk before it was acknowledged")

    async def _give_card(self) -> None:
        with self._report.step("The caller dials the card's digits, and speaks them") as told:
            await self._caller.call.send_dtmf(CARD)
            async with asyncio.timeout(20):
                keys = await self._advisor.call.get_dtmf(len(CARD))
            expect(keys == CARD, f"the advisor's phone to get {CARD}", keys)
            await self._caller.say("caller-card")
            told += [
                f"{len(keys)} tones arrived",
                _heard("the advisor", self._advisor.heard, "caller-card"),
            ]

    async def _resume(self) -> None:
        with self._report.step("The advisor resumes the recording") as told:
            answer = await self._page.ask("DELETE", f"calls/{self.call_id}/payment")
            expect(answer["state"] == "recording", "the recording to go on", answer)
            await self._until_recording("recording")
            await self._advisor.say("advisor-3")
            await self._caller.say("caller-2")
            told.append("page: REC")

    async def _transfer(self) -> None:
        with self._report.step("The advisor transfers the caller to Housing") as told:
            await self._advisor.say("advisor-4")
            async with asyncio.timeout(30):
                status = await self._advisor.call.transfer(DEPARTMENT)
                expect(status == 200, "the transfer to succeed (200)", status)
            await self._phones.housing.until("said")
            await self._caller.say("caller-3")
            told += [
                _heard("the caller", self._caller.heard, "department-1"),
                _heard("Housing", await self._phones.housing.heard(), "caller-3"),
            ]
        with self._report.step("Recording has ceased; the call itself goes on") as told:
            ceased = [p for p in self._page.history if p["call_id"] == self.call_id]
            states = [pop["recording"] for pop in ceased]
            expect("ceased" in states, "the page to show OFF (ceased)", states)
            talking = self._caller.call.state
            expect(talking is CallState.ANSWERED, "the call to go on", talking)
            told.append("page: OFF")

    async def _hang_up(self) -> None:
        with self._report.step("The caller hangs up") as told:
            async with asyncio.timeout(30):
                await self._caller.end()
                await self._phones.housing.until("ended")
                await self._advisor.call.wait_for(CallState.ENDED)
            await self._own(lambda pop: pop["state"] == "wrapup")
            told.append("all legs ended")
        with self._report.step("The advisor writes the contact note") as told:
            note = {"purpose": "payment", "language": "en", "outcome": "paid; sent to Housing"}
            answer = await self._page.ask("PUT", f"calls/{self.call_id}/contact", note)
            expect(answer["version"] == 1, "the note's first version", answer)
            told.append("saved")

    async def _own(self, holds: Any) -> Pop:
        return await self._page.until(lambda pop: pop["call_id"] == self.call_id and holds(pop))

    async def _until_recording(self, state: str) -> Pop:
        return await self._own(lambda pop: pop["recording"] == state)


def _answers(pop: Pop) -> dict[str, str]:
    """Return what each directory has answered."""
    return {each["name"]: each["answer"] for each in pop["caller"]["directories"]}


def _heard(who: str, sound: Samples, sentence: str) -> str:
    found = find(sentence, sound)
    expect(found.said, f"{who} to hear “{sentence}”", found)
    return f"{who}: {found.correlation:.2f}"
