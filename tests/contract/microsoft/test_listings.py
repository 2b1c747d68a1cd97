"""Listings that do not end as they should: each reading of one ends, and nothing is concluded."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.adapters.graph import listings
from shared.errors import CalendarRefused, CalendarUnavailable, SchedulingError
from shared.ids import EventId, SessionId
from shared.sessions.model import ResponseState
from shared.wiring import Wiring
from tests.contract.microsoft.conftest import Microsoft
from tests.contract.microsoft.test_graph_calendar import a_draft, next_week, session_of

UNKIND = ["repeats", "never", "leads back", "leads away"]
MOST_REQUESTS = 13


@pytest.fixture(autouse=True)
def few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow 12 pages instead of 200, for speed."""
    monkeypatch.setattr(listings, "MAX_PAGES", 12)


Reading = Callable[[Microsoft, Wiring], Awaitable[Any]]


async def a_known_event(microsoft: Microsoft, wired: Wiring) -> Any:
    draft = a_draft(microsoft)
    created = await wired.calendar.create(microsoft.acting("ada"), draft)
    await microsoft.graph.settle()
    return session_of(microsoft, draft, created), created


async def _tag(microsoft: Microsoft, wired: Wiring) -> Any:
    return await wired.calendar.find(microsoft.mailbox("ada"), SessionId(str(uuid.uuid4())))


async def _search(microsoft: Microsoft, wired: Wiring) -> Any:
    session, _ = await a_known_event(microsoft, wired)
    lost = replace(session, id=SessionId(str(uuid.uuid4())), ical_uid="no-such-uid")
    return await wired.calendar.search(lost)


async def _answer(microsoft: Microsoft, wired: Wiring) -> Any:
    session, _ = await a_known_event(microsoft, wired)
    lost = replace(session, ical_uid="no-such-uid")
    ben = microsoft.acting("ben")
    return await wired.calendar.respond(ben, lost, ResponseState.ACCEPTED, "", None)


async def _answer_date(microsoft: Microsoft, wired: Wiring) -> Any:
    session, _ = await a_known_event(microsoft, wired)
    lost = replace(session, ical_uid="no-such-uid", series_id="series")
    ben = microsoft.acting("ben")
    return await wired.calendar.respond(ben, lost, ResponseState.ACCEPTED, "", None)


async def _answer_series(microsoft: Microsoft, wired: Wiring) -> Any:
    session, _ = await a_known_event(microsoft, wired)
    lost = replace(session, ical_uid="no-such-uid", series_id="series")
    ben = microsoft.acting("ben")
    return await wired.calendar.respond_many(ben, [lost], ResponseState.ACCEPTED, "", whole=True)


async def _instances(microsoft: Microsoft, wired: Wiring) -> Any:
    event = {
        "subject": "Weekly",
        "start": {"dateTime": next_week().start.isoformat()[:19], "timeZone": "UTC"},
        "end": {"dateTime": next_week().end.isoformat()[:19], "timeZone": "UTC"},
        "recurrence": {
            "pattern": {
                "type": "daily",
                "interval": 1,
            },
            "range": {
                "type": "numbered",
                "startDate": next_week().start.date().isoformat(),
                "numberOfOccurrences": 3,
            },
        },
    }
    master = microsoft.graph.outlook.invite("ada", event)
    await microsoft.graph.settle()
    window = next_week().widened(timedelta(days=1), timedelta(days=30))
    found = await wired.calendar.instances(
        microsoft.mailbox("ada"), EventId(master.id(immutable=True)), window
    )
    assert len(found) == 3
    return found


async def _directory(microsoft: Microsoft, wired: Wiring) -> Any:
    return await wired.directory.find(microsoft.mailbox("ada").tenant_id, "nobody@contoso.example")


READINGS: dict[str, Reading] = {
    "our property": _tag,
    "a lost event": _search,
    "an attendee's copy": _answer,
    "an attendee's copy of a date": _answer_date,
    "an attendee's copy of a series": _answer_series,
    "the dates of a series": _instances,
    "the directory": _directory,
}


@pytest.mark.parametrize("end", UNKIND)
async def test_a_listing_that_does_not_end_is_trouble_and_shows_no_absence(
    microsoft: Microsoft, wired: Wiring, end: str
) -> None:
    microsoft.graph.switches.set("listings", end)
    for name, reading in READINGS.items():
        microsoft.graph.requests.reset()
        async with asyncio.timeout(20):
            with pytest.raises(CalendarUnavailable) as trouble:
                await reading(microsoft, wired)
        assert trouble.value.code == "listing_endless", name
        assert microsoft.graph.requests.count("GET") <= MOST_REQUESTS


@pytest.mark.parametrize("end", [*UNKIND, "empty first"])
async def test_what_stands_on_a_page_is_found_all_the_same(
    microsoft: Microsoft, wired: Wiring, end: str
) -> None:
    session, created = await a_known_event(microsoft, wired)
    microsoft.graph.switches.set("listings", end)
    ben, person = microsoft.acting("ben"), microsoft.person("ada")
    async with asyncio.timeout(20):
        found = await wired.calendar.find(microsoft.mailbox("ada"), session.id)
        assert found is not None
        assert found.event_id == created.event_id
        assert await wired.calendar.search(session) is not None
        await wired.calendar.respond(ben, session, ResponseState.ACCEPTED, "", None)
        assert await wired.directory.find(microsoft.mailbox("ada").tenant_id, person.address)
        # Nor is a cancellation concluded from a copy that is not listed.
        lost = replace(session, ical_uid="no-such-uid")
        with suppress(SchedulingError):
            assert not await wired.calendar.is_copy_cancelled(lost, microsoft.mailbox("ben"))


@pytest.mark.parametrize("end", ["ends", "empty first", *UNKIND])
async def test_an_equal_subscription_is_replaced_if_it_is_listed(
    microsoft: Microsoft, wired: Wiring, end: str
) -> None:
    ada, expires_at = microsoft.mailbox("ada"), datetime.now(UTC) + timedelta(days=2)
    service = wired.graph_subscriptions
    first, _ = await service.create(ada, "v1.first", expires_at)
    microsoft.graph.switches.set("refuse_second_subscription", True)
    microsoft.graph.switches.set("listings", end)
    async with asyncio.timeout(20):
        second, _ = await service.create(ada, "v1.second", expires_at)
    (left,) = microsoft.graph.backend.subscriptions.all()
    assert left.id == second != first

    # One that the listing does not show as ours is a refusal: the mailbox is polled.
    left.notification_url = "https://elsewhere.example"
    async with asyncio.timeout(20):
        with pytest.raises(CalendarRefused) as refused:
            await service.create(ada, "v1.third", expires_at)
    assert refused.value.status == 409
