"""Measures how fast an advisor's page shows what happens, while many desks are connected.

    python benchmarks/desk.py [--quick] [--desks 200] [--rate 10] [--seconds 30]

The real desk runs on the loopback; a scripted switch takes the place of the real one, so that each
event has an exact time. `desks` pages are connected: one is the real page in a headless Chromium,
the others are event streams that a second process reads. Every tenth of them is a supervisor's and
sees all calls. The switch changes `rate` calls a second of advisors chosen at random; each call
rings, is answered, held, resumed and ends. Meanwhile one call after another rings at the browser's
advisor, and ends without an answer as soon as the page shows it.

- `event_ms`: from the moment when the switch sends the new call to the end of the frame in which
  the browser paints its number. A browser paints every 16.7 ms, which adds 8 ms on average.
- `pause_ms`: from the press of F8 to the end of the frame that shows PAUSED. The scripted switch
  confirms a pause at once.
- `first_ms`, `reload_ms`: from the start of the navigation to the end of the frame that shows a
  call in progress; with an empty cache and with a warm one.
- `page_bytes`: the bodies that the browser receives until then with an empty cache, as they are on
  the network; `page_bytes_with_heads`: with the heads of the responses.
- `desk_cores`: the desk's CPU time while events arrive, in seconds per second.
- `burst_cpu_s`: the desk's CPU time for 100 calls that end at once. A scripted finaliser reports
  their recordings within a second, and a client fetches each as soon as it is indexed.
- `burst_pause_ms`: from a request to pause or resume another call during that time to its answer;
  `calm_pause_ms`: the same before.

The last line is one JSON object. The browser needs playwright and a Chromium of the system.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import statistics
import sys
import time
from pathlib import Path

import httpx2
import msgspec
from _common import all_files, cpu_us, daemon, ends_within, machine, resident_kb, said
from _desk_floods import streams
from _floods import running
from _site import ADMIN, PASSWORD, WHY, Site, site
from playwright.async_api import Browser, Page, async_playwright

from galwad.host.database import open_engine, upgrade
from galwad.link import Link, serve
from galwad.messages import (
    AnyMessage,
    CallChanged,
    CallEnded,
    CallerFacts,
    CallsSnapshot,
    CallStatus,
    Hello,
    Indexed,
    Party,
    Pause,
    PauseReply,
    RecordingStateName,
    Resume,
    Sealed,
)
from galwad.people.sessions import Sessions
from galwad.people.store import Users
from galwad.people.user import Role, User
from galwad.settings import load

WATCHED, FIRST_EXTENSION = "sian", 200
STEPS = ("answered", "held", "answered", "ended")
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 20.0
BURST, BURST_S, BURST_EXTENSION = 100, 1.0, "600"
"""The calls that end at once, and the seconds in which their recordings are sealed."""
PAYLOAD = 100_000
PAUSE_EVERY_S = 0.03
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
WATCH = """() => {
    const painted = () => performance.timeOrigin + performance.now();
    window.shown = {};
    window.wanted = new Set();
    const look = () => {
        const text = document.getElementById("main").textContent.replaceAll(/\\s/g, "");
        for (const each of [...window.wanted]) {
            if (text.includes(each)) {
                window.wanted.delete(each);
                requestAnimationFrame(() => setTimeout(() => { window.shown[each] = painted(); }));
            }
        }
    };
    new MutationObserver(look).observe(document.body, {
        childList: true, subtree: true, characterData: true, attributes: true,
    });
    const press = (event) => { window.pressed = performance.timeOrigin + event.timeStamp; };
    addEventListener("keydown", press, true);
}"""
LOADED = """() => new Promise((shown) => {
    const look = () => {
        const word = document.querySelector("article.call .bar .word");
        if (word?.textContent !== "REC") setTimeout(look, 2);
        else requestAnimationFrame(() => setTimeout(() => shown(performance.now())));
    };
    look();
})"""


class ScriptedSwitch:
    """Sends the desk the calls of the benchmark, and confirms each pause at once."""

    def __init__(self) -> None:
        self.calls: dict[str, CallStatus] = {}
        self.connected = asyncio.Event()
        self._link: Link | None = None
        self._server: asyncio.Server | None = None

    async def start(self, path: Path) -> None:
        """Listen on `path`, the switch's socket."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._server = await serve(path, self._on_message)

    async def stop(self) -> None:
        """Close the socket and the link."""
        if self._server is not None:
            self._server.close()
        if self._link is not None:
            await self._link.close()

    async def _on_message(self, link: Link, message: AnyMessage) -> None:
        if isinstance(message, Hello):
            self._link = link
            link.send(CallsSnapshot(tuple(self.calls.values())))
            self.connected.set()
        elif isinstance(message, Pause | Resume):
            self._gate(link, message)

    def _gate(self, link: Link, message: Pause | Resume) -> None:
        call = self.calls.get(message.call_id)
        if call is None:
            link.send(PauseReply(message.ref, (), "not_started", True))
            return
        paused = isinstance(message, Pause)
        state: RecordingStateName = "paused" if paused else "recording"
        self.change(
            call.call_id,
            holders=(message.holder,) if paused else (),
            recording=state,
            recording_since=time.time(),
        )
        link.send(PauseReply(message.ref, (call.call_id,), state, True))

    def ring(self, number: str, extension: str) -> str:
        """Begin a call that rings at `extension`; return its id."""
        call_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{''.join(random.choices(LETTERS, k=8))}"
        self.calls[call_id] = CallStatus(
            call_id=call_id,
            version=1,
            started=time.time(),
            since=time.time(),
            line="Council Tax",
            called="01970000100",
            caller=CallerFacts(from_user=number, from_host="pstn.example"),
            state="ringing",
            ringing=(Party(extension),),
        )
        self._send(CallChanged(self.calls[call_id]))
        return call_id

    def step(self, call_id: str, step: str) -> None:
        """Answer, hold, resume or end a call, or end it without an answer."""
        call = self.calls[call_id]
        if step in ("ended", "missed"):
            answered = step == "ended"
            del self.calls[call_id]
            self._send(CallEnded(call_id, time.time(), answered, 60_000_000 if answered else None))
        elif step == "held":
            self.change(call_id, state="held")
        elif call.state == "ringing":
            (party,) = call.ringing
            self.change(
                call_id,
                state="answered",
                ringing=(),
                advisor=msgspec.structs.replace(party, user=user_at(party.extension)),
                recording="recording",
                recording_since=time.time(),
            )
        else:
            self.change(call_id, state="answered")

    def change(self, call_id: str, **fields: object) -> None:
        """Change these fields of a call."""
        call = self.calls[call_id]
        self.calls[call_id] = msgspec.structs.replace(call, version=call.version + 1, **fields)
        self._send(CallChanged(self.calls[call_id]))

    def _send(self, message: AnyMessage) -> None:
        if self._link is not None:
            self._link.send(message)


