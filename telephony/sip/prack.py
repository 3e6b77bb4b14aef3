"""The caller's side of reliable provisional responses (RFC 3262 section 4): order and PRACK."""

from __future__ import annotations

from telephony.sip.challenge import Answers
from telephony.sip.compose import Draft, HeaderList, compose, merge
from telephony.sip.core import Core
from telephony.sip.dialog import Dialog
from telephony.sip.message import Request, Response
from telephony.sip.rack import RAck


class Order:
    """The last RSeq of each early dialog of one INVITE: decides which response is next."""

    def __init__(self) -> None:
        """Start before the first response."""
        self._last: dict[str, int] = {}

    def takes(self, tag: str, rseq: int) -> bool:
        """Record a response; return whether it is the first of its dialog or follows the last one.

        A repeated or early response must not be acknowledged: the callee will repeat it.
        """
        last = self._last.get(tag)
        if last is not None and rseq != last + 1:
            return False
        self._last[tag] = rseq
        return True


class Unheard:
    """A transaction user that ignores the answer: for a CANCEL and, except challenges, a PRACK.

    Without a PRACK the callee gives up by itself; a cancelled INVITE has a deadline of its own.
    """

    def __init__(self, core: Core, request: Request) -> None:
        self._core = core
        self._request = request

    def on_response(self, response: Response, now: float) -> None:
        """Ignore the response."""

    def on_failure(self, status: int, now: float) -> None:
        """Ignore that no response will come."""

    def on_terminated(self, now: float) -> None:
        """Release the terminated transaction."""
        del now
        self._core.end_client(self._request)


def acknowledge(
    core: Core,
    dialog: Dialog,
    rack: RAck,
    *,
    headers: HeaderList = (),
    body: bytes = b"",
    now: float,
) -> None:
    """Send the PRACK, unless the dialog is over."""
    if dialog.ending:
        return
    draft = dialog.draft("PRACK", (("RAck", str(rack)), *headers), body)
    _Prack(core, dialog, draft, Answers()).begin(now)


class _Prack(Unheard):
    """The transaction user of a PRACK: it answers a challenge and ignores all other responses."""

    def __init__(self, core: Core, dialog: Dialog, draft: Draft, answers: Answers) -> None:
        super().__init__(core, compose(core, draft))
        self._dialog = dialog
        self._draft = draft
        self._answers = answers

    def begin(self, now: float) -> None:
        """Send the PRACK."""
        self._core.start_client(self._request, self, self._draft.way, now)

    def on_response(self, response: Response, now: float) -> None:
        """Send the PRACK again with credentials if the response is a challenge we can answer."""
        where = self._draft.destination
        given = self._answers.take(self._core, self._request, response, where)
        if given is not None:
            again = self._dialog.draft_again(self._draft, merge(self._draft.headers, given))
            _Prack(self._core, self._dialog, again, self._answers).begin(now)
