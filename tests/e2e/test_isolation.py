"""What each kind of caller gets from each route: nothing of anybody else's.

The routes are those that the app registers. A route that the table does not have fails the test,
so each new one needs a line that says who may call it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from local.entra.tokens import Forgery
from tests.e2e.conftest import AppUnderTest
from tests.endpoints import Endpoint, endpoints

Statuses = Mapping[str, int]
"""Who calls → the status of the reply."""

OWNER: Final = "owner"
"""Ben, a mentee of Contoso, who organizes the session. All the things in the paths are his."""
ATTENDEE: Final = "attendee"
"""Ada, the mentor in his pairing, who is invited to the session."""
COLLEAGUE: Final = "colleague"
"""Tashi of Contoso, who has another pairing."""
NEIGHBOUR: Final = "neighbour"
"""Faye, a mentor of another customer."""
PLATFORM: Final = "platform"
PLATFORM_FOR_OWNER: Final = "platform, for the owner"
"""The platform with `Acting-Participant`, which needs application mode; this is delegated mode."""
PLATFORM_ASTRAY: Final = "platform, for the attendee in another customer's name"
ACTING: Final = "colleague, for the owner"
"""A person with `Acting-Participant`."""
UNKNOWN: Final = "person of an unknown tenant"
OTHER_APP: Final = "another app"
"""An app's token of Entra's without our role."""
NOBODY: Final = "nobody"
CALLERS: Final = (
    *(OWNER, ATTENDEE, COLLEAGUE, NEIGHBOUR, ACTING),
    *(PLATFORM, PLATFORM_FOR_OWNER, PLATFORM_ASTRAY, OTHER_APP, UNKNOWN, NOBODY),
)
_UNKNOWN_TO_ALL: Final = dict.fromkeys(CALLERS, 401)


def public(status: int) -> Statuses:
    """Return the rule of a route that answers everybody alike."""
    return dict.fromkeys(CALLERS, status)


def platforms(status: int) -> Statuses:
    """Return the rule of a route for the platform alone."""
    acting = dict.fromkeys((PLATFORM, PLATFORM_FOR_OWNER, PLATFORM_ASTRAY), status)
    return _UNKNOWN_TO_ALL | acting


def participants(owner: int, attendee: int, others: int = 404) -> Statuses:
    """Return the rule of a route about what a participant has. Others do not learn that it is."""
    acting = {ACTING: 403, PLATFORM_FOR_OWNER: 403, PLATFORM_ASTRAY: 404}
    other = dict.fromkeys((NEIGHBOUR, COLLEAGUE), others)
    return _UNKNOWN_TO_ALL | acting | other | {OWNER: owner, ATTENDEE: attendee}


def own_data() -> Statuses:
    """Return the rule of a route that shows every participant what is theirs."""
    return participants(200, 200, others=200)


ROUTES: Final[Mapping[str, Statuses]] = {
    # In this order: first what only shows, then what changes and removes.
    "GET health": public(200),
    "HEAD health": public(200),
    "GET health/details": platforms(200),
    "GET docs": public(200),
    "GET openapi.json": public(200),
    "GET problems/{name}": public(200),
    **{f"{m} {{*path}}": public(404) for m in ("GET", "HEAD", "DELETE", "PATCH", "POST", "PUT")},
    "GET consent/start": public(400),
    "GET consent/callback": public(400),  # proves nothing without a state that we signed
    "POST graph/notifications": public(202),  # accepted and dropped: see the client state
    "POST graph/lifecycle": public(202),
    "GET me": own_data(),
    "GET pairings": own_data(),
    "GET sessions": own_data(),
    "GET pairings/{pairing_id}": participants(200, 200),
    "GET pairings/{pairing_id}/availability": participants(200, 200),
    "GET sessions/{session_id}": participants(200, 200),
    "GET organizations": platforms(200),
    "GET organizations/{organization_id}": platforms(200),
    "GET organizations/{organization_id}/diagnostics": platforms(200),
    "GET organizations/{organization_id}/health": platforms(200),
    "GET organizations/{organization_id}/changes": platforms(200),
    "GET organizations/{organization_id}/pairings": platforms(200),
    "GET organizations/{organization_id}/pairings/{pairing_id}": platforms(200),
    "POST pairings/{pairing_id}/sessions": participants(201, 409),  # the owner has the slot
    "PATCH sessions/{session_id}": participants(200, 403),
    "POST sessions/{session_id}/response": participants(403, 202),
    "POST sessions/{session_id}/proposals/{attendee}/accept": participants(409, 403),
    "POST sessions/{session_id}/cancel": participants(200, 403),
    "POST organizations": platforms(201),
    "PATCH organizations/{organization_id}": platforms(200),
    "POST organizations/{organization_id}/consent-link": platforms(200),
    "PUT organizations/{organization_id}/pairings/{pairing_id}": platforms(200),
    "DELETE organizations/{organization_id}/pairings/{pairing_id}": platforms(204),
    "DELETE organizations/{organization_id}": platforms(200),
}


def test_every_route_of_the_app_is_in_the_table() -> None:
    registered = {f"{m} {each.template.text}" for each in endpoints() for m in each.methods}
    assert registered == ROUTES.keys()


async def test_nobody_sees_or_touches_what_is_anothers(stage: AppUnderTest) -> None:
    probe = await _Probe.of(stage)
    before = await probe.all_of_it()
    for route, who, status in _calls(rightful=False):
        reply = await probe.ask(route, who)
        assert reply.status_code == status, (route, who, reply.text)
        for secret in probe.secrets:
            assert secret not in reply.text.replace(reply.url.path, ""), (route, who)
        if status == 401:
            assert reply.headers["www-authenticate"].startswith("Bearer "), (route, who)
    assert await probe.all_of_it() == before


async def test_the_same_requests_reach_what_they_name_for_those_who_may(
    stage: AppUnderTest,
) -> None:
    # Otherwise a refusal could have another reason than the caller.
    probe = await _Probe.of(stage)
    for route, who, status in _calls(rightful=True):
        reply = await probe.ask(route, who)
        assert reply.status_code == status, (route, who, reply.text)


def _calls(*, rightful: bool) -> Iterator[tuple[str, str, int]]:
    """Yield each route with the callers that it is for, or with all others, and the status."""
    foreign = {COLLEAGUE, NEIGHBOUR, NOBODY}
    for route, statuses in ROUTES.items():
        for who, status in statuses.items():
            its_own = {OWNER, ATTENDEE} if statuses[OWNER] != 401 else {PLATFORM}
            is_rightful = who in its_own or (status < 400 and who not in foreign)
            if is_rightful is rightful:
                yield route, who, status


@dataclass
class _Probe:
    """Asks for what the owner has: a pairing, a session, and the customer they belong to."""

    stage: AppUnderTest
    session: dict[str, Any]
    free: str
    """The start of a slot that is free for the owner's pairing."""

    @classmethod
    async def of(cls, stage: AppUnderTest) -> "_Probe":
        """Book the session."""
        session = await stage.book()
        await stage.settled()  # the attendee has the invitation
        slots = await stage.slots()
        return cls(stage, session, next(s["start"] for s in slots if s["start"] > session["end"]))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What shows that a reply is about the owner or the attendee."""
        people = [self.stage.cloud.world.person(who) for who in ("ada", "ben")]
        about = [(each.object_id, each.address, each.name) for each in people]
        return (self.session["id"], "ada-ben", *(text for each in about for text in each))

    async def all_of_it(self) -> list[Any]:
        """Return everything that is the owner's, as it is shown to those who may see it."""
        shown = [
            await self.stage.call("ben", "GET", f"sessions/{self.session['id']}"),
            await self.stage.call("ben", "GET", "sessions"),
            await self.stage.call("ben", "GET", "pairings"),
            await self.stage.call("platform", "GET", "organizations"),
        ]
        return [reply.json() for reply in shown]

    async def ask(self, route: str, who: str) -> httpx.Response:
        """Send a request that nothing but the caller can be wrong about."""
        method, _, template = route.partition(" ")
        return await self.stage.http.request(
            method,
            f"/api/{self._path(template)}",
            headers=self._headers(who) | {"idempotency-key": "one", "if-match": "*"},
            params=self._query(template) if method == "GET" else {},
            json=self._body(_endpoint(method, template)),
        )

    def _headers(self, who: str) -> dict[str, str]:
        entra, person = self.stage.cloud.entra, self.stage.cloud.world.person
        people = {OWNER: "ben", ATTENDEE: "ada", COLLEAGUE: "tashi", ACTING: "tashi"}
        people |= {NEIGHBOUR: "faye", UNKNOWN: "nils"}
        if who == NOBODY:
            return {}
        if who == OTHER_APP:
            token = entra.token_for(person("ben"), forgery=Forgery.APP_ONLY)
        else:
            token = self.stage.token(people.get(who, "platform"))
        named = {
            ACTING: f"contoso/{person('ben').object_id}",
            PLATFORM_FOR_OWNER: f"contoso/{person('ben').object_id}",
            PLATFORM_ASTRAY: f"fabrikam/{person('ada').object_id}",
        }
        acting = {"acting-participant": named[who]} if who in named else {}
        return {"authorization": f"Bearer {token}", **acting}

    def _path(self, template: str) -> str:
        return template.replace("{*path}", "no/such/path").format(
            name="invalid",
            organization_id="contoso",
            pairing_id="ada-ben",
            session_id=self.session["id"],
            attendee=self.stage.cloud.world.person("ada").object_id,
        )

    def _query(self, template: str) -> dict[str, str]:
        if not template.endswith("/availability"):
            return {}
        span = {"from": self.session["start"], "to": self.session["end"]}
        return span | {"duration_minutes": "30"}

    def _body(self, endpoint: Endpoint) -> dict[str, Any] | None:
        operation = endpoint.operation
        if operation is None:
            return {"value": []}
        address = self.stage.cloud.world.person
        mentor = {"role": "mentor", "address": address("ada").address}
        mentee = {"role": "mentee", "address": address("ben").address}
        at = {"start": self.free}
        bodies: dict[str, dict[str, Any]] = {
            "BookingBody": {**at, "duration_minutes": 30, "time_zone": "Europe/Berlin"},
            "RescheduleBody": {"start": self.session["start"]},
            "AnswerBody": {"response": "accepted"},
            "OrganizationChange": {"settings": {}},
            "PairingInput": {"participants": [mentor, mentee]},
        }
        return bodies.get(operation.body.__name__, {}) if operation.body else None


def _endpoint(method: str, template: str) -> Endpoint:
    return next(e for e in endpoints() if method in e.methods and e.template.text == template)
