import pytest

from telephony.sdp import LocalMedia, Origin


@pytest.fixture
def local():
    return LocalMedia("203.0.113.9", 30_000)


@pytest.fixture
def origin():
    return Origin(77, 3)


@pytest.fixture
def sdp():
    """Build a description from its audio formats and attribute lines."""

    def build(*lines, m="audio 4000 RTP/AVP 0", c="192.0.2.5", session=(), extra=()):
        rows = ["v=0", "o=alice 1 1 IN IP4 192.0.2.5", "s=Call", f"c=IN IP4 {c}", "t=0 0"]
        rows += [*session, f"m={m}", *lines, *extra, ""]
        return "\r\n".join(rows)

    return build
