"""Checks of the deployment and of Entra: health, headers, handshake, problems, tokens, consent."""

import json
import secrets
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from scripts.verify.api import Api, claims_of, described, http_client
from scripts.verify.report import CameOtherwise, NotRun, Report

NUMBERS: Final = (1, 2, 3, 4, 11, 25, 26, 27)
_HANDSHAKE_SECONDS: Final = 3.0
_MAX_AGE: Final = "7200"
_PROBLEM: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment, and what the operator has of it; None and empty for what is not at hand."""

    http: httpx.AsyncClient
    host: str
    """``https://HOST``."""
    platform: str
    """The backend's token."""
    ben: str
    """The token of a test person."""
    page: str
    """The origin of the page."""
    client: str
    """The client id of the app's registration."""
    page_client: str
    organization: str
    package: Path | None
    ca: str | None
    cold: bool
    """The app had no request for ten minutes."""

    @property
    def api(self) -> str:
        """The root of the routes."""
        return f"{self.host}/api"


async def check_deployment(at: Deployment, report: Report) -> None:
    """Run the checks. The handshake comes first: it is the one that a request before spoils."""
    if 3 in report.wanted:
        await report.run(3, _handshake(at))
    await _note_what_runs(at, report)
    for number, check in (
        (1, _package),
        (2, _cors),
        (4, _health),
        (11, _tokens),
        (25, _no_route),
        (26, _no_token),
        (27, _diagnostics),
    ):
        if number in report.wanted:
            await report.run(number, check(at))


async def _note_what_runs(at: Deployment, report: Report) -> None:
    try:
        details = await _details(at)
    except (NotRun, CameOtherwise, httpx.HTTPError):
        return  # check 4 says so
    report.deployment = {name: details.get(name) for name in ("version", "python", "package")}


async def _details(at: Deployment) -> dict[str, Any]:
    reply = await at.http.get(
        f"{at.api}/health/details", headers={"authorization": f"Bearer {_platform(at)}"}
    )
    try:
        body = reply.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "checks" not in body:
        raise CameOtherwise(f"GET health/details: {described(reply)}")
    return {"status_code": reply.status_code, **body}


def _platform(at: Deployment) -> str:
    if not at.platform:
        raise NotRun("no $PLATFORM")
    return at.platform


async def _package(at: Deployment) -> str:
    if at.package is None:
        raise NotRun("no --package")
    try:
        with zipfile.ZipFile(at.package) as package:
            built = json.loads(package.read("build.json"))["package"]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise NotRun("the file of --package is no package of `make package`") from error
    runs = (await _details(at)).get("package")
    if runs != built:
        raise CameOtherwise(f"{runs} runs, {built} was built")
    return f"{built} runs, as built"


async def _cors(at: Deployment) -> str:
    if not at.page:
        raise NotRun("no --page")
    origin = {"origin": at.page}
    get = await at.http.get(f"{at.api}/health", headers=origin)
    asked = {
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization",
    }
    preflight = await at.http.options(f"{at.api}/health", headers=origin | asked)
    wrong = [
        f"no Access-Control-Allow-Origin for the page on {name}"
        for name, reply in (("GET", get), ("OPTIONS", preflight))
        if reply.headers.get("access-control-allow-origin") != at.page
    ]
    exposed = get.headers.get("access-control-expose-headers", "")
    if "etag" not in [each.strip().lower() for each in exposed.split(",")]:
        wrong.append(f"Access-Control-Expose-Headers: {exposed or 'none'}")
    if (age := preflight.headers.get("access-control-max-age")) != _MAX_AGE:
        wrong.append(f"Access-Control-Max-Age: {age or 'none'}")
    if wrong:
        raise CameOtherwise("; ".join(wrong))
    return f"the page may call and read {exposed}"


async def _handshake(at: Deployment) -> str:
    token = secrets.token_hex(8)
    # Connections of its own: Graph comes without one, so TLS counts too.
    async with http_client(at.ca) as http:
        began = time.perf_counter()
        reply = await http.post(f"{at.api}/graph/notifications", params={"validationToken": token})
        took = time.perf_counter() - began
    if reply.status_code != 200 or reply.text != token:
        raise CameOtherwise(f"the token does not come back: {described(reply)}")
    if not reply.headers.get("content-type", "").startswith("text/plain"):
        raise CameOtherwise(f"the token comes as {reply.headers.get('content-type')}")
    said = f"{took:.2f} s, {'cold' if at.cold else 'warm'}"
    if took >= _HANDSHAKE_SECONDS:
        raise CameOtherwise(said)
    return said if at.cold else f"{said}: again with --cold, ten minutes after the last request"