def user_at(extension: str) -> str:
    """Return the name of the user with this extension."""
    number = int(extension) - FIRST_EXTENSION
    return WATCHED if number == 0 else f"user{number}"


async def add_people(at: Site, desks: int) -> list[str]:
    """Add one user for each desk; return a token for each but the browser's."""
    await asyncio.to_thread(upgrade, at.database)
    engine = open_engine(at.database)
    users, sessions = Users(engine), Sessions(engine)
    tokens = []
    for number in range(desks):
        extension = str(FIRST_EXTENSION + number)
        role: Role = "supervisor" if number % 10 == 9 else "advisor"
        user = User(user_at(extension), role, extension=extension)
        await users.add(user, PASSWORD, "sip secret")
        if number:
            tokens.append(await sessions.open(user.name, "cli"))
    await users.add(User(ADMIN, "admin"), PASSWORD)
    await engine.dispose()
    return tokens


def random_number() -> str:
    """Return a number of the range for fiction, in E.164 form."""
    return f"+447700900{random.randrange(1000):03d}"


async def other_calls(switch: ScriptedSwitch, desks: int, rate: float) -> None:
    """Change calls of other advisors, `rate` times a second, until cancelled."""
    steps: dict[str, int] = {}
    free = [str(FIRST_EXTENSION + number) for number in range(1, desks)]
    due = time.monotonic()
    while True:
        due += 1 / rate
        await asyncio.sleep(max(due - time.monotonic(), 0))
        if len(steps) < min(desks // 3, 60) and free and random.random() < 0.3:
            extension = free.pop(random.randrange(len(free)))
            steps[switch.ring(random_number(), extension)] = 0
        elif steps:
            call_id = random.choice(list(steps))
            call = switch.calls[call_id]
            step = STEPS[steps[call_id]]
            extension = (call.advisor or call.ringing[0]).extension
            switch.step(call_id, step)
            steps[call_id] += 1
            if step == "ended":
                del steps[call_id]
                free.append(extension)


async def shown(page: Page, text: str) -> float:
    """Wait until the page has painted `text`; return when, in ms since 1970."""
    await page.wait_for_function("(text) => window.shown[text]", arg=text, timeout=PATIENCE_S * 1e3)
    return float(await page.evaluate("(text) => window.shown[text]", text))


async def events(page: Page, switch: ScriptedSwitch, seconds: float) -> list[float]:
    """Let a call ring at the page's advisor again and again; return the delays in ms."""
    delays = []
    for number in range(int(seconds)):
        digits = f"1632960{number % 1000:03d}"
        await page.evaluate(
            "(text) => { window.wanted.add(text); delete window.shown[text]; }", digits
        )
        sent = time.time()
        call_id = switch.ring(f"+44{digits}", str(FIRST_EXTENSION))
        delays.append(await shown(page, digits) - sent * 1000)
        switch.step(call_id, "missed")
        await asyncio.sleep(random.uniform(0.3, 0.7))
    return delays


async def pauses(page: Page, count: int) -> list[float]:
    """Pause the page's call with F8, and resume it again; return the delays in ms."""
    delays = []
    for _ in range(count):
        await page.evaluate("() => { window.wanted.add('PAUSED'); delete window.shown.PAUSED; }")
        await page.keyboard.press("F8")
        at = await shown(page, "PAUSED")
        delays.append(at - float(await page.evaluate("() => window.pressed")))
        await page.keyboard.press("Shift+F8")
        await page.locator("article.call .bar .word", has_text="REC").wait_for()
        await asyncio.sleep(random.uniform(0.1, 0.3))
    return delays


async def open_page(browser: Browser, at: Site) -> Page:
    """Return the page of a new browser, signed in."""
    page = await browser.new_page(locale="en-GB")
    await page.goto(at.url)
    await page.get_by_label("User name").fill(WATCHED)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.locator("#link[data-state=live]").wait_for()
    return page


async def loads(browser: Browser, at: Site, count: int) -> dict[str, object]:
    """Load the page with an empty cache, then `count` times with a warm one."""
    page = await open_page(browser, at)
    network = await page.context.new_cdp_session(page)
    await network.send("Network.enable")
    whole: list[float] = []
    bodies: list[float] = []
    network.on("Network.loadingFinished", lambda end: whole.append(end["encodedDataLength"]))
    network.on("Network.dataReceived", lambda part: bodies.append(part["encodedDataLength"]))
    await network.send("Network.clearBrowserCache")
    await page.goto(at.url)
    first = float(await page.evaluate(LOADED))
    received = {"page_bytes": int(sum(bodies)), "page_bytes_with_heads": int(sum(whole))}
    again = []
    for _ in range(count):
        await page.reload()
        again.append(float(await page.evaluate(LOADED)))
    await page.close()
    return {"first_ms": round(first), "reload_ms": figures(again), **received}


def figures(times: list[float]) -> dict[str, float]:
    """Return the median, the 99th percentile and the maximum."""
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1), "max": round(max(times), 1)}


