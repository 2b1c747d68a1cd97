"""Our events in Outlook, from booking to cancelling, on the simulated Graph."""

import uuid
from collections.abc import Awaitable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from local.graph.faults import Behaviour, FaultRule
from local.graph.outlook import NoSuchEvent
from shared.adapters.graph.people import GraphDirectory
from shared.availability.model import SLOT_GRID, UnknownReason
from shared.errors import (
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    ConsentMissing,
    EventGone,
    EventUnreadable,
    MailboxUnusable,
)
from shared.ids import EventId, OrganizationId, PairingId, SessionId, SubscriptionId
from shared.organizations.model import ActingUser, OnlineMeetingChoice
from shared.sessions.calendar_events import CalendarEvent, EventDraft, UnreadableEvent
from shared.sessions.model import Attendee, ResponseState, Session, SessionState
from shared.sessions.recurrence import Frequency, MonthlyBy, Pattern
from shared.timespan import TimeSpan
from shared.wiring import Wiring
from tests.contract.microsoft.conftest import Microsoft
from tests.today import today

BEHAVIOURS: tuple[Behaviour, ...] = ("status", "reset")


def next_week(hour: int = 9) -> TimeSpan:
    """Return the span of one hour on the day a week from now."""
    return TimeSpan.lasting(today(hour) + timedelta(days=7), timedelta(hours=1))


def a_draft(microsoft: Microsoft, **changes: Any) -> EventDraft:
    fields: dict[str, Any] = {
        "session_id": SessionId(str(uuid.uuid4())),
        "title": "Mentoring",
        "agenda": "One\nTwo <script>",
        "location": "Room 1",
        "span": next_week(),
        "time_zone": "Europe/Berlin",
        "attendees": (Attendee(microsoft.person("ben").address),),
        "online_meeting": OnlineMeetingChoice.TEAMS,
    }
    return EventDraft(**fields | changes)


def session_of(microsoft: Microsoft, draft: EventDraft, seen: CalendarEvent) -> Session:
    return Session(
        id=draft.session_id,
        organization_id=OrganizationId("contoso"),
        pairing_id=PairingId("p"),
        organizer=microsoft.mailbox("ada"),
        state=SessionState.SCHEDULED,
        span=draft.span,
        time_zone=draft.time_zone,
        attendees=draft.attendees,
        created_at=seen.modified_at,
        changed_at=seen.modified_at,
        ical_uid=seen.ical_uid,
    )


async def test_a_session_in_outlook(microsoft: Microsoft, wired: Wiring) -> None:
    calendar, ada = wired.calendar, microsoft.acting("ada")
    draft = a_draft(microsoft)
    created = await calendar.create(ada, draft)
    assert created.span == draft.span
    assert created.join_url
    assert [a.address for a in created.attendees] == [microsoft.person("ben").address]
    await microsoft.graph.settle()

    session = session_of(microsoft, draft, created)
    proposed = TimeSpan.lasting(draft.span.start + timedelta(days=1), draft.span.duration)
    ben = microsoft.acting("ben")
    await calendar.respond(ben, session, ResponseState.TENTATIVE, "maybe", proposed)
    await microsoft.graph.settle()
    seen = await calendar.read(microsoft.mailbox("ada"), created.event_id)
    (response,) = (a.response for a in seen.attendees)
    assert (response.state, response.proposed) == (ResponseState.TENTATIVE, proposed)
    assert response.responded_at
    assert seen.etag != created.etag

    moved = await calendar.reschedule(ada, created.event_id, proposed, "Europe/Berlin")
    assert moved.span == proposed
    await microsoft.graph.settle()
    seen = await calendar.read(microsoft.mailbox("ada"), created.event_id)
    assert [a.response.state for a in seen.attendees] == [ResponseState.PENDING]
    assert seen.join_url == created.join_url

    await calendar.cancel(ada, created.event_id, "sorry")
    await microsoft.graph.settle()
    with pytest.raises(EventGone):
        await calendar.read(microsoft.mailbox("ada"), created.event_id)
    with pytest.raises(EventGone):
        await calendar.cancel(ada, created.event_id, "again")
    assert microsoft.graph.outlook.find("ben", created.ical_uid).is_cancelled


async def test_booking_is_one_call_of_the_user(microsoft: Microsoft, wired: Wiring) -> None:
    microsoft.graph.requests.reset()
    await wired.calendar.create(microsoft.acting("ada"), a_draft(microsoft))
    (request,) = microsoft.graph.requests.entries
    assert request.identity is not None
    assert request.identity.user_id == microsoft.person("ada").object_id
    assert 'IdType="ImmutableId"' in request.headers["prefer"]


