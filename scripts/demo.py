"""The demo: a whole site on loopback, a real call through it, and its sealed recording opened.

`scripts/demo` runs this in its own virtual environment. `--once` ends after the call; without it,
the site stays up until Ctrl-C. If a step was not seen, the demo ends with exit status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from demo_archive import Inspection
from demo_call import DemoCall
from demo_page import Page
from demo_phones import Phones
from demo_report import Report, Unseen, expect
from demo_site import LINE, PEOPLE, Site

from galwad.logs import configure
from telephony.phone import PhoneError


def main() -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the call")
    parser.add_argument(
        "--dir", type=Path, help="an empty folder to use; a temporary one if absent"
    )
    wanted = parser.parse_args()
    report = Report()
    try:
        site = Site(_folder(wanted.dir))
    except OSError as error:
        print(f"error: {error}\nhint: name an empty folder with --dir", file=sys.stderr)
        return 2
    configure("demo", as_json=False)
    try:
        asyncio.run(_demo(site, report, once=wanted.once))
    except KeyboardInterrupt:
        report.say()
        report.say("stopped")
    except Unseen:
        report.say(f"The daemon's log: {site.log}")
        return 1
    return 0


def _folder(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="galwad-demo-"))
    folder = wanted.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    return folder


async def _demo(site: Site, report: Report, *, once: bool) -> None:
    page = Page(site.url)
    phones: Phones | None = None
    try:
        await _set_up(site, report)
        phones = Phones(site)
        with report.step("Three phones are there: a caller, the advisor's, and Housing's") as told:
            try:
                await phones.start()
            except (PhoneError, OSError) as error:
                raise Unseen("the phones to register", error) from None
            told.append("two registered with digest")
            told.append("Housing's is pyVoIP, in a process of its own")
        with report.step("The advisor signs in to the page"):
            await page.sign_in("sian", site.accounts["sian"]["password"])
        call_id = await DemoCall(report, page, phones).run()
        inspection = Inspection(report, site, call_id)
        await inspection.run()
        _say_where(site, report, inspection)
        if not once:
            await _stay(site, report, phones)
    finally:
        await page.close()
        if phones is not None:
            await phones.stop()
        await site.stop()


async def _set_up(site: Site, report: Report) -> None:
    report.title("Setting up")
    with report.step("The officer's keys, and the signed set of who can open recordings") as told:
        officer = await site.ask("keys", "init", str(site.keys))
        signed = site.state / "keys" / "recipients.json"
        signed.parent.mkdir(parents=True)
        await site.run("keys", "sign", str(site.keys), "--output", str(signed))
        site.write_settings(officer["officer_key"])
        told.append("galwad keys init, keys sign")
    report.say("The key that opens recordings lies in the demo's own folder. In real life it is")
    report.say("made on the officer's machine and never comes near the server.")
    with report.step("Users, and a directory with three people who do not exist") as told:
        await site.add_user("sian", "advisor", "201")
        await site.add_user("you", "supervisor", "202")
        await site.add_user("officer", "admin")
        people = site.folder / "people.csv"
        people.write_text(PEOPLE, encoding="utf-8")
        counts = await site.ask("directory", "import", str(people))
        expect(counts["added"] == 3, "three people to be added", counts)
        told.append("galwad users add, directory import")
    with report.step("The council's CRM runs beside it, and finds people over HTTP") as told:
        await site.start_crm()
        told.append("a program of the demo, with two people who do not exist either")
    with report.step("The service runs: switch, desk and finaliser") as told:
        await site.start()
        told.append("galwad serve")


def _say_where(site: Site, report: Report, inspection: Inspection) -> None:
    report.title("Where everything is")
    for what, where in (
        ("sealed recording", f"{site.state / 'archive'} (ID.header, ID.payload, ID.manifest)"),
        ("opened recording", inspection.sound),
        ("officer's keys", site.keys / "identity.txt"),
        ("settings", site.config),
        ("the service's log", site.log),
    ):
        report.say(f"{what:<18} {where}")


async def _stay(site: Site, report: Report, phones: Phones) -> None:
    sian, you = site.accounts["sian"], site.accounts["you"]
    report.title("It stays up: try it yourself")
    report.say(f"the page           {site.url}")
    report.say(f"sign in as         sian, password {sian['password']} (the advisor who answers)")
    report.say(f"or as              you, password {you['password']} (a supervisor)")
    report.say()
    report.say(f"a softphone        server {you['sip']['server']} (UDP, this machine alone)")
    report.say(f"                   extension {you['sip']['extension']}")
    report.say(f"                   password {you['sip']['password']}")
    report.say(f"ring               {LINE}: sian's phone answers after three seconds")
    report.say()
    report.say("Ctrl-C stops it.")
    await phones.stay()


if __name__ == "__main__":
    sys.exit(main())
