"""The merge of event versions: over any history, in any order, with repetitions."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

from hypothesis import example, given
from hypothesis import strategies as st

from shared.availability.working_hours import zone_of
from shared.calendar_sync.attendees import newer
from shared.calendar_sync.merge import merge
from shared.changes.model import ChangeKind
from shared.ids import (
    EventId,
    ICalUid,
    Mailbox,
    ObjectId,
    OrganizationId,
    PairingId,
    SessionId,
    TenantId,
)
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.calendar_events import CalendarAttendee, CalendarEvent
from shared.sessions.model import Attendee, AttendeeResponse, ResponseState, Session, SessionState
from shared.sessions.online_meeting import OnlineMeeting, OnlineMeetingState
from shared.sessions.outbox import Difference, differences
from shared.timespan import DateSpan, TimeSpan

_ZERO = datetime(2026, 3, 2, 9, tzinfo=UTC)
_DAY = DateSpan(_ZERO.date(), _ZERO.date() + timedelta(days=1))
_PEOPLE = ("ben@contoso.example", "chidi@contoso.example")
_ALIASES = {"ben@contoso.example": "/o=exchangelabs/cn=ben", "chidi@contoso.example": "c@contoso"}


def _span(hours: int) -> TimeSpan:
    return TimeSpan.lasting(_ZERO + timedelta(hours=hours), timedelta(hours=1))


def _session() -> Session:
    return Session(
        id=SessionId("s"),
        organization_id=OrganizationId("o"),
        pairing_id=PairingId("p"),
        organizer=Mailbox(TenantId("t"), ObjectId("ada")),
        state=SessionState.SCHEDULED,
        span=_span(0),
        time_zone="UTC",
        attendees=tuple(Attendee(a, ObjectId(a[:3]), known_as=(_ALIASES[a],)) for a in _PEOPLE),
        created_at=_ZERO,
        changed_at=_ZERO,
        event_id=EventId("e"),
        ical_uid=ICalUid("i"),
        event_etag="0000",
        event_modified_at=_ZERO,
    )


@dataclass
class _Outlook:
    """A minimal model of the organizer's copy: its version after each act."""

    span: TimeSpan
    responses: dict[str, AttendeeResponse]
    """Of whoever is invited."""
    changes: int = 0
    optional: frozenset[str] = frozenset()
    renamed: frozenset[str] = frozenset()
    """Who is shown under another address."""
    twice: frozenset[str] = frozenset()
    """Whose answers Exchange could not match: a second row has them."""
    dates: DateSpan | None = None
    is_zone_known: bool = True

    def shown(self) -> CalendarEvent:
        return CalendarEvent(
            EventId("e"),
            ICalUid("i"),
            f"{self.changes:04}",
            self.span,
            is_cancelled=False,
            attendees=tuple(row for a in self.responses for row in self._rows(a)),
            is_online_meeting=False,
            join_url=None,
            modified_at=_ZERO + timedelta(minutes=self.changes),
            dates=self.dates,
            is_zone_known=self.is_zone_known,
        )

    def _rows(self, who: str) -> list[CalendarAttendee]:
        response, alias = self.responses[who], _ALIASES.get(who, who)
        name = alias if who in self.renamed else who
        required = who not in self.optional
        if who not in self.twice or response.state is ResponseState.PENDING:
            return [CalendarAttendee(name, response, required)]
        former = replace(response, state=ResponseState.TENTATIVE, responded_at=_ZERO)
        return [
            CalendarAttendee(name, former, required),
            CalendarAttendee(alias if name == who else who, response, required=False),
        ]

    def move(self, span: TimeSpan, dates: DateSpan | None = None) -> None:
        """Move to *span*, or make it all-day on *dates*."""
        if (span, dates) != (self.span, self.dates):
            self.responses = dict.fromkeys(self.responses, AttendeeResponse(was_reset=True))
        self.span, self.dates = span, dates

    def tick(self, days: int, zone: str | None) -> None:
        """Make it all-day, in *zone*, or in one that Graph does not tell."""
        dates = DateSpan(_ZERO.date(), _ZERO.date() + timedelta(days=days))
        span = dates.span_in(zone_of(zone)) if zone else dates.span_anywhere()
        self.is_zone_known = zone is not None
        self.move(span, dates)


_ACTS = st.one_of(
    st.tuples(st.just("move"), st.integers(0, 2)),
    st.tuples(
        st.just("all day"),
        st.tuples(st.integers(1, 2), st.sampled_from([None, "UTC", "Asia/Tokyo"])),
    ),
    # The hours of a whole day, and no all-day event.
    st.tuples(st.just("whole day"), st.just(24)),
    st.tuples(st.sampled_from(_PEOPLE), st.sampled_from(list(ResponseState)[1:])),
    st.tuples(
        st.sampled_from(["remove", "return", "optional", "rename", "twice"]),
        st.sampled_from(_PEOPLE),
    ),
)


def _history(acts: list[tuple[str, object]]) -> list[CalendarEvent]:
    return [_after(acts[: number + 1]).shown() for number in range(len(acts))]


