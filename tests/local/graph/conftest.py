"""A small world with a simulated Graph, real tokens, and a webhook that records deliveries."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from local.clock import CloudClock
from local.graph.application import graph_application
from local.graph.request_log import LoggedRequest
from local.graph.simulator import GraphSimulator
from local.serving import serving, take_address
from local.world import MailboxKind, Person, Tenant, World
from tests.graph_contract import graph_contract

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday
TENANT = "11111111-1111-4111-8111-111111111111"
OTHER_TENANT = "22222222-2222-4222-8222-222222222222"
APP = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

SESSION = "String {66f5a359-4659-4830-9070-00040ec6ac6e} Name mentoringSessionId"


def person(key: str, tenant: str = TENANT, domain: str = "contoso.test", **more: Any) -> Person:
    number = sum(key.encode()) % 0xFFFF
    return Person(
        key=key,
        object_id=f"{number:08x}-0000-4000-8000-{key.encode().hex()[:12]:0<12}",
        tenant_id=tenant,
        name=f"{key.capitalize()} Test",
        address=f"{key}@{domain}",
        **more,
    )


def a_world() -> World:
    here = [
        person("ada"),
        person("bob"),
        person("cleo", zone="Pacific Standard Time", teams=False),
        person("prem", kind=MailboxKind.ON_PREMISES),
        person("nolic", kind=MailboxKind.UNLICENSED),
        person("guest", kind=MailboxKind.ABSENT),
        person("room", kind=MailboxKind.SHARED),
        person("outer", in_scope=False),
    ]
    there = [person("zoe", OTHER_TENANT, "fabrikam.test")]
    return World(
        clock=CloudClock(NOW),
        tenants={
            TENANT: Tenant(TENANT, "Contoso", "contoso.test", here),
            OTHER_TENANT: Tenant(OTHER_TENANT, "Fabrikam", "fabrikam.test", there),
        },
        client_id=APP,
        home_tenant_id=OTHER_TENANT,
        platform_client_id="bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
    )


@dataclass(slots=True)
class Graph:
    """The simulator under test, and a client that calls as any person."""

    simulator: GraphSimulator
    world: World
    url: str
    session: aiohttp.ClientSession

    def token(
        self,
        who: str | None = "ada",
        permissions: str = "Calendars.ReadWrite Calendars.Read User.Read User.ReadBasic.All "
        "MailboxSettings.Read",
        *,
        tenant: str = TENANT,
        app: str = APP,
        key: rsa.RSAPrivateKey = _KEY,
        **claims: Any,
    ) -> str:
        """Sign a token for a person, or for the app itself with *who* None."""
        expires = int(self.world.clock.now().timestamp()) + 3600
        body: dict[str, Any] = {
            "aud": "https://graph.microsoft.com",
            "tid": tenant,
            "azp": app,
            "exp": expires,
        }
        if who:
            body |= {"oid": self.world.person(who).object_id, "scp": permissions}
        elif permissions:
            body["roles"] = permissions.split()
        return jwt.encode(body | claims, key, "RS256", headers={"kid": "key-1"})

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: str | None = "ada",
        expect: int | None = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        **token_options: Any,
    ) -> Any:
        """Make a call and return (status, body, headers), or the body if *expect* is given."""
        sent = {"Authorization": f"Bearer {token or self.token(who, **token_options)}"}
        async with self.session.request(
            method, f"{self.url}/v1.0{path}", json=body, headers=sent | (headers or {})
        ) as answer:
            text = await answer.text()
            found = await answer.json() if text else None
            if expect is None:
                return answer.status, found, answer.headers
            assert answer.status == expect, found
            return found

    async def control(self, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        """Call the control API."""
        url = f"{self.url}/_control{path}"
        async with self.session.request(method, url, json=body) as answer:
            found = await answer.json()
            assert answer.status == expect, found
            return found

    def oid(self, who: str) -> str:
        return self.world.person(who).object_id

    async def book(self, who: str = "ada", *invited: str, **more: Any) -> Any:
        """Create a meeting tomorrow at ten, by the organizer's own token."""
        return await self.call(
            "POST", "/me/events", a_meeting(*invited, **more), who=who, expect=201
        )

    async def get(self, who: str, event_id: str, query: str = "") -> Any:
        return await self.call("GET", f"/me/events/{event_id}{query}", who=who, expect=200)


def a_meeting(*invited: str, **more: Any) -> dict[str, Any]:
    """Return a meeting's body: Tuesday 3 March 2026, ten to eleven in Berlin."""
    addresses = [name if "@" in name else f"{name}@contoso.test" for name in invited or ("bob",)]
    return {
        "subject": "Mentoring",
        "body": {"contentType": "html", "content": "<p>Hello</p>"},
        "start": {"dateTime": "2026-03-03T10:00:00", "timeZone": "W. Europe Standard Time"},
        "end": {"dateTime": "2026-03-03T11:00:00", "timeZone": "W. Europe Standard Time"},
        "attendees": [
            {"emailAddress": {"address": address, "name": address}, "type": "required"}
            for address in addresses
        ],
    } | more


@dataclass(slots=True)
class Webhook:
    """An endpoint that echoes handshakes, keeps deliveries, and can misbehave."""

    url: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    posts: list[list[dict[str, Any]]] = field(default_factory=list)
    handshakes: int = 0
    status: int = 202
    delay: float = 0.0
    echo: bool = True
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, request: web.Request) -> web.Response:
        token = request.query.get("validationToken")
        if token is not None:
            self.handshakes += 1
            return web.Response(text=token if self.echo else "what?")
        body = await request.json()
        await asyncio.sleep(self.delay)
        self.posts.append(body["value"])
        self.items += body["value"]
        self.arrived.set()
        return web.Response(status=self.status)

    async def wait(self) -> None:
        """Wait for the next delivery, ten seconds at most."""
        await asyncio.wait_for(self.arrived.wait(), 100)
        self.arrived.clear()

    def changes(self) -> list[tuple[str, str]]:
        """(changeType, event id) of all change notifications, in order of arrival."""
        return [(i["changeType"], i["resourceData"]["id"]) for i in self.items if "changeType" in i]


@pytest.fixture
async def graph() -> AsyncIterator[Graph]:
    """Run a simulator without background work; its answers must satisfy the contract."""
    world = a_world()
    public = {"key-1": _KEY.public_key()}
    contract, problems = graph_contract(), list[str]()

    def check(entry: LoggedRequest) -> None:
        problems.extend(contract.problems(entry, requests=False))

    simulator = GraphSimulator(
        world,
        token_keys=lambda: public,
        background=False,
        allow_http=True,
        seed=1,
        on_exchange=check,
    )
    simulator.switches.duplicates = 0
    address = take_address()
    async with serving(graph_application(simulator), address), aiohttp.ClientSession() as session:
        yield Graph(simulator, world, address.url, session)
    assert not problems


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    hook = Webhook()
    app = web.Application()
    app.router.add_post("/hook", hook.serve)
    address = take_address()
    hook.url = f"{address.url}/hook"
    async with serving(app, address):
        yield hook