@pytest.mark.parametrize("status", [400, 409])
@pytest.mark.parametrize("named", [False, True])
async def test_the_same_session_twice_is_one_event(
    microsoft: Microsoft, wired: Wiring, status: int, named: bool
) -> None:
    microsoft.graph.switches.set("duplicate_transaction_status", status)
    microsoft.graph.switches.set("duplicate_transaction_names_event", named)
    draft = a_draft(microsoft)
    first = await wired.calendar.create(microsoft.acting("ada"), draft)
    second = await wired.calendar.create(microsoft.acting("ada"), draft)
    assert second.event_id == first.event_id
    assert second.session_id == draft.session_id
    found = await wired.calendar.find(microsoft.mailbox("ada"), draft.session_id)
    assert found is not None
    assert found.event_id == first.event_id


@pytest.mark.parametrize("behaviour", ["lost", "status", "reset"])
async def test_a_booking_whose_answer_was_not_heard(
    microsoft: Microsoft, wired: Wiring, behaviour: Behaviour
) -> None:
    rule = FaultRule(method="POST", path="/events$", behaviour=behaviour, status=503, count=1)
    microsoft.graph.faults.add(rule)
    draft = a_draft(microsoft)
    seen = await wired.calendar.create(microsoft.acting("ada"), draft)
    week = next_week()
    shown = microsoft.graph.outlook.events("ada", week.start, week.end)
    assert len([e for e in shown if e.details.subject == "Mentoring"]) == 1
    assert seen.session_id == draft.session_id


async def test_finding_an_unbooked_session_returns_none(
    microsoft: Microsoft, wired: Wiring
) -> None:
    session_id = SessionId(str(uuid.uuid4()))
    assert await wired.calendar.find(microsoft.mailbox("ada"), session_id) is None


async def test_many_in_one_request(microsoft: Microsoft, wired: Wiring) -> None:
    acting, ada = microsoft.acting("ada"), microsoft.mailbox("ada")
    seen = await wired.calendar.create(acting, a_draft(microsoft))
    other = await wired.calendar.create(acting, a_draft(microsoft))
    await wired.calendar.cancel(acting, other.event_id, "")
    microsoft.graph.requests.reset()
    first, gone, foreign = await wired.calendar.read_many(
        [
            (ada, seen.event_id),
            (ada, other.event_id),
            (microsoft.mailbox("ben"), seen.event_id),
        ]
    )
    assert isinstance(first, CalendarEvent)
    assert first.event_id == seen.event_id
    assert isinstance(gone, EventGone)
    assert isinstance(foreign, CalendarRefused)
    assert len([r for r in microsoft.graph.requests.entries if not r.in_batch]) == 1


async def test_a_date_that_ends_before_it_starts_does_not_spoil_the_others(
    microsoft: Microsoft, wired: Wiring
) -> None:
    """A weekly series from 02:45 to 03:15 in Berlin, over the night in which 02:45 is skipped."""
    calendar, ada = wired.calendar, microsoft.mailbox("ada")
    first = TimeSpan.lasting(datetime(2028, 3, 19, 1, 45, tzinfo=UTC), timedelta(minutes=30))
    pattern = Pattern(
        Frequency.WEEKLY,
        MonthlyBy.DAY_OF_MONTH,
        anchor=date(2028, 3, 19),
        first_on=date(2028, 3, 19),
        count=3,
    )
    master = await calendar.create(
        microsoft.acting("ada"), a_draft(microsoft, span=first, pattern=pattern)
    )
    window = TimeSpan.lasting(first.start - timedelta(days=30), timedelta(days=90))
    before, odd, after = await calendar.instances(ada, master.event_id, window)
    assert isinstance(odd, UnreadableEvent)
    assert odd.original_start == datetime(2028, 3, 26, 1, 45, tzinfo=UTC)
    assert before.span == first
    assert after.span == TimeSpan.lasting(
        datetime(2028, 4, 2, 0, 45, tzinfo=UTC), timedelta(minutes=30)
    )
    for read in (
        calendar.read(ada, odd.event_id),
        _only(calendar.read_many([(ada, odd.event_id)])),
    ):
        with pytest.raises(EventUnreadable):
            await read
    span = TimeSpan.lasting(odd.original_start, timedelta(minutes=30))
    (moved,) = await calendar.reschedule_many(
        microsoft.acting("ada"), [(odd.event_id, span)], "Europe/Berlin"
    )
    assert isinstance(moved, CalendarEvent)
    assert moved.span == span


async def _only(reading: Awaitable[list[CalendarEvent | Exception]]) -> CalendarEvent:
    (found,) = await reading
    if isinstance(found, Exception):
        raise found
    return found