def _after(acts: list[tuple[str, object]]) -> _Outlook:
    outlook = _Outlook(_span(0), dict.fromkeys(_PEOPLE, AttendeeResponse()))
    for what, how in acts:
        outlook.changes += 1
        _do(outlook, what, how)
    return outlook


def _do(outlook: _Outlook, what: str, how: object) -> None:
    match what, how:
        case "move", _:
            outlook.move(_span(int(str(how))))
        case "whole day", _:
            outlook.move(_DAY.span_in(UTC))
        case "all day", (int() as days, str() | None as zone):
            outlook.tick(days, zone)
        case "remove", _:
            outlook.responses.pop(str(how), None)
        case "return", _:
            outlook.responses.setdefault(str(how), AttendeeResponse())
        case "optional", _:
            outlook.optional ^= {str(how)}
        case "rename", _:
            outlook.renamed ^= {str(how)}
        case "twice", _:
            outlook.twice ^= {str(how)}
        case _ if what in outlook.responses:
            at = _ZERO + timedelta(minutes=outlook.changes)
            outlook.responses[what] = AttendeeResponse(ResponseState(str(how)), at)


def _known(session: Session, pictures: list[CalendarEvent]) -> Session:
    for seen in pictures:
        session = merge(session, seen)
    return replace(session, sequence=0)


@example([("whole day", 24), (_PEOPLE[0], "accepted"), ("all day", (1, "UTC"))])
@example([("all day", (1, "UTC")), (_PEOPLE[0], "accepted"), ("whole day", 24)])
@given(st.lists(_ACTS, min_size=1, max_size=4))
def test_the_order_of_pictures_does_not_matter(acts: list[tuple[str, object]]) -> None:
    pictures = _history(acts)
    outcomes = {_known(_session(), list(order)) for order in permutations(pictures)}
    assert len(outcomes) == 1


@given(st.lists(_ACTS, min_size=1, max_size=12), st.data())
def test_in_the_end_the_session_says_what_the_calendar_says(
    acts: list[tuple[str, object]], data: st.DataObject
) -> None:
    pictures = _history(acts)
    heard = data.draw(st.lists(st.sampled_from(pictures), max_size=12))
    known = _known(_session(), [*heard, pictures[-1]])
    assert known.span == pictures[-1].span_in(known.time_zone)
    assert known.dates == pictures[-1].dates
    outlook = _after(acts)
    invited = [a for a in known.attendees if a.invited]
    assert {a.address: a.response for a in invited} == outlook.responses
    assert {a.address for a in invited if not a.required} == outlook.optional & {*outlook.responses}
    assert {a.address for a in known.attendees} == {*_PEOPLE}


@given(st.lists(_ACTS, min_size=1, max_size=12))
def test_hearing_it_twice_changes_nothing(acts: list[tuple[str, object]]) -> None:
    pictures = _history(acts)
    once = _known(_session(), pictures)
    again = merge(once, pictures[-1])
    assert replace(again, sequence=0) == once
    assert not list(differences(once, again))


@given(st.lists(_ACTS, min_size=3, max_size=12), st.data())
def test_merging_in_groups_comes_to_the_same(
    acts: list[tuple[str, object]], data: st.DataObject
) -> None:
    pictures = _history(acts)
    cut = data.draw(st.integers(0, len(pictures)))
    assert _known(_known(_session(), pictures[cut:]), pictures[:cut]) == _known(
        _session(), pictures
    )


_RESPONSES = st.builds(
    AttendeeResponse,
    st.sampled_from(ResponseState),
    st.none() | st.integers(0, 5).map(lambda n: _ZERO + timedelta(minutes=n)),
)


@given(_RESPONSES, _RESPONSES, _RESPONSES)
def test_newer_is_a_join(a: AttendeeResponse, b: AttendeeResponse, c: AttendeeResponse) -> None:
    assert newer(a, a) == a
    assert newer(a, b) == newer(b, a)
    assert newer(newer(a, b), c) == newer(a, newer(b, c))


def test_whoever_was_removed_is_not_invited_and_starts_anew_when_put_back() -> None:
    accepted = AttendeeResponse(ResponseState.ACCEPTED, _ZERO)
    outlook = _Outlook(_span(0), {_PEOPLE[1]: AttendeeResponse()}, changes=5)
    session = _session().with_response(_PEOPLE[0], accepted)
    removed = merge(session, outlook.shown())
    assert [a.invited for a in removed.attendees] == [False, True]
    mailbox = removed.mailboxes[0]
    assert not removed.holds_time_of(mailbox)
    outlook.responses, outlook.changes = dict.fromkeys(_PEOPLE, AttendeeResponse()), 6
    for known in (session, removed):
        back = merge(known, outlook.shown())
        assert [(a.invited, a.response.state) for a in back.attendees] == [(True, "pending")] * 2
        assert back.holds_time_of(mailbox)