async def measure(at: Site, options: argparse.Namespace) -> dict[str, object]:
    """Start the scripted switch, the desk and the pages; return the figures."""
    tokens = await add_people(at, options.desks)
    switch = ScriptedSwitch()
    await switch.start(load(at.settings_file).switch_socket)
    command = [sys.executable, "-m", "galwad", "serve", "--only", "desk"]
    command += ["--config", str(at.settings_file)]
    log = at.log("desk")
    async with async_playwright() as playwright:
        chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        try:
            with contextlib.ExitStack() as stack:
                desk = stack.enter_context(daemon(command, log, said(log, b"desk.ready")))
                await switch.connected.wait()
                sent = stack.enter_context(running(streams(tokens, len(tokens)), {"desk": at.desk}))
                while sent.value < len(tokens):  # noqa: ASYNC110 - a process counts
                    await asyncio.sleep(0.1)
                return await _with_pages(at, switch, browser, desk.pid, options)
        finally:
            await browser.close()
            await switch.stop()


async def _with_pages(
    at: Site, switch: ScriptedSwitch, browser: Browser, desk: int, options: argparse.Namespace
) -> dict[str, object]:
    page = await open_page(browser, at)
    await page.evaluate(WATCH)
    others = asyncio.create_task(other_calls(switch, options.desks, options.rate))
    try:
        before, began = cpu_us(desk), time.monotonic()
        delays = await events(page, switch, options.seconds)
        cores = (cpu_us(desk) - before) / 1e6 / (time.monotonic() - began)
        call_id = switch.ring("+441632960999", str(FIRST_EXTENSION))
        switch.step(call_id, "answered")
        await page.locator("article.call .bar .word", has_text="REC").wait_for()
        paused = await pauses(page, int(options.seconds))
        await page.close()
        loaded = await loads(browser, at, max(int(options.seconds / 3), 3))
    finally:
        others.cancel()
    ended = await burst(at, switch, desk)
    return {
        "event_ms": figures(delays),
        "pause_ms": figures(paused),
        **loaded,
        "desk_cores": round(cores, 2),
        "desk_mb": round(resident_kb(desk) / 1024, 1),
        **ended,
    }