async def test_a_throttled_part_is_told_with_its_wait(microsoft: Microsoft, wired: Wiring) -> None:
    seen = await wired.calendar.create(microsoft.acting("ada"), a_draft(microsoft))
    rule = FaultRule(method="GET", path="/events/", status=429, retry_after=17)
    microsoft.graph.faults.add(rule)
    (outcome,) = await wired.calendar.read_many([(microsoft.mailbox("ada"), seen.event_id)])
    assert isinstance(outcome, CalendarThrottled)
    assert outcome.retry_after_seconds == 17


async def test_the_app_alone_cannot_write(microsoft: Microsoft, wired: Wiring) -> None:
    with pytest.raises(ConsentMissing):
        await wired.calendar.create(ActingUser(microsoft.mailbox("ada")), a_draft(microsoft))


async def test_answering_an_invitation_that_is_still_on_its_way(
    microsoft: Microsoft, wired: Wiring
) -> None:
    draft = a_draft(microsoft)
    seen = await wired.calendar.create(microsoft.acting("ada"), draft)
    with pytest.raises(NoSuchEvent):
        microsoft.graph.outlook.find("ben", seen.ical_uid)
    with pytest.raises(EventGone):
        await wired.calendar.respond(
            microsoft.acting("ben"),
            session_of(microsoft, draft, seen),
            ResponseState.ACCEPTED,
            "",
            None,
        )


@pytest.mark.parametrize("answer", [ResponseState.ACCEPTED, ResponseState.DECLINED])
async def test_the_organizer_hears_of_answers(
    microsoft: Microsoft, wired: Wiring, answer: ResponseState
) -> None:
    draft = a_draft(microsoft)
    created = await wired.calendar.create(microsoft.acting("ada"), draft)
    await microsoft.graph.settle()
    session = session_of(microsoft, draft, created)
    await wired.calendar.respond(microsoft.acting("ben"), session, answer, "", None)
    await microsoft.graph.settle()
    seen = await wired.calendar.read(microsoft.mailbox("ada"), created.event_id)
    assert [a.response.state for a in seen.attendees] == [answer]


async def test_offered_online_meetings_by_calendar(microsoft: Microsoft, wired: Wiring) -> None:
    offered = await wired.calendar.offered_meetings(microsoft.acting("ada"))
    assert offered == {OnlineMeetingChoice.TEAMS}


async def test_an_id_that_is_none(microsoft: Microsoft, wired: Wiring) -> None:
    with pytest.raises(CalendarRefused):
        await wired.calendar.read(microsoft.mailbox("ada"), EventId("not/an id=?"))


async def test_free_and_busy(microsoft: Microsoft, wired: Wiring) -> None:
    await wired.calendar.create(microsoft.acting("ada"), a_draft(microsoft))
    span = next_week()
    window = TimeSpan(span.start - timedelta(hours=1), span.end + timedelta(hours=1))
    addresses = [microsoft.person(who).address for who in ("ada", "dana", "lena")]
    microsoft.graph.requests.reset()
    ada, dana, lena = await wired.schedules.read(microsoft.acting("ben"), addresses, window)
    assert len(microsoft.graph.requests.entries) == 1
    assert ada.view is not None
    assert ada.view[12:24] == "2" * 12
    assert len(ada.view) == window.duration // SLOT_GRID
    assert ada.hours is not None
    assert ada.hours.zone_name == microsoft.person("ada").zone
    assert dana.hours is not None
    assert dana.hours.zone is not None
    assert dana.hours.zone.utcoffset(datetime(2026, 1, 15)) == timedelta(hours=-5)  # noqa: DTZ001 - a wall clock
    assert lena.unknown is not None
    assert lena.unknown.reason is UnknownReason.NOT_FOUND


async def test_items_where_there_is_no_view(microsoft: Microsoft, wired: Wiring) -> None:
    await wired.calendar.create(microsoft.acting("ada"), a_draft(microsoft))
    address = microsoft.person("ada").address
    microsoft.graph.switches.set("schedule_without_view", [address])
    (ada,) = await wired.schedules.read(microsoft.acting("ada"), [address], next_week())
    assert ada.view is None
    assert [item.span for item in ada.items] == [next_week()]


@pytest.mark.parametrize("where", ["call", "mailbox"])
async def test_too_many_entries(microsoft: Microsoft, wired: Wiring, where: str) -> None:
    microsoft.graph.switches.set("schedule_too_many_entries", True)
    microsoft.graph.switches.set("schedule_too_many_answers", where)
    address = microsoft.person("ada").address
    (ada,) = await wired.schedules.read(microsoft.acting("ada"), [address], next_week())
    assert ada.unknown is not None
    assert ada.unknown.reason is UnknownReason.TOO_MANY_ENTRIES