async def _health(at: Deployment) -> str:
    details = await _details(at)
    wrong = [f"{name}: {said}" for name, said in details["checks"].items() if said != "ok"]
    if details["status_code"] != 200 or wrong:
        raise CameOtherwise("; ".join([str(details["status_code"]), *wrong]))
    poison = sum(details["poison"].values())
    return f"{', '.join(details['checks'])}; {poison} messages in the poison queues"


async def _tokens(at: Deployment) -> str:
    if not at.client:
        raise NotRun("no --client")
    tokens = {"$PLATFORM": at.platform, "$BEN": at.ben}
    missing = [name for name, token in tokens.items() if not token]
    if len(missing) == len(tokens):
        raise NotRun("no $PLATFORM, no $BEN")
    wrong = []
    for name, token in tokens.items():
        wrong += [f"{name} {each}" for each in _wrong_claims(at, name, token)] if token else []
    if wrong:
        raise CameOtherwise("; ".join(wrong))
    looked = [name for name in tokens if name not in missing]
    return f"{' and '.join(looked)} are as must be" + (f"; no {missing[0]}" if missing else "")


def _wrong_claims(at: Deployment, name: str, token: str) -> list[str]:
    try:
        claims = claims_of(token)
    except ValueError:
        return ["is no token that can be decoded"]
    wrong = []
    if claims.get("aud") != at.client:
        # Client ids and their URIs, no person's.
        wrong.append(f"has aud {claims.get('aud')} (version {claims.get('ver')})")
    if name == "$PLATFORM" and claims.get("idtyp") != "app":
        wrong.append(f"has idtyp {claims.get('idtyp')}")
    if name == "$BEN" and claims.get("azp") != at.page_client:
        wrong.append(f"has azp {claims.get('azp')}")
    return wrong


async def _no_route(at: Deployment) -> str:
    reply = await at.http.get(f"{at.api}/no-such-route")
    problem = _problem(reply, 404)
    page = await at.http.get(f"{at.host}{problem['type']}")
    kind = page.headers.get("content-type", "")
    if page.status_code != 200 or not kind.startswith("text/html"):
        raise CameOtherwise(f"the page of {problem['type']}: {page.status_code} {kind}")
    return f"404 {problem['type']}, and its page"


async def _no_token(at: Deployment) -> str:
    reply = await at.http.get(f"{at.api}/pairings")
    problem = _problem(reply, 401)
    if "authorization_uri=" not in reply.headers.get("www-authenticate", ""):
        raise CameOtherwise("401 without authorization_uri in WWW-Authenticate")
    return f"401 {problem['type']}"


def _problem(reply: httpx.Response, status: int) -> dict[str, Any]:
    kind = reply.headers.get("content-type", "")
    if reply.status_code != status or not kind.startswith(_PROBLEM):
        raise CameOtherwise(f"{reply.status_code} {kind or 'without a body'}")
    problem: dict[str, Any] = reply.json()
    return problem


async def _diagnostics(at: Deployment) -> str:
    token = _platform(at)
    if not at.organization:
        raise NotRun("no --organization")
    api = Api(at.http, at.api, token)
    report = await api.call(
        "GET", "organizations/{}/diagnostics", at.organization, params=_mailbox_of(at.ben)
    )
    findings = {
        each["capability"]: " ".join(filter(None, (each["state"], each["issue"], each["code"])))
        for each in report["findings"]
    }
    wrong = [f"{name} {said}" for name, said in findings.items() if said.startswith("fails")]
    if wrong:
        raise CameOtherwise("; ".join(wrong))
    return ", ".join(f"{name} {said}" for name, said in findings.items())


def _mailbox_of(token: str) -> dict[str, str]:
    """Return the query that has Ben's mailbox probed too, if his token says who he is."""
    try:
        return {"mailbox": str(claims_of(token)["oid"])}
    except (KeyError, ValueError):
        return {}
