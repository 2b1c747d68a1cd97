"""The cost of a call to Graph in this process, compared with the SDK used as in its own examples.

    .venv/bin/python -m benchmarks.graph_calls

Prints CPU per call and ratios. Nothing leaves the process: a transport answers at once.
"""

import asyncio
import json
import statistics
import time
import warnings
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import jwt
from azure.core.credentials import AccessToken
from cryptography.hazmat.primitives.asymmetric import rsa

warnings.simplefilter("ignore", DeprecationWarning)

from kiota_authentication_azure.azure_identity_authentication_provider import (  # noqa: E402
    AzureIdentityAuthenticationProvider,
)
from msgraph.generated.users.item.calendar.get_schedule.get_schedule_post_request_body import (  # noqa: E402
    GetSchedulePostRequestBody,
)
from msgraph.graph_request_adapter import GraphRequestAdapter  # noqa: E402
from msgraph.graph_service_client import GraphServiceClient  # noqa: E402

from shared.adapters.entra import EntraTokenVerifier  # noqa: E402
from shared.adapters.graph.client import GraphClient  # noqa: E402
from shared.adapters.graph.event_serialization import to_graph_event  # noqa: E402
from shared.adapters.graph.events import GraphCalendar  # noqa: E402
from shared.adapters.graph.schedules import GraphSchedules, schedules_of  # noqa: E402
from shared.adapters.graph.times import to_date_time_zone  # noqa: E402
from shared.adapters.http_pool import HttpPool  # noqa: E402
from shared.availability.model import SLOT_GRID  # noqa: E402
from shared.clock import SystemClock  # noqa: E402
from shared.ids import EventId, Mailbox, ObjectId, SessionId, TenantId  # noqa: E402
from shared.organizations.model import ActingUser, OnlineMeetingChoice  # noqa: E402
from shared.sessions.calendar_events import EventDraft  # noqa: E402
from shared.sessions.model import Attendee  # noqa: E402
from shared.settings import Settings  # noqa: E402
from shared.timespan import TimeSpan  # noqa: E402

TENANT, USER = "84bd8158-6d4d-4958-8b9f-9d6445542f95", "ddfcd489-628b-40d7-b48b-57002df800e5"
MAILBOX = Mailbox(TenantId(TENANT), ObjectId(USER))
ACTING = ActingUser(MAILBOX, "an assertion")
START = datetime(2026, 3, 2, tzinfo=UTC)
WINDOW = TimeSpan.lasting(START, timedelta(days=14))
PEOPLE = [f"person-{n}@contoso.example" for n in range(20)]


def settings() -> Settings:
    names = ("STORAGE_TABLES_URL", "STORAGE_QUEUES_URL", "KEY_VAULT_URL", "PUBLIC_URL")
    ids = (
        "MANAGED_IDENTITY_CLIENT_ID",
        "APP_CLIENT_ID",
        "PLATFORM_TENANT_ID",
        "PLATFORM_CLIENT_IDS",
    )
    return Settings.from_environment(dict.fromkeys(names, "https://x") | dict.fromkeys(ids, TENANT))


class Identity:
    """An identity that always has a token."""

    is_user = True

    async def get_token(self, *_: str, **__: Any) -> AccessToken:  # noqa: ANN401
        """Return a fixed token."""
        return AccessToken("token", 4_000_000_000)


class Credentials:
    """The same identity for every caller."""

    def app(self, *_: object) -> Identity:
        """Return the one identity."""
        return Identity()

    user = app


def event() -> dict[str, Any]:
    return {
        "@odata.etag": 'W/"1"',
        "id": "AAMk",
        "iCalUId": "uid",
        "subject": "Mentoring",
        "lastModifiedDateTime": "2026-03-01T08:00:00.1234567Z",
        "start": {"dateTime": "2026-03-02T09:00:00.0000000", "timeZone": "UTC"},
        "end": {"dateTime": "2026-03-02T10:00:00.0000000", "timeZone": "UTC"},
        "isOnlineMeeting": True,
        "onlineMeeting": {"joinUrl": "https://teams.example/1"},
        "organizer": {"emailAddress": {"address": "ada@contoso.example", "name": "Ada"}},
        "attendees": [
            {
                "type": "required",
                "status": {"response": "accepted", "time": "2026-03-01T08:00:00Z"},
                "emailAddress": {"address": "ben@contoso.example", "name": "Ben"},
            }
        ],
    }


