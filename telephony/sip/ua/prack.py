"""The caller's side of reliable provisional responses (RFC 3262 section 4).

A reliable provisional response has a sequence number (RSeq). The caller checks that the responses
arrive in sequence, and acknowledges each of them by a PRACK.
"""

from __future__ import annotations

from telephony.sip.dialog.dialog import Dialog
from telephony.sip.message.messages import Response
from telephony.sip.message.rack import RAck
from telephony.sip.request.client_request import IgnoringUser
from telephony.sip.request.compose import Draft, HeaderList, compose, merge
from telephony.sip.ua.challenge import ChallengeAnswers
from telephony.sip.ua.user_agent import UserAgent


class RSeqTracker:
    """The most recent RSeq of each early dialog of one INVITE.

    Each further reliable response in a dialog must have the stored RSeq of that dialog plus 1.
    """

    def __init__(self) -> None:
        """Start with no stored RSeq."""
        self._last: dict[str, int] = {}

    def accept(self, tag: str, rseq: int) -> bool:
        """Return whether a reliable response is the next one in its dialog; if so, store its RSeq.

        `tag` is the To tag of the response and identifies the dialog. The first response of a
        dialog is always the next one. False is returned for a copy of an earlier response, and if
        an earlier response is missing. Such a response must not be acknowledged. The callee repeats
        a response until it is acknowledged, so a response that arrived too early will arrive again.
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
    """Send a PRACK in the dialog; send nothing if the dialog has ended or our BYE was sent.

    `rack` is the value of the RAck header field. It identifies the response that the PRACK
    acknowledges. `headers` and `body` are added to the PRACK.
    """
    if dialog.is_ending:
        return
    draft = dialog.draft("PRACK", (("RAck", str(rack)), *headers), body)
    _Prack(agent, dialog, draft, ChallengeAnswers()).begin(now)


class _Prack(IgnoringUser):
    """The transaction user of a PRACK.

    If the response to the PRACK is a challenge, the PRACK is sent again with credentials. Every
    other response is ignored.
    """

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
        """Send the PRACK."""
        self._core.transactions.start_client(self._request, self, self._draft.next_hop, now)

    def on_response(self, response: Response, now: float) -> None:
        """Send the PRACK again with credentials if the response is a challenge.

        A challenge that we cannot answer is ignored.
        """
        given = self._answers.take(
            self._agent.credentials, self._request, response, self._draft.destination
        )
        if given is not None:
            again = self._dialog.draft_again(self._draft, merge(self._draft.headers, given))
            _Prack(self._agent, self._dialog, again, self._answers).begin(now)
