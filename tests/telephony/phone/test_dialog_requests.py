"""Requests in a dialog: the errors of a request that is sent again after a challenge."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from telephony.errors import ProtocolError
from telephony.phone import InvalidStateError
from telephony.phone.account import PhoneAccount
from telephony.phone.dialog_requests import DialogRequests
from telephony.sip.message.messages import Response


class EndingDialog:
    """A dialog that accepts one request and has then ended."""

    def __init__(self):
        self.sent = []

    def request(self, method, **_):
        if self.sent:
            raise ProtocolError("the dialog has ended")
        self.sent.append(method)
        return object()


@pytest.fixture
def requests():
    def answer():
        for future in made._waiting.values():
            future.set_result(Response(401))

    account = SimpleNamespace(
        now=0.0,
        transport=SimpleNamespace(flush=lambda: asyncio.get_running_loop().call_soon(answer)),
        credentials=lambda _client, _response: (("Authorization", "Digest"),),
    )
    made = DialogRequests(cast("PhoneAccount", account))
    return made


async def test_a_dialog_that_ended_before_its_challenge_is_answered_raises_invalid_state_error(
    requests,
):
    dialog = EndingDialog()
    with pytest.raises(InvalidStateError, match="ended"):
        await asyncio.wait_for(requests.send(dialog, "INFO"), 5)
    assert dialog.sent == ["INFO"]