def schedule(address: str) -> dict[str, Any]:
    digits = WINDOW.duration // SLOT_GRID
    items = [
        {
            "status": "busy",
            "start": {
                "dateTime": f"{START + timedelta(hours=4 * n):%FT%T}.0000000",
                "timeZone": "UTC",
            },
            "end": {
                "dateTime": f"{START + timedelta(hours=4 * n + 1):%FT%T}.0000000",
                "timeZone": "UTC",
            },
        }
        for n in range(70)
    ]
    return {
        "scheduleId": address,
        "availabilityView": ("0" * 36 + "2" * 12) * (digits // 48),
        "scheduleItems": items,
        "workingHours": {
            "daysOfWeek": ["monday", "tuesday", "wednesday", "thursday", "friday"],
            "startTime": "08:00:00.0000000",
            "endTime": "17:00:00.0000000",
            "timeZone": {"name": "W. Europe Standard Time"},
        },
    }


SCHEDULES = json.dumps({"value": [schedule(address) for address in PEOPLE]}).encode()
EVENT = json.dumps(event()).encode()
BATCH = json.dumps(
    {"responses": [{"id": str(n), "status": 200, "body": event()} for n in range(20)]}
).encode()


async def answer(request: httpx.Request) -> httpx.Response:
    path = request.url.path
    body = SCHEDULES if "getSchedule" in path else BATCH if "batch" in path else EVENT
    return httpx.Response(200, content=body, headers={"content-type": "application/json"})


def draft() -> EventDraft:
    return EventDraft(
        session_id=SessionId("6f9619ff-8b86-4011-b42d-00c04fc964ff"),
        title="Mentoring",
        agenda="One\nTwo",
        location=None,
        span=TimeSpan.lasting(START, timedelta(hours=1)),
        time_zone="Europe/Berlin",
        attendees=(Attendee("ben@contoso.example"),),
        online_meeting=OnlineMeetingChoice.TEAMS,
    )


def naive_client() -> GraphServiceClient:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client.base_url = httpx.URL("https://graph.microsoft.com/v1.0")
    authentication = AzureIdentityAuthenticationProvider(cast("Any", Identity()))
    return GraphServiceClient(request_adapter=GraphRequestAdapter(authentication, client))


async def cpu_ms(act: Callable[[], Awaitable[object]], times: int) -> float:
    """Return the median CPU time of *act* in milliseconds, after two warm-up rounds."""
    for _ in range(2):
        await act()
    spent = []
    for _ in range(times):
        started = time.process_time()
        await act()
        spent.append(1000 * (time.process_time() - started))
    return statistics.median(spent)


def row(name: str, ours: float, naive: float | None, unit: str = "ms") -> None:
    ratio = f"{naive / ours:6.1f}x" if naive else "      -"
    plain = f"{naive:9.3f}" if naive else "        -"
    print(f"{name:<46}{ours:9.3f} {unit}  naive {plain} {unit}  {ratio}")


async def calls() -> None:
    http_pool = HttpPool(httpx.MockTransport(answer))
    client = GraphClient(settings(), cast("Any", Credentials()), http_pool)
    calendar, schedules, naive = GraphCalendar(client), GraphSchedules(client), naive_client()

    async def naive_schedule() -> object:
        body = GetSchedulePostRequestBody(
            schedules=PEOPLE,
            start_time=to_date_time_zone(WINDOW.start),
            end_time=to_date_time_zone(WINDOW.end),
            availability_view_interval=5,
        )
        return await naive.me.calendar.get_schedule.post(body)

    row(
        "create an event",
        await cpu_ms(lambda: calendar.create(ACTING, draft()), 200),
        await cpu_ms(lambda: naive.me.events.post(to_graph_event(draft())), 30),
    )
    row(
        "read an event",
        await cpu_ms(lambda: calendar.read(MAILBOX, EventId("AAMk")), 200),
        await cpu_ms(lambda: naive.users.by_user_id(USER).events.by_event_id("AAMk").get(), 30),
    )
    row(
        "getSchedule of 20, two weeks",
        await cpu_ms(lambda: schedules.read(ACTING, PEOPLE, WINDOW), 50),
        await cpu_ms(naive_schedule, 5),
    )
    wanted = [(MAILBOX, EventId("AAMk"))] * 20
    row("read 20 events in a $batch", await cpu_ms(lambda: calendar.read_many(wanted), 50), None)
    await client.http.aclose()


async def parsing() -> None:
    async def ours() -> object:
        return schedules_of(json.loads(SCHEDULES), PEOPLE, WINDOW)

    async def loads() -> object:
        return json.loads(SCHEDULES)

    spent, plain = await cpu_ms(ours, 200), await cpu_ms(loads, 200)
    print(
        f"{'body to schedules, 20 people':<46}{spent:9.3f} ms  = {spent / plain:4.2f} x json.loads"
    )


async def tokens() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    keys = {"keys": [jwk | {"kid": "k", "use": "sig"}]}
    http_pool = HttpPool(httpx.MockTransport(lambda _: httpx.Response(200, json=keys)))
    deployment, now = settings(), int(time.time())
    claims = {
        "iss": f"{deployment.cloud.login_url}/{TENANT}/v2.0",
        "aud": deployment.app_client_id,
        "exp": now + 3600,
        "nbf": now,
        "tid": TENANT,
        "oid": USER,
        "scp": "access_as_user",
        "ver": "2.0",
    }
    raw = jwt.encode(claims, key, "RS256", headers={"kid": "k"})
    checker = EntraTokenVerifier(deployment, http_pool, SystemClock())

    async def naive() -> object:
        public = jwt.PyJWK(jwk, algorithm="RS256")
        return jwt.decode(raw, public, algorithms=["RS256"], audience=deployment.app_client_id)

    # Measure a thousand at a time: one is too short for the clock.
    async def many(act: Callable[[], Awaitable[object]]) -> None:
        for _ in range(1000):
            await act()

    ours = await cpu_ms(lambda: many(lambda: checker.verify(raw)), 5)
    row(
        "check a token, against PyJWT's checks alone",
        ours,
        await cpu_ms(lambda: many(naive), 3),
        "µs",
    )
    await http_pool.client.aclose()


async def main() -> None:
    await calls()
    await parsing()
    await tokens()


if __name__ == "__main__":
    asyncio.run(main())
