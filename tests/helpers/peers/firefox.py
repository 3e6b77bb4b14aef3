"""Drives Debian's Firefox by Marionette, Firefox's own protocol for remote control.

Playwright needs a Firefox of its own or one that is newer than Debian's. Marionette is a TCP
connection with messages `LENGTH:JSON`; a command is `[0, id, name, parameters]`, and its answer is
`[1, id, error, result]`. The commands are those of WebDriver
(https://www.w3.org/TR/webdriver2/).
"""

from __future__ import annotations

import json
import socket
import subprocess

from helpers.peers.programs import program
from helpers.peers.waiting import wait_until
from helpers.processes import Child

START_S = 60.0
ANSWER_S = 60.0
KEYS = {
    "Enter": "\ue007",
    "Tab": "\ue004",
    "Shift": "\ue008",
    "Control": "\ue009",
    "F2": "\ue032",
    "F7": "\ue037",
    "F8": "\ue038",
}
PREFERENCES = {
    "marionette.port": 0,  # any free port; Firefox writes it to MarionetteActivePort
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.disable_open_during_load": False,
    "intl.accept_languages": "en-GB",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "ui.prefersReducedMotion": 1,  # an animation costs much without a graphics card
}


class FirefoxError(Exception):
    """Firefox has refused a command."""


class Firefox:
    """A Firefox without a visible window, with a profile of its own in `folder`."""

    def __init__(self, folder):
        self._profile = folder / "firefox"
        self._profile.mkdir()
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
        (self._profile / "user.js").write_text("\n".join(lines))
        self._log = (folder / "firefox.log").open("wb")
        self._process = Child(
            [
                *(program("firefox-esr", "firefox-esr"), "--headless", "--marionette"),
                *("--no-remote", "--profile", str(self._profile), "about:blank"),
            ],
            env={"HOME": str(self._profile), "MOZ_DISABLE_AUTO_SAFE_MODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._number = 0
        self._received = b""
        try:
            port = self._profile / "MarionetteActivePort"
            wait_until(lambda: port.exists() and port.read_text(), START_S, "Firefox's port")
            self._socket = socket.create_connection(("127.0.0.1", int(port.read_text())), ANSWER_S)
        except BaseException:
            self._stop()
            raise
        assert self._read()["marionetteProtocol"] == 3
        self.do("WebDriver:NewSession", {"strictFileInteractability": True})

    def do(self, name, parameters=None):
        """Carry out a command; return its result.

        Raises:
            FirefoxError: Firefox refuses the command.
        """
        self._number += 1
        message = json.dumps([0, self._number, name, parameters or {}]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, number, error, result = self._read()
        assert number == self._number
        if error:
            raise FirefoxError(f"{name}: {error['error']}: {error['message']}")
        return result

    def _read(self):
        while b":" not in self._received:
            self._receive()
        length, _, self._received = self._received.partition(b":")
        while len(self._received) < int(length):
            self._receive()
        message = self._received[: int(length)]
        self._received = self._received[int(length) :]
        return json.loads(message)

    def _receive(self):
        data = self._socket.recv(65536)
        assert data, "Firefox has closed the connection"
        self._received += data

    def goto(self, url):
        """Open a page, and wait until it is loaded."""
        self.do("WebDriver:Navigate", {"url": url})

    def run(self, script, *arguments):
        """Run a function body in the page with these `arguments`; return what it returns."""
        parameters = {"script": script, "args": list(arguments), "sandbox": None}
        return self.do("WebDriver:ExecuteScript", parameters)["value"]

    def run_async(self, script, *arguments):
        """Run a function body whose last argument is the function that takes the result."""
        parameters = {"script": script, "args": list(arguments), "sandbox": None}
        return self.do("WebDriver:ExecuteAsyncScript", parameters)["value"]

    def text(self, selector):
        """Return the text of the first shown element; None if there is none."""
        return self.run(
            "const shown = [...document.querySelectorAll(arguments[0])]"
            ".find((each) => each.getClientRects().length);"
            "return shown ? shown.innerText.trim() : null;",
            selector,
        )

    def shown(self):
        """Return all text that the page shows."""
        return self.run("return document.body.innerText")

    def wait_text(self, selector, text):
        """Wait until an element has this text."""
        wait_until(
            lambda: self.text(selector) == text,
            what=lambda: f"{selector}: {text}, on a page with {self.shown()!r}",
        )

    def wait_shown(self, text):
        """Wait until the page shows this text."""
        wait_until(
            lambda: text in self.shown(), what=lambda: f"{text}, on a page with {self.shown()!r}"
        )

    def click(self, selector):
        """Click on an element."""
        found = self.do("WebDriver:FindElement", {"using": "css selector", "value": selector})
        self.do("WebDriver:ElementClick", {"id": next(iter(found["value"].values()))})

    def press(self, keys):
        """Press a key with its modifier keys, such as "Shift+F8"."""
        values = [KEYS[name] for name in keys.split("+")]
        actions = [{"type": "keyDown", "value": value} for value in values]
        actions += [{"type": "keyUp", "value": value} for value in reversed(values)]
        self._keys(actions)

    def write(self, text):
        """Type this text where the focus is."""
        actions = [{"type": kind, "value": each} for each in text for kind in ("keyDown", "keyUp")]
        self._keys(actions)

    def _keys(self, actions):
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        self.do("WebDriver:PerformActions", {"actions": [keyboard]})

    def windows(self):
        """Return the handles of all windows."""
        return self.do("WebDriver:GetWindowHandles")

    def switch_to(self, handle):
        """Direct later commands to another window."""
        self.do("WebDriver:SwitchToWindow", {"handle": handle, "focus": True})

    def end(self):
        """Stop Firefox."""
        self._socket.close()
        self._stop()

    def _stop(self):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
