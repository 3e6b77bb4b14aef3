"""Asterisk, which `scripts/test --all` installs, with the settings of docs/operations/pbx.md.

It runs from a folder of its own, with the libraries of its own Debian release.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from helpers.peers.waiting import wait_until
from helpers.processes import Child

INSTALLED = Path(sys.prefix) / "asterisk"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "operations" / "pbx.md"
PASSWORD = "secret of the PBX"

FOLDERS = """
[directories]
astetcdir => {folder}
astmoddir => {modules}
astvarlibdir => {folder}/var
astdbdir => {folder}/var
astkeydir => {folder}/var
astdatadir => {folder}/data
astagidir => {folder}/var
astspooldir => {folder}/var
astrundir => {folder}/var
astlogdir => {folder}/var
[options]
nocolor = yes
hideconnect = yes
"""
MODULES = (
    *("res_sorcery_config", "res_sorcery_memory", "res_sorcery_astdb", "res_pjproject"),
    *("res_timing_timerfd", "res_rtp_asterisk", "res_musiconhold", "res_pjsip"),
    *("res_pjsip_session", "res_pjsip_pubsub", "res_pjsip_sdp_rtp", "res_pjsip_caller_id"),
    *("res_pjsip_refer", "res_pjsip_registrar", "res_pjsip_authenticator_digest"),
    *("res_pjsip_endpoint_identifier_ip", "res_pjsip_endpoint_identifier_user", "chan_pjsip"),
    *("bridge_simple", "bridge_holding", "codec_ulaw", "codec_alaw", "pbx_config"),
    *("app_dial", "app_queue", "func_callerid", "res_parking", "app_voicemail", "format_wav"),
    "format_pcm",
)
TRANSPORT = """
[global]
type = global
endpoint_identifier_order = username,ip

[udp]
type = transport
protocol = udp
bind = {host}:{port}
"""
PHONE = """
[{extension}]
type = aor
max_contacts = 1

[{extension}]
type = auth
auth_type = userpass
username = {extension}
password = {password}
"""
ENDPOINT = """
context = phones
aors = {extension}
auth = {extension}
disallow = all
allow = alaw,ulaw
direct_media = no
"""
BOXES = """
[general]
format = wav

[default]
201 => 1234,Sian
"""
PARKING = """
[default]
parkpos => 701-720
"""
MEDIA = """
media_address = 127.0.0.3
bind_rtp_to_media_address = yes
"""
"""On a loopback address, sound would otherwise leave from 127.0.0.1."""
DIALPLAN = """
[phones]
include => queues
exten => _[25]0X,1,Dial(PJSIP/${EXTEN})
exten => _0X.,1,Dial(PJSIP/${EXTEN}@galwad)
include => places

[queues]
"""
QUEUES = """
[housing]
musicclass = none
timeout = 20
retry = 1
member => PJSIP/201
"""


def recipe(place):
    """Return the block of settings that docs/operations/pbx.md has for Asterisk at this place."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## Asterisk\n")[2].partition("\n## ")[0]
    return re.findall(r"```\n(.*?)```", section, re.DOTALL)[place]


def replaced(text, old, new):
    """Return a recipe with one change, for a test."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


class Asterisk:
    """Asterisk at the target of the main line, with the phones 201 and 500.

    `connected_line` is the value of `send_connected_line` at its trunk to Galwad. `line` is what a
    call from Galwad reaches: "phones" rings 201 and 202, and "box" rings 201, then its voicemail.
    """

    def __init__(self, service, *, connected_line="yes", line="phones"):
        assert INSTALLED.exists(), f"{INSTALLED} is missing: run scripts/test --all"
        self.address = ("127.0.0.3", service.pbx_port)
        (modules,) = INSTALLED.glob("usr/lib/*/asterisk/modules")
        self._libraries = modules.parent.parent
        (self._loader,) = self._libraries.glob("ld-linux-*.so.*")
        self._folder = service.folder / "asterisk"
        (self._folder / "var").mkdir(parents=True)
        self._make_data()
        trunk, incoming, phone, queue, voicemail, parking = map(recipe, range(6))
        if line == "box":
            incoming = replaced(incoming, "Dial(PJSIP/201&PJSIP/202)", "Goto(boxes,201,1)")
        host, port = service.sip
        trunk = trunk.replace("192.0.2.10:5060", f"{host}:{port}").replace("192.0.2.10", host)
        wanted = "send_connected_line = yes"
        trunk = replaced(trunk, wanted, f"send_connected_line = {connected_line}")
        trunk += MEDIA
        transport = TRANSPORT.format(host=self.address[0], port=self.address[1])
        names = {"201": "Sian", "202": "Gwen", "500": "Housing"}
        phones = "".join(
            PHONE.format(extension=extension, password=PASSWORD)
            + phone.replace("201", extension).replace("Sian", name)
            + ENDPOINT.format(extension=extension)
            + MEDIA
            for extension, name in names.items()
        )
        self._write(
            asterisk=FOLDERS.format(
                folder=self._folder, modules=self._libraries / "asterisk/modules"
            ),
            modules="[modules]\nautoload = no\n"
            + "".join(f"load = {name}.so\n" for name in MODULES),
            pjsip=transport + trunk + phones,
            extensions=incoming
            + DIALPLAN
            + queue
            + f"[boxes]\n{replaced(voicemail, '(PJSIP/201,20)', '(PJSIP/201,2)')}"
            + f"[places]\n{parking}",
            queues=QUEUES,
            voicemail=BOXES,
            res_parking=PARKING,
            logger="[logfiles]\nconsole => notice,warning,error,verbose\n",
            **dict.fromkeys(("cdr", "cel", "features", "acl", "udptl", "ccss", "indications"), ""),
            **dict.fromkeys(("pjproject", "musiconhold", "rtp"), ""),
        )
        with (self._folder / "log").open("w") as log:
            self._process = Child(
                [*self._command, "-f", "-vvv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: "Asterisk Ready" in self.log, what="the start of Asterisk")

    @property
    def log(self):
        """The lines that Asterisk has written so far."""
        return (self._folder / "log").read_text(errors="replace")

    def end(self):
        """End Asterisk. Repeating this changes nothing."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    @property
    def _command(self):
        return (
            *(str(self._loader), "--library-path", str(self._libraries)),
            *(str(INSTALLED / "usr/sbin/asterisk"), "-C", str(self._folder / "asterisk.conf")),
        )

    def _make_data(self):
        """Link the data of the package, and add the greeting of voicemail, which is not in it."""
        sounds = self._folder / "data" / "sounds" / "en"
        sounds.mkdir(parents=True)
        for each in (INSTALLED / "usr/share/asterisk").iterdir():
            if each.name != "sounds":
                (self._folder / "data" / each.name).symlink_to(each)
        (sounds / "vm-intro.ulaw").write_bytes(b"\xff" * 8000 * 10)

    def _write(self, **files):
        for name, text in files.items():
            (self._folder / f"{name}.conf").write_text(text, encoding="utf-8")
