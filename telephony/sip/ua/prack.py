"""The caller's side of reliable provisional responses (RFC 3262 section 4).

It checks that they arrive in sequence (RSeq), and acknowledges each by a PRACK.
"""

from __future__ import annotations

from telephony.sip.dialog.dialog import Dialog
from telephony.sip.message.header_values import RAck
from telephony.sip.message.messages import Response
from telephony.sip.request.client_request import IgnoringUser
from telephony.sip.request.compose import Draft, HeaderList, compose, merge
from telephony.sip.ua.challenge import ChallengeAnswers
from telephony.sip.ua.user_agent import UserAgent


class RSeqTracker:
    """The most recent RSeq of each early dialog of one INVITE; the next must be one more."""

    def __init__(self) -> None:
        """Start with no stored RSeq."""
        self._last: dict[str, int] = {}

    def accept(self, tag: str, rseq: int) -> bool:
        """Return whether a reliable response is the next in its dialog (To tag); store its RSeq.

        The first one is. A copy, or one after a missing response, must not be acknowledged; the
        callee repeats each response until it is acknowledged.
        """
        last = self._last.get(tag)
        if last is not None and rseq != last + 1:
            return False
        self._last[tag] = rseq
        return True


def send_prack(
    agent: UserAgent,
    dialog: Dialog,
    rack: RAck,
    *,
    headers: HeaderList = (),
    body: bytes = b"",
    now: float,
) -> None:
    """Send a PRACK for the response of `rack`; nothing after the dialog's end or our BYE."""
    if dialog.is_ending:
        return
    draft = dialog.draft("PRACK", (("RAck", str(rack)), *headers), body)
    _Prack(agent, dialog, draft, ChallengeAnswers()).begin(now)


class _Prack(IgnoringUser):
    """The transaction user of a PRACK: it answers a challenge, and ignores all else."""

    def __init__(
        self, agent: UserAgent, dialog: Dialog, draft: Draft, answers: ChallengeAnswers
    ) -> None:
        self._core = agent.core
        self._request = compose(agent.core, draft)
        self._agent = agent
        self._dialog = dialog
        self._draft = draft
        self._answers = answers

    def begin(self, now: float) -> None:
        self._core.transactions.start_client(self._request, self, self._draft.next_hop, now)

    def on_response(self, response: Response, now: float) -> None:
        given = self._answers.take(
            self._agent.credentials, self._request, response, self._draft.destination
        )
        if given is not None:
            again = self._dialog.draft_again(self._draft, merge(self._draft.headers, given))
            _Prack(self._agent, self._dialog, again, self._answers).begin(now)