async def test_user_without_online_mailbox_cannot_organize(
    microsoft: Microsoft, wired: Wiring
) -> None:
    for who in ("oskar", "lena"):
        with pytest.raises(MailboxUnusable) as caught:
            await wired.calendar.create(microsoft.acting(who), a_draft(microsoft))
        assert caught.value.remedy


async def test_throttling(microsoft: Microsoft, wired: Wiring) -> None:
    microsoft.graph.faults.add(FaultRule(path="getSchedule", status=429, retry_after=2.5))
    address = microsoft.person("ada").address
    with pytest.raises(CalendarThrottled) as caught:
        await wired.schedules.read(microsoft.acting("ada"), [address], next_week())
    assert caught.value.retry_after_seconds == 2.5
    assert caught.value.request_id


async def test_one_stumble_is_not_noticed(microsoft: Microsoft, wired: Wiring) -> None:
    address = microsoft.person("ada").address
    for behaviour in BEHAVIOURS:
        rule = FaultRule(path="getSchedule", behaviour=behaviour, status=504, count=1)
        microsoft.graph.faults.add(rule)
        await wired.schedules.read(microsoft.acting("ada"), [address], next_week())
    microsoft.graph.faults.add(FaultRule(path="getSchedule", status=503))
    with pytest.raises(CalendarUnavailable):
        await wired.schedules.read(microsoft.acting("ada"), [address], next_week())


async def test_subscribing_renewing_ending(microsoft: Microsoft, wired: Wiring) -> None:
    ada = microsoft.mailbox("ada")
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=9_000)
    subscriptions = wired.graph_subscriptions
    state = await wired.client_states.create(ada, "bm9uY2U")
    id_, granted = await subscriptions.create(ada, state, expires_at)
    assert granted == expires_at

    created = await wired.calendar.create(microsoft.acting("ada"), a_draft(microsoft))
    span = TimeSpan.lasting(created.span.start + timedelta(hours=2), timedelta(hours=1))
    await wired.calendar.reschedule(microsoft.acting("ada"), created.event_id, span, "UTC")
    await microsoft.graph.settle()
    received = [one for kind, one in microsoft.webhook.received if kind == "notifications"]
    assert received
    for one in received:
        assert one["resourceData"]["id"] == created.event_id
        verified = await wired.client_states.verify(one["tenantId"], one["clientState"])
        assert verified == ada

    later = expires_at + timedelta(minutes=500)
    unknown = SubscriptionId(str(uuid.uuid4()))
    renewed, gone = await subscriptions.renew(ada.tenant_id, [id_, unknown], later)
    assert renewed == later
    assert isinstance(gone, EventGone)
    for _ in range(2):
        await subscriptions.delete(ada.tenant_id, id_)


async def test_a_second_subscription_replaces_the_first(
    microsoft: Microsoft, wired: Wiring
) -> None:
    microsoft.graph.switches.set("refuse_second_subscription", True)
    ada, expires_at = microsoft.mailbox("ada"), datetime.now(UTC) + timedelta(days=5)
    first, _ = await wired.graph_subscriptions.create(ada, "one", expires_at)
    second, _ = await wired.graph_subscriptions.create(ada, "two", expires_at)
    assert first != second
    (gone,) = await wired.graph_subscriptions.renew(ada.tenant_id, [first], expires_at)
    assert isinstance(gone, EventGone)


async def test_a_handshake_that_fails(microsoft: Microsoft, wired: Wiring) -> None:
    microsoft.webhook.shakes_hands = False
    expires_at = datetime.now(UTC) + timedelta(days=5)
    with pytest.raises(CalendarRefused):
        await wired.graph_subscriptions.create(microsoft.mailbox("ada"), "x", expires_at)


async def test_a_mailbox_that_cannot_be_followed(microsoft: Microsoft, wired: Wiring) -> None:
    expires_at = datetime.now(UTC) + timedelta(days=5)
    with pytest.raises(MailboxUnusable):
        await wired.graph_subscriptions.create(microsoft.mailbox("oskar"), "x", expires_at)


async def test_people(microsoft: Microsoft, wired: Wiring) -> None:
    people, ada = GraphDirectory(wired.graph), microsoft.person("ada")
    found = await people.find(microsoft.mailbox("ada").tenant_id, ada.address.upper())
    assert found is not None
    assert (found.object_id, found.address) == (ada.object_id, ada.address)
    assert await people.get(microsoft.mailbox("ada")) == found
    assert await people.find(microsoft.mailbox("ada").tenant_id, "nobody@contoso.example") is None
    await people.probe_own_mailbox(microsoft.acting("ada"))
    with pytest.raises(MailboxUnusable):
        await people.probe_mailbox(microsoft.mailbox("oskar"))