def test_new_times_start_from_silence() -> None:
    session = _session().with_response(_PEOPLE[0], AttendeeResponse(ResponseState.ACCEPTED, _ZERO))
    outlook = _Outlook(
        _span(2), dict.fromkeys(_PEOPLE, AttendeeResponse(was_reset=True)), changes=5
    )
    merged = merge(session, outlook.shown())
    assert merged.attendees[0].response.state is ResponseState.PENDING
    assert merged.sequence == 1
    assert list(differences(session, merged)) == [Difference(ChangeKind.RESCHEDULED)]


def test_a_session_that_becomes_all_day_is_moved() -> None:
    accepted = AttendeeResponse(ResponseState.ACCEPTED, _ZERO)
    outlook = _Outlook(_DAY.span_in(UTC), dict.fromkeys(_PEOPLE, accepted), changes=5)
    session = merge(_session(), outlook.shown())
    outlook.changes += 1
    outlook.tick(1, "UTC")  # the same instants
    merged = merge(session, outlook.shown())
    assert (merged.span, merged.dates) == (session.span, _DAY)
    assert merged.sequence == session.sequence + 1
    assert list(differences(session, merged)) == [Difference(ChangeKind.RESCHEDULED)]
    assert merged.attendees[0].response.state is ResponseState.PENDING


def test_an_all_day_event_is_no_pending_move_of_the_app() -> None:
    pending = replace(_session(), pending_span=_DAY.span_in(UTC), held_until=_ZERO)
    outlook = _Outlook(_span(0), dict.fromkeys(_PEOPLE, AttendeeResponse()), changes=5)
    outlook.tick(1, "UTC")
    assert merge(pending, outlook.shown()).pending_span is not None


def test_a_cancelled_session_stays_cancelled() -> None:
    outlook = _Outlook(_span(0), dict.fromkeys(_PEOPLE, AttendeeResponse()), changes=5)
    cancelled = merge(_session(), replace(outlook.shown(), is_cancelled=True))
    assert cancelled.state is SessionState.CANCELLED
    assert merge(cancelled, outlook.shown()).state is SessionState.CANCELLED


def test_a_proposed_time_is_shown_until_it_is_answered() -> None:
    proposal = AttendeeResponse(ResponseState.TENTATIVE, _ZERO, _span(3))
    outlook = _Outlook(_span(0), {**dict.fromkeys(_PEOPLE, AttendeeResponse())}, changes=1)
    outlook.responses[_PEOPLE[0]] = proposal
    proposed = merge(_session(), outlook.shown())
    assert proposed.attendees[0].response.proposed == _span(3)
    assert list(differences(_session(), proposed)) == [
        Difference(ChangeKind.PROPOSED, "", "ben"),
        Difference(ChangeKind.RESPONDED, "tentative", "ben"),
    ]
    outlook.changes = 2
    outlook.responses[_PEOPLE[0]] = AttendeeResponse(
        ResponseState.ACCEPTED, _ZERO + timedelta(minutes=9)
    )
    answered = merge(proposed, outlook.shown())
    assert answered.attendees[0].response.proposed is None


def test_attendee_of_a_forwarded_invitation_appears() -> None:
    outlook = _Outlook(
        _span(0),
        dict.fromkeys((*_PEOPLE, "new@contoso.example"), AttendeeResponse()),
        changes=1,
    )
    merged = merge(_session(), outlook.shown())
    assert [a.address for a in merged.attendees if a.forwarded] == ["new@contoso.example"]
    assert list(differences(_session(), merged)) == [
        Difference(ChangeKind.ATTENDEES, "added", "new@contoso.example")
    ]


def test_a_link_that_comes_late_is_taken() -> None:
    session = replace(
        _session(),
        online_meeting=OnlineMeeting(OnlineMeetingChoice.TEAMS, OnlineMeetingState.PENDING),
    )
    outlook = _Outlook(_span(0), dict.fromkeys(_PEOPLE, AttendeeResponse()), changes=1)
    merged = merge(session, replace(outlook.shown(), join_url="https://teams.example/j"))
    assert merged.online_meeting.state is OnlineMeetingState.READY
    assert list(differences(session, merged)) == [Difference(ChangeKind.ONLINE_MEETING, "ready")]


def test_of_two_rows_of_a_person_an_answer_counts_and_silence_only_if_both_say_it() -> None:
    accepted = AttendeeResponse(ResponseState.ACCEPTED, _ZERO)
    known = _session().with_response(_PEOPLE[0], accepted)
    outlook = _Outlook(_span(0), dict.fromkeys(_PEOPLE, AttendeeResponse()), changes=1)
    unsaid = CalendarAttendee(_ALIASES[_PEOPLE[0]], AttendeeResponse(), says_response=False)
    for row, expected in (
        (CalendarAttendee(_PEOPLE[0], AttendeeResponse()), ResponseState.ACCEPTED),
        (
            CalendarAttendee(_PEOPLE[0], AttendeeResponse(ResponseState.DECLINED, _ZERO)),
            ResponseState.DECLINED,
        ),
    ):
        for rows in ((row, unsaid), (unsaid, row)):
            seen = replace(outlook.shown(), attendees=rows, is_whole=False)
            assert merge(known, seen).attendees[0].response.state is expected
