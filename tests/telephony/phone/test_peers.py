"""The phone with SIPp's built-in server and with baresip.

Covers `telephony/phone/phone.py`.
"""

import asyncio
import contextlib
import shutil
import subprocess
import wave

import pytest

from helpers import loopback
from helpers.phone import tone
from telephony.phone import CallState

pytestmark = pytest.mark.peer

BARESIP = """\
sip_listen 127.0.0.1:{port}
net_interface 127.0.0.1
audio_player aufile,{folder}/heard.wav
audio_source aufile,{folder}/said.wav
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
audio_alert aufile,{folder}/alert.wav
module_path /usr/lib/baresip/modules
module g711.so
module aufile.so
module_app account.so
module_app menu.so
"""


def program(name, package):
    found = shutil.which(name)
    assert found, f"{name} is missing: apt-get install {package}"
    return found


@contextlib.contextmanager
def running(*command, folder):
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def connected(phone, number):
    """Return an answered call; try again while the peer is still starting."""
    for _ in range(4):
        call = await phone.call(number)
        try:
            async with asyncio.timeout(5):
                await call.wait_for(CallState.ANSWERED)
        except TimeoutError:
            await call.hangup()
        else:
            return call
    raise AssertionError("the peer never answered")


async def test_sipp_answers_a_call_and_receives_the_bye(make_phone, tmp_path):
    port = loopback.free_port()
    sipp = program("sipp", "sip-tester")
    command = (sipp, "-sn", "uas", "-i", "127.0.0.1", "-p", str(port), "-m", "1", "-nostdin")
    with running(*command, folder=tmp_path) as process:
        async with make_phone(("127.0.0.1", port)) as phone:
            call = await connected(phone, "service")
            await asyncio.wait_for(call.hangup(), 60)
        assert await asyncio.to_thread(process.wait, 20) == 0


async def test_baresip_answers_a_call_and_its_audio_is_received(make_phone, hears, tmp_path):
    port = loopback.free_port()
    baresip = program("baresip", "baresip")
    with wave.open(str(tmp_path / "said.wav"), "wb") as said:
        said.setparams((1, 2, 8000, 0, "NONE", ""))
        said.writeframes(tone(440, 30))
    (tmp_path / "config").write_text(BARESIP.format(port=port, folder=tmp_path))
    account = "<sip:301@127.0.0.1>;regint=0;answermode=auto;audio_codecs=PCMU\n"
    (tmp_path / "accounts").write_text(account)
    with running(baresip, "-f", str(tmp_path), folder=tmp_path):
        async with make_phone(("127.0.0.1", port)) as phone:
            call = await connected(phone, "301")
            async with asyncio.timeout(60):
                assert await hears(call, 440, 4000)
                await call.changes.until(lambda: call.report is not None)
                await call.hold()
                await call.resume()
                await call.hangup()
    assert call.status == 200
    assert call.report.loss < 0.5
