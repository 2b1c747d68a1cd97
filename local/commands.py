"""``people``, ``token``, ``act`` and ``environment``: the commands for a running cloud."""

import shlex
import ssl
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx

from local.graph.acts import ACTS, needs
from local.running_cloud import RunningCloud, running_cloud
from local.seed import seeded_pairings, seeded_world, zone_of
from local.world import World

PLATFORM = "platform"
"""The name of the platform's backend, which is no person."""
COMMANDS = [name for name in ACTS if name not in {"edit", "busy"}]
"""The acts that ``act`` has options for."""
INVITED_WITHIN = 15
"""Seconds for which ``act`` waits for an invitation in transit."""
OPTIONS = {
    "start": "--start, such as 2026-11-30T10:00",
    "to": "--to, an address",
    "calendar": "--to, a calendar",
    "on": "--on, a date such as 2026-11-30",
}
"""How ``act`` is given what an act needs."""
KINDS = ("required", "optional", "removed")
"""What ``attend`` makes of an attendee."""
SIGN_IN_REMEDIES = {
    50034: "`.venv/bin/python -m local people` lists who is there.",
    90094: (
        "An administrator approves the app first, through the organization's consent link: "
        "docs/onboarding.md."
    ),
    50105: (
        "Nobody outside the group may use the app. To lift that, send Entra "
        'PATCH /_control/tenants/{tenant} with {"assignment_required": false}.'
    ),
    7000112: 'To enable it, send Entra PATCH /_control/tenants/{tenant} with {"enabled": true}.',
}
"""What to do about a refused sign-in, by AADSTS number."""
INJECTED = "If it was injected, DELETE /_control/errors heals it: docs/local-cloud.md."
"""The remedy for every other number."""
ALL_DAY = "all-day"
"""Takes dates instead of times."""


class CommandFailed(Exception):
    """The cloud refused; the message has the reason."""


class SignInFailed(CommandFailed):
    """Entra refused a sign-in; the message has its sentence and the remedy."""

    def __init__(self, who: str, code: int, sentence: str) -> None:
        remedy = SIGN_IN_REMEDIES.get(code, INJECTED)
        super().__init__(f"{who} cannot sign in. Entra says: {sentence}\n{remedy}")


def list_people() -> str:
    """Return a table of all people, tenant by tenant, with their pairings. Needs no cloud."""
    world = seeded_world()
    lines = []
    for tenant in world.tenants.values():
        if not tenant.people:
            continue
        lines += ["", f"{tenant.name} ({tenant.domain}), tenant {tenant.tenant_id}"]
        lines += [
            f"  {each.key:<8}{each.address:<28}{each.zone:<26}{each.name}, {each.about}"
            for each in tenant.people
        ]
    lines += ["", "Pairings", *_pairings(world)]
    return "\n".join(lines).strip("\n")


def _pairings(world: World) -> list[str]:
    return [
        f"  {each.id:<14}{each.organization_id:<10}"
        + ", ".join(f"{world.person(one.address).key} ({one.role})" for one in each.participants)
        for each in seeded_pairings(world)
    ]


def token(who: str, *, forgery: str = "none", cloud: Path | None = None) -> str:
    """Return a bearer token for the app's API: of the platform, or of a person who signs in.

    Raises:
        SignInFailed: Entra refuses the person.
    """
    running = running_cloud(cloud)
    asked = {} if who == PLATFORM else {"person": who, "forgery": forgery}
    status, answer = _send(running, f"{running.login_url}/_control/tokens", asked)
    if codes := answer.get("error_codes"):
        raise SignInFailed(who, codes[0], answer["error_description"])
    return str(_taken(status, answer)["access_token"])


def act(
    who: str,
    what: str,
    session: str,
    *,
    start: str | None = None,
    end: str | None = None,
    comment: str = "",
    send: bool = True,
    decline: bool = False,
    on: str | None = None,
    to: str | None = None,
    kind: str = KINDS[0],
    cloud: Path | None = None,
) -> str:
    """Perform a person's act in the simulated Outlook. Returns a line that describes it."""
    body: dict[str, Any] = {
        "session": session,
        "comment": comment,
        "send": send,
        "decline": decline,
        "on": on,
        "to": to,
        "calendar": to,
        "kind": None if kind == KINDS[-1] else kind,
    }
    for name, day, given in (("start", "first", start), ("end", "last", end)):
        if given and what == ALL_DAY:
            body[day] = _date(given)
        elif given:
            body[name] = _instant(given, who).isoformat()
    for name, option in OPTIONS.items():
        if name in needs(what) and not body.get(name):
            raise CommandFailed(f"{what} needs {option}")
    running = running_cloud(cloud)
    url = f"{running.graph_url}/_control/people/{who}/acts/{what}"
    _post(running, url, body, patience=INVITED_WITHIN)
    return f"{who}: {what} {session}"


def environment(cloud: Path | None = None) -> str:
    """Return the app's settings as lines for a shell."""
    settings = running_cloud(cloud).environment
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items())


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise CommandFailed(f"{text} is not a date such as 2026-11-30") from error


def _instant(text: str, who: str) -> datetime:
    """Return *text* as an instant; without an offset it is in the person's own zone."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandFailed(f"{text} is not a time such as 2026-11-30T10:00") from error
    if given.tzinfo:
        return given
    try:
        return given.replace(tzinfo=zone_of(seeded_world().person(who)))
    except KeyError as error:
        raise CommandFailed(f"nobody is called {who}") from error


def _post(
    running: RunningCloud, url: str, body: dict[str, Any], *, patience: float = 0
) -> dict[str, Any]:
    """Post *body*; for *patience* seconds retry while the answer asks to come back."""
    return _taken(*_send(running, url, body, patience=patience))


def _taken(status: int, payload: dict[str, Any]) -> dict[str, Any]:
    """Return *payload*, or raise CommandFailed with what it says if *status* is an error."""
    if status < httpx.codes.BAD_REQUEST:
        return payload
    errors = payload.get("errors") or [payload.get("error") or payload]
    raise CommandFailed("; ".join(map(str, errors)))


def _send(
    running: RunningCloud, url: str, body: dict[str, Any], *, patience: float = 0
) -> tuple[int, dict[str, Any]]:
    """Return status and body of the answer."""
    context = ssl.create_default_context(cafile=running.ca)
    give_up_at = time.monotonic() + patience
    try:
        answer = httpx.post(url, json=body, verify=context, timeout=10, trust_env=False)
        while "Retry-After" in answer.headers and time.monotonic() < give_up_at:
            time.sleep(float(answer.headers["Retry-After"]))
            answer = httpx.post(url, json=body, verify=context, timeout=10, trust_env=False)
    except httpx.HTTPError as error:
        raise CommandFailed(f"the local cloud does not answer: {error}") from error
    return answer.status_code, answer.json()
