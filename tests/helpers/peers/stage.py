"""The service, its peers and tshark for one test."""

from __future__ import annotations

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.kamailio import Kamailio
from helpers.peers.linphone import Linphone
from helpers.peers.programs import Baresip, Callee, Caller
from helpers.peers.rtpengine import Rtpengine
from helpers.peers.service import Service
from helpers.peers.sound import find, save
from helpers.peers.waiting import wait_until

MAIN = "01970000200"
"""The line that leads to whoever has 127.0.0.3 and the PBX's port."""


class Stage:
    """Starts the programs that a test names, and ends each with the test."""

    def __init__(self, start, ended, talker, decoded):
        self.service: Service
        self.talker = talker
        self._start, self._ended, self._decoded = start, ended, decoded

    def open(self, *names, **settings):
        """Start these processes; only the switch if none is named."""
        self.service = self._start(*(names or ("switch",)), **settings)
        return self.service

    def open_all(self, **settings):
        """Start all three, with their users: calls are recorded and can be fetched."""
        return self.open("switch", "desk", "finaliser", users=True, **settings)

    def listen(self, *sip_ports):
        """Let tshark check the following traffic; SIP uses these ports and the service's."""
        return self._decoded(self.service, *sip_ports)

    def kamailio(self, role, host, **words):
        """Start Kamailio in one of its roles, with a capture by tshark."""
        proxy = self._ended(Kamailio(self.service, role, host, **words))
        proxy.wait_ready()
        self.listen(proxy.sip[1])
        return proxy

    def rtpengine(self, host="127.0.0.2"):
        """Start rtpengine, through which Kamailio then routes the media."""
        engine = self._ended(Rtpengine(self.service, host))
        engine.wait_ready()
        return engine

    def registrar(self, **words):
        """Start Kamailio at the target of the switch's main line."""
        return self.kamailio("REGISTRAR", "127.0.0.3", port=self.service.pbx_port, **words)

    def callee(self, scenario="uas", host="127.0.0.3", **keys):
        """Start SIPp at the target of the main line, or at another host on any port."""
        keys.setdefault("port", self.service.pbx_port if host == "127.0.0.3" else 0)
        folder = self.service.folder
        return self._ended(Callee(folder, scenario, host, **keys))

    def caller(self, called=MAIN, **keys):
        """Start SIPp as the trunk's caller."""
        return self._ended(Caller(self.service, called, **keys))

    def baresip(self, server, extension, **keys):
        """Start baresip, registered there; its sound begins with `speech(20, 51)`."""
        said = self.service.folder / "said.wav"
        save(said, speech(20, 51))
        phone = self._ended(Baresip(self.service.folder, server, said, extension, **keys))
        phone.wait_registered()
        return phone

    def linphone(self, extension="201", **keys):
        """Start Linphone, registered with the service."""
        phone = self._ended(Linphone(self.service, extension, **keys))
        phone.register()
        return phone

    def wait_state(self, *states, change):
        """Do each change, and wait until the page shows its state."""
        with self.service.sign_in() as page:
            for command, state in zip(change, states, strict=True):
                command()
                wait_until(
                    lambda state=state: page.get("/api/v1/calls").json()[0]["state"] == state,
                    what=state,
                )

    def recording(self):
        """Return the recording of the first call."""
        return Recording(self.service, self.service.call_id())

    def alike(self, heard, said):
        """Return the highest correlation of these two."""
        return find(heard, said)[1]
