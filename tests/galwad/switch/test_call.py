"""The phases of a live call, on a switch without sockets."""

import structlog


async def test_each_change_of_a_calls_phase_is_logged_once(centre, register):
    trunk = centre.phone("192.0.2.1", "01632960001")
    centre.phone("192.0.2.201", "201", register)
    with structlog.testing.capture_logs() as logs:
        trunk.call("01970000000")
        (call,) = centre.calls.values()
        assert centre.links.shown[call.call_id].state == "answered"
        trunk.ask("INVITE")  # an offer that stops the media
        assert centre.links.shown[call.call_id].state == "held"
        centre.end()
    assert centre.links.shown[call.call_id].state == "ended"
    phases = [(log["before"], log["phase"]) for log in logs if log["event"] == "call.phase"]
    assert phases == [("ringing", "answered"), ("answered", "held"), ("held", "ended")]
