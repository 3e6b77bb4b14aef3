"""A call between two SIPps."""

from __future__ import annotations

from helpers.peers.programs import Callee, Caller


class Call:
    """An answered call between two SIPps, with the RTP of both parties in the test's hands."""

    def __init__(self, service, talker, ended, *, callee, caller):
        before = len(service.log.events("call.answered"))
        self.caller, self.advisor = talker("127.0.0.2"), talker("127.0.0.3")
        self.callee_sip = ended(
            Callee(
                service.folder,
                callee,
                "127.0.0.3",
                port=service.pbx_port,
                media=self.advisor.port,
            )
        )
        self.caller_sip = ended(
            Caller(service, "01970000200", scenario=caller, media=self.caller.port)
        )
        self.from_caller = self.caller_sip.media_target
        self.from_advisor = self.callee_sip.media_target
        self.call_id = service.log.wait("call.answered", before + 1)["call_id"]

    def hang_up(self):
        """Let the caller hang up; both SIPps must end without an error."""
        self.caller_sip.hang_up()
        self.callee_sip.wait()
