"""Online meetings: request, offered providers, result and reason."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.calendar_sync.meeting_links import check_meeting_link
from shared.errors import CalendarRefused, CalendarUnavailable
from shared.jobs import JobKind
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.booking import book
from shared.sessions.model import Session
from shared.sessions.online_meeting import MeetingProvider, OnlineMeetingReason, OnlineMeetingState
from shared.sessions.recurrence import Frequency, Repeat
from tests.fake_outlook import RefusingCalendar
from tests.unit.sessions.conftest import BookingEnv, a_request, book_one

AUTO, TEAMS = OnlineMeetingChoice.AUTO, OnlineMeetingChoice.TEAMS
SKYPE, NONE = OnlineMeetingChoice.SKYPE, OnlineMeetingChoice.NONE
READY, UNAVAILABLE = OnlineMeetingState.READY, OnlineMeetingState.UNAVAILABLE
Reason, Provider = OnlineMeetingReason, MeetingProvider

CASES: list[tuple[OnlineMeetingChoice, set[OnlineMeetingChoice], Any]] = [
    (AUTO, {TEAMS}, (READY, Provider.TEAMS, None)),
    (AUTO, {SKYPE}, (READY, Provider.SKYPE, None)),
    (AUTO, {TEAMS, SKYPE}, (READY, Provider.TEAMS, None)),
    (AUTO, set(), (UNAVAILABLE, None, Reason.NOT_OFFERED)),
    (TEAMS, {TEAMS, SKYPE}, (READY, Provider.TEAMS, None)),
    (TEAMS, set(), (UNAVAILABLE, None, Reason.NOT_OFFERED)),
    (SKYPE, {TEAMS, SKYPE}, (READY, Provider.SKYPE, None)),
    (SKYPE, {TEAMS}, (READY, Provider.TEAMS, Reason.SKYPE_RETIRED)),
    (SKYPE, set(), (UNAVAILABLE, None, Reason.NOT_OFFERED)),
    (NONE, {TEAMS}, (OnlineMeetingState.NONE, None, None)),
]


async def booked(env: BookingEnv, wanted: OnlineMeetingChoice) -> Session:
    request = a_request(online_meeting=wanted)
    return await book_one(env.acting(env.mentee), env.pairing, request, ports=env.ports)


def outcome(session: Session) -> Any:
    meeting = session.online_meeting
    assert (meeting.join_url is not None) == (meeting.state is READY)
    return meeting.state, meeting.provider, meeting.reason


@pytest.mark.parametrize("refuses", [False, True], ids=["ignores", "refuses"])
@pytest.mark.parametrize(("wanted", "offered", "expected"), CASES)
async def test_a_wish_is_honoured_where_it_is_offered(
    env: BookingEnv,
    wanted: OnlineMeetingChoice,
    offered: set[OnlineMeetingChoice],
    expected: Any,
    *,
    refuses: bool,
) -> None:
    env.outlook.offers, env.outlook.refuses_others = frozenset(offered), refuses
    assert outcome(await booked(env, wanted)) == expected
    assert len(env.outlook.events) == 1


@pytest.mark.parametrize(
    ("refuses", "expected"),
    [
        (False, (UNAVAILABLE, None, Reason.TEAMS_NOT_OFFERED)),
        (True, (READY, Provider.SKYPE, Reason.TEAMS_NOT_OFFERED)),
    ],
)
async def test_teams_where_only_skype_is_offered(
    env: BookingEnv, expected: Any, *, refuses: bool
) -> None:
    env.outlook.offers, env.outlook.refuses_others = frozenset({SKYPE}), refuses
    assert outcome(await booked(env, TEAMS)) == expected


async def test_offered_providers_are_read_only_when_needed(env: BookingEnv) -> None:
    await booked(env, TEAMS)
    assert env.outlook.calls == ["getSchedule", "create"]


async def test_a_series_has_the_meeting_that_is_offered(env: BookingEnv) -> None:
    env.outlook.offers, env.outlook.refuses_others = frozenset({SKYPE}), True
    request = a_request(repeat=Repeat(Frequency.WEEKLY, count=3), online_meeting=TEAMS)
    series = await book(env.acting(env.mentee), env.pairing, request, ports=env.ports)
    expected = (READY, Provider.SKYPE, Reason.TEAMS_NOT_OFFERED)
    assert [outcome(session) for session in series.sessions] == [expected] * 3


@pytest.mark.parametrize("wanted", OnlineMeetingChoice)
async def test_a_refusal_for_another_reason_stays_one(
    env: BookingEnv, wanted: OnlineMeetingChoice
) -> None:
    env.calendar = RefusingCalendar(env.outlook)
    with pytest.raises(CalendarRefused):
        await booked(env, wanted)
    assert env.outlook.events == []


async def test_not_knowing_what_is_offered_is_no_reason_not_to_book(env: BookingEnv) -> None:
    async def silent(acting: Any) -> Any:
        raise CalendarUnavailable("no answer")

    env.outlook.offers = frozenset()
    env.calendar.offered_meetings = silent  # type: ignore[method-assign]  # the fake's
    session = await booked(env, TEAMS)
    assert outcome(session) == (UNAVAILABLE, None, Reason.NOT_CREATED)


async def test_a_meeting_that_was_not_made_though_offered_is_looked_for_once_more(
    env: BookingEnv,
) -> None:
    async def offers(acting: Any) -> Any:
        return frozenset({TEAMS})

    env.outlook.offers = frozenset()  # a transient state: the calendar offers Teams otherwise
    env.calendar.offered_meetings = offers  # type: ignore[method-assign]  # the fake's
    session = await booked(env, TEAMS)
    assert outcome(session) == (UNAVAILABLE, None, Reason.NOT_CREATED)
    (job,) = [job for job, _ in env.jobs.put_jobs if job.kind is JobKind.LINK]
    env.jobs.put_jobs.clear()
    await check_meeting_link(job, env.organization, ports=env.ports)
    assert env.jobs.put_jobs == []
    event = env.outlook.events[0]
    event.seen = replace(
        event.seen, join_url="https://teams.example/2", provider=Provider.TEAMS, etag="later"
    )
    await check_meeting_link(job, env.organization, ports=env.ports)
    assert outcome(await env.sessions.get(env.mentee, session.id)) == (
        READY,
        Provider.TEAMS,
        None,
    )


def test_every_reason_is_in_the_docs() -> None:
    docs = (Path(__file__).parents[3] / "docs" / "booking.md").read_text()
    assert [reason for reason in OnlineMeetingReason if f"`{reason}`" not in docs] == []
