"""Runs the checks of docs/verify-on-azure.md that need no person, and prints a report.

    PLATFORM=… BEN=… GRAPH=… python -m scripts.verify https://HOST --client APP_CLIENT_ID …

A check whose credential or option is missing is not run, and the report says so. The report has no
tokens, addresses or names. Exit status: 0; 1 if something came otherwise, or a session is left
behind; 2 if it was stopped, or would touch the sessions of others.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx

from scripts.verify.api import Api, claims_of, http_client
from scripts.verify.deployment import Deployment, check_deployment
from scripts.verify.desk import Desk, Refused, a_desk, find_people, tell
from scripts.verify.document import read_checks
from scripts.verify.outlook import NUMBERS as OUTLOOK
from scripts.verify.outlook import OutlookChecks
from scripts.verify.report import CameOtherwise, NotRun, Report

_WRITE: Final = "Calendars.ReadWrite"


async def verify(
    options: argparse.Namespace, environment: Mapping[str, str], report: Report
) -> None:
    """Run the checks that *report* wants, with the tokens in *environment*."""
    async with http_client(options.ca) as http:
        at = _deployment(options, environment, http)
        await check_deployment(at, report)  # first, for the handshake
        if report.wanted & set(OUTLOOK):
            await _check_outlook(options, environment, at, report)


def _deployment(
    options: argparse.Namespace, environment: Mapping[str, str], http: httpx.AsyncClient
) -> Deployment:
    return Deployment(
        http=http,
        host=options.host,
        platform=environment.get("PLATFORM", ""),
        ben=environment.get("BEN", ""),
        page=options.page.rstrip("/"),
        client=options.client,
        page_client=options.page_client or options.client,
        organization=options.organization,
        package=options.package,
        ca=options.ca,
        cold=options.cold,
    )


async def _check_outlook(
    options: argparse.Namespace, environment: Mapping[str, str], at: Deployment, report: Report
) -> None:
    try:
        desk = await _desk(options, environment.get("GRAPH", ""), at)
        async with a_desk(desk, report, beside_others=options.beside_others):
            await OutlookChecks(
                desk, report, alias=options.alias, hand_seconds=options.by_hand * 60
            ).run()
    except Refused as refused:
        report.is_refused = True
        report.skip(OUTLOOK, str(refused))
    except (NotRun, CameOtherwise) as reason:
        report.skip(OUTLOOK, str(reason))
    except httpx.HTTPError as error:
        report.skip(OUTLOOK, f"no answer ({type(error).__name__})")


async def _desk(options: argparse.Namespace, graph: str, at: Deployment) -> Desk:
    for name, given in (("$BEN", at.ben), ("$GRAPH", graph), ("--pairing", options.pairing)):
        if not given:
            raise NotRun(f"no {name}")
    try:
        may = claims_of(graph).get("roles") or []
    except ValueError as error:
        raise NotRun("$GRAPH is no token that can be decoded") from error
    if _WRITE not in may:
        raise NotRun(f"$GRAPH has no {_WRITE}")
    ben = Api(at.http, at.api, at.ben)
    has_feed = at.platform and options.organization
    return Desk(
        ben=ben,
        platform=Api(at.http, at.api, at.platform) if has_feed else None,
        graph=Api(at.http, f"{options.graph.rstrip('/')}/v1.0", graph),
        organization=options.organization,
        pairing=options.pairing,
        people=await find_people(ben, options.pairing),
        zone=options.zone.key,
        patience_seconds=options.patience,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.verify", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    add = parser.add_argument
    add("host", type=_host, help="the app's host, https://HOST")
    add("--client", default="", help="the app registration's client id")
    add("--page-client", default="", help="the page's, if it is another")
    add("--page", default="", help="the page's origin, another one than the host's")
    add("--organization", default="", help="the id of the test tenant's organization")
    add("--pairing", default="", help="a pairing of two test people; the token of one is in BEN")
    add("--package", type=Path, help="the package that was deployed")
    add("--alias", default="", help="another address of the other test person")
    add("--zone", type=_zone, default="Asia/Tokyo", help="of the sessions; far from Greenwich")
    add("--cold", action="store_true", help="the last request was ten minutes ago")
    add("--by-hand", type=float, default=0, metavar="MINUTES",
        help="wait so long for each act that this program asks a person for")  # fmt: skip
    add("--beside-others", action="store_true",
        help="book also if the pairing has other sessions ahead")  # fmt: skip
    add("--patience", type=float, default=300, metavar="SECONDS",
        help="how long a change in Outlook may take until the session has it")  # fmt: skip
    add("--only", type=_numbers, metavar="N,N", help="these checks alone")
    add("--graph", default="https://graph.microsoft.com", help="Graph's address in another cloud")
    add("--ca", help="a file of authorities to trust as well (or SSL_CERT_FILE)")
    add("--json", action="store_true", help="print the report as JSON")
    return parser


def _host(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.netloc or parts.path.strip("/") or parts.query:
        raise argparse.ArgumentTypeError("must be https://HOST")
    return f"https://{parts.netloc}"


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:
        raise argparse.ArgumentTypeError("must be an IANA name, such as Asia/Tokyo") from error


def _numbers(text: str) -> set[int]:
    known = read_checks()
    try:
        asked = {int(each) for each in text.split(",")}
    except ValueError as error:
        raise argparse.ArgumentTypeError("must be numbers, such as 2,3") from error
    if unknown := asked - known.keys():
        raise argparse.ArgumentTypeError(f"no check is called {min(unknown)}")
    return asked


async def _until_stopped(options: argparse.Namespace, report: Report) -> None:
    """Run the checks. A signal ends them, after what they booked is cancelled."""
    task = asyncio.ensure_future(verify(options, os.environ, report))
    if sys.platform != "win32":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        tell("Stopped.")
        report.is_refused = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and print the report. Returns the exit status."""
    options = _parser().parse_args(arguments)
    checks = read_checks()
    report = Report(checks, options.only or checks)
    try:
        asyncio.run(_until_stopped(options, report))
    except OSError as error:
        tell(str(error))
        return 2
    sys.stdout.write(f"{report.as_json() if options.json else report.as_text()}\n")
    return 1 if report.is_wrong else 2 if report.is_refused else 0


if __name__ == "__main__":
    sys.exit(main())
