"""The HTTP functions without a host: their real handlers on fake ports.

The handlers get their adapters from `shared.wiring.wiring()`. `on_fakes` gives every module of the
edge a `FakeWiring` instead. It is the production class with its cached properties filled
beforehand. So production code still composes ports, and no adapter leaves this process.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import azure.functions as func
import pytest

from local.host.urls import query_values, split_path
from shared.administration.offboarding import OffboardingPorts
from shared.errors import NotAuthenticated
from shared.ids import Mailbox, ObjectId
from shared.organizations.ports import CallerKind, VerifiedToken
from shared.settings import CLOUDS, Settings
from shared.wiring import Wiring
from tests.builders import a_tenant, a_uuid
from tests.endpoints import Endpoint, endpoints
from tests.fake_probes import (
    FakeCredential,
    FakeDirectory,
    FakeGraphSubscriptions,
    FakeProbes,
    FakeSigner,
    FakeSignIn,
    InMemoryTenantRows,
)
from tests.fakes import (
    FakeClientStates,
    FakeClock,
    InMemoryNotificationQueue,
    InMemoryOrganizations,
    InMemoryPairings,
    InMemorySubscriptions,
)
from tests.openapi import OpenApi
from tests.unit.sessions.conftest import BookingEnv, a_booking_env

SETTINGS: Final = Settings(
    storage_tables_url="https://tables.test",
    storage_queues_url="https://queues.test",
    key_vault_url="https://vault.test",
    managed_identity_client_id="22222222-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
    app_client_id="11111111-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
    platform_tenant_id="33333333-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
    platform_client_ids=frozenset({"44444444-aaaa-4aaa-8aaa-aaaaaaaaaaaa"}),
    public_url="https://app.test",
    cloud=CLOUDS["global"],
)


class FakeTokens:
    """A `TokenVerifier` that looks tokens up in a table."""

    def __init__(self) -> None:
        self.known: dict[str, VerifiedToken] = {}

    async def verify(self, raw: str) -> VerifiedToken:
        if raw not in self.known:
            raise NotAuthenticated("This token proves nothing here.")
        return self.known[raw]

    async def ping(self) -> None:
        """Answer."""


async def _there() -> None:
    """Do nothing."""


async def _none() -> dict[str, int]:
    """Return no poison queue."""
    return {}


async def _none_poisoned() -> dict[str, int]:
    """Return no poison messages."""
    return {"jobs": 0, "notifications": 0}


class FakeWiring(Wiring):
    """The composition root on fakes alone. An adapter that is not filled here fails as None."""

    def __init__(self, env: BookingEnv) -> None:
        super().__init__(SETTINGS, env.clock)
        self.env = env
        self.__dict__ |= {
            "http_pool": None,
            "credentials": FakeCredential(),
            "secrets": None,
            "graph": None,
            "tables": SimpleNamespace(ping=_there),
            "queues": SimpleNamespace(ping=_there, poisoned=_none),
            "tokens": FakeTokens(),
            "client_states": FakeClientStates(),
            "consent_signer": FakeSigner(),
            "sign_in": FakeSignIn(),
            "schedules": env.outlook,
            "calendar": env.calendar,
            "graph_subscriptions": FakeGraphSubscriptions(),
            "directory": FakeDirectory(),
            "probes": FakeProbes(),
            "organizations": InMemoryOrganizations(),
            "pairings": InMemoryPairings(),
            "sessions": env.sessions,
            "subscriptions": InMemorySubscriptions(),
            "due": env.due,
            "limiter": env.limiter,
            "changes": env.changes,
            "jobs": env.jobs,
            "notification_queue": InMemoryNotificationQueue(),
        }
        self.__dict__["offboarding_ports"] = OffboardingPorts(
            organizations=self.organizations,
            pairings=self.pairings,
            sessions=self.sessions,
            subscriptions=self.subscriptions,
            changes=self.changes,
            due=self.due,
            rows=InMemoryTenantRows(env.sessions, self.__dict__["subscriptions"]),
            graph=self.graph_subscriptions,
            calendar=self.calendar,
            clock=self.clock,
        )


@contextmanager
def on_fakes(adapters: Wiring) -> Iterator[None]:
    """Replace the wiring of the edge by *adapters* while the block runs."""
    with pytest.MonkeyPatch.context() as patched:
        for name, module in list(sys.modules.items()):
            if (name.startswith("functions.") or name == "shared.wiring") and hasattr(
                module, "wiring"
            ):
                patched.setattr(module, "wiring", lambda: adapters)
        yield


@dataclass
class Api:
    """Calls the functions as the host would, and checks every reply against `openapi.json`."""

    adapters: FakeWiring
    openapi: OpenApi
    tokens: dict[str, str] = field(default_factory=dict)
    """Who → bearer token: `mentor`, `mentee`, `stranger` (of no organization), `platform`."""

    @property
    def env(self) -> BookingEnv:
        return self.adapters.env

    @property
    def clock(self) -> FakeClock:
        return self.env.clock

    def admit(self, who: str, mailbox: Mailbox, kind: CallerKind = CallerKind.USER) -> None:
        """Give *who* a token."""
        raw = f"token-of-{who}"
        self.tokens[who] = raw
        self.adapters.tokens.known[raw] = VerifiedToken(  # type: ignore[attr-defined]  # the fake's
            kind, mailbox.tenant_id, mailbox.object_id, raw
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        who: str | None = "mentee",
        body: object = None,
        content: bytes | None = None,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> func.HttpResponse:
        """Call the function behind *method* and *path*, which may carry a query of its own.

        *body* is sent as JSON with its media type, *content* unchanged without one.
        """
        url = urlsplit(path)
        endpoint, parameters = route(method, url.path)
        sent = {"content-type": "application/json"} if body is not None else {}
        if who is not None:
            sent["authorization"] = f"Bearer {self.tokens[who]}"
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        request = func.HttpRequest(
            method,
            f"https://app.test/api/{path}{as_query(path, query)}",
            headers=sent,
            params=query_values(path + as_query(path, query)),
            route_params=parameters,
            body=content if content is not None else encoded(body),
        )
        response = await endpoint.handler(request)
        if endpoint.operation is not None:
            self.openapi.check(
                method,
                endpoint.template.text,
                response.status_code,
                response.mimetype,
                response.get_body(),
            )
        return response


async def an_api() -> Api:
    """Return the edge on new fakes: a mentor, a mentee, one pairing."""
    env = a_booking_env()
    adapters = FakeWiring(env)
    env.organization = await adapters.organizations.create(env.organization)
    env.pairing = await adapters.pairings.put(env.pairing)
    api = Api(adapters, OpenApi.committed())
    stranger = Mailbox(a_tenant(), ObjectId(a_uuid()))
    for who, mailbox, kind in (
        ("mentor", env.mentor, CallerKind.USER),
        ("mentee", env.mentee, CallerKind.USER),
        ("stranger", stranger, CallerKind.USER),
        ("platform", stranger, CallerKind.PLATFORM),
    ):
        api.admit(who, mailbox, kind)
    return api


def route(method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
    """Return the function that the host would choose, and the parameters in the path."""
    segments = split_path(path)
    for endpoint in endpoints():
        parameters = endpoint.template.match(segments)
        if parameters is not None and method in endpoint.methods:
            return endpoint, parameters
    raise LookupError(f"no function answers {method} {path}")


def as_query(path: str, query: Sequence[tuple[str, str]]) -> str:
    """Return *query* as the end of the URL of *path*."""
    joint = "&" if "?" in path else "?"
    return joint + urlencode(query, errors="replace") if query else ""


def encoded(body: object) -> bytes:
    """Return *body* as JSON; nothing for None."""
    return b"" if body is None else json.dumps(body).encode()


def body_of(response: func.HttpResponse) -> Any:
    """Return the JSON of a reply."""
    return json.loads(response.get_body())