async def burst(at: Site, switch: ScriptedSwitch, desk: int) -> dict[str, object]:
    """Let many calls end at once, and fetch the recording of each; meanwhile pause another call."""
    token = await asyncio.to_thread(at.sign_in)
    bearer = {"Authorization": f"Bearer {token}"}
    calls = [ringing_and_answered(switch) for _ in range(BURST)]
    other = ringing_and_answered(switch)
    async with (
        httpx2.AsyncClient(base_url=at.url, headers=bearer, timeout=PATIENCE_S) as fetching,
        httpx2.AsyncClient(base_url=at.url, headers=bearer, timeout=PATIENCE_S) as pausing,
    ):
        await asyncio.sleep(2)  # the desk enters them into its logs
        calm = await paused_until(asyncio.create_task(asyncio.sleep(2)), pausing, other)
        before = cpu_us(desk)
        for call_id in calls:
            switch.step(call_id, "ended")
        done = asyncio.create_task(sealed_and_fetched(at, fetching, calls))
        during = await paused_until(done, pausing, other)
        await done
    return {
        "burst_cpu_s": round((cpu_us(desk) - before) / 1e6, 2),
        "burst_pause_ms": figures(during),
        "calm_pause_ms": figures(calm),
    }


def ringing_and_answered(switch: ScriptedSwitch) -> str:
    """Begin and answer a call of a phone without a user; return its id."""
    call_id = switch.ring(random_number(), BURST_EXTENSION)
    switch.step(call_id, "answered")
    return call_id


async def paused_until(
    done: asyncio.Task[None], client: httpx2.AsyncClient, call_id: str
) -> list[float]:
    """Pause and resume a call again and again until `done` is done; return the delays in ms."""
    delays: list[float] = []
    while not done.done():
        method = "DELETE" if len(delays) % 2 else "PUT"
        began = time.perf_counter()
        reply = await client.request(method, f"/api/v1/calls/{call_id}/payment")
        reply.raise_for_status()
        delays.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE_EVERY_S)
    return delays


async def sealed_and_fetched(at: Site, client: httpx2.AsyncClient, calls: list[str]) -> None:
    """Seal and report these recordings one after the other; fetch each as soon as it is indexed."""
    link = Link(*await asyncio.open_unix_connection(load(at.settings_file).desk_socket))
    link.send(Hello("finaliser", "0"))
    indexed: asyncio.Queue[str] = asyncio.Queue()

    async def report() -> None:
        for call_id in calls:
            link.send(sealed(at, call_id))
            await asyncio.sleep(BURST_S / len(calls))

    async def receive() -> None:
        for _ in calls:
            message = await link.receive()
            if not isinstance(message, Indexed):
                raise SystemExit("the desk has not indexed a recording")
            indexed.put_nowait(message.call_id)

    async def fetch_all() -> None:
        for _ in calls:
            reply = await client.post(f"/api/v1/recordings/{await indexed.get()}/fetch", json=WHY)
            reply.raise_for_status()

    await asyncio.gather(report(), receive(), fetch_all())
    await link.close()


def sealed(at: Site, call_id: str) -> Sealed:
    """Write the files of a recording as far as a fetch needs them; return the report about it."""
    folder = time.strftime("%Y/%m/%d")
    (at.archive / folder).mkdir(parents=True, exist_ok=True)
    for suffix, content in (("header", b"age-encryption.org/v1\n"), ("payload", bytes(PAYLOAD))):
        (at.archive / folder / f"{call_id}.{suffix}").write_bytes(content)
    return Sealed(
        call_id=call_id,
        folder=folder,
        started=time.time() - 60,
        talk_us=60_000_000,
        interrupted=False,
        number=random_number(),
        line="Council Tax",
        advisor="",
        extension=BURST_EXTENSION,
        payload_size=PAYLOAD,
        payload_sha256="0" * 64,
        manifest_sha256="1" * 64,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="10 s, 50 desks")
    parser.add_argument("--desks", type=int, default=None)
    parser.add_argument("--rate", type=float, default=10.0, help="changes of calls a second")
    parser.add_argument("--seconds", type=float, default=None)
    options = parser.parse_args()
    options.desks = options.desks or (50 if options.quick else 200)
    options.seconds = options.seconds or (10.0 if options.quick else 60.0)
    all_files()
    ends_within(600)
    with site(50) as at:
        found = asyncio.run(measure(at, options))
    for name, value in found.items():
        print(f"{name:12} {value}")
    size = {"desks": options.desks, "rate": options.rate, "seconds": options.seconds}
    print(json.dumps({"benchmark": "desk", "machine": machine(), **size, **found}))


if __name__ == "__main__":
    main()
