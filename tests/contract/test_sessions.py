"""The contract of `SessionStore`."""

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest

from shared.availability.model import Buffers
from shared.errors import Invalid, NotFound, SlotTaken, StaleRow
from shared.ids import ICalUid, Mailbox, SeriesId, SessionId
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions import reservations
from shared.sessions.holds import MAX_HELD_DAYS, Hold
from shared.sessions.model import HOLD_TTL, AttendeeResponse, ResponseState, Session, SessionState
from shared.sessions.online_meeting import OnlineMeeting, OnlineMeetingReason, OnlineMeetingState
from shared.sessions.ports import SessionStore
from shared.timespan import DateSpan, TimeSpan
from tests.builders import (
    NOW,
    a_hold,
    a_mailbox,
    a_series,
    a_session,
    a_session_id,
    a_span,
    a_uuid,
    an_attendee,
    an_event_id,
    at,
)

WEEK = TimeSpan(at(0), at(0, day=7))
FIFTEEN = timedelta(minutes=15)


async def booked(sessions: SessionStore, session: Session) -> Session:
    """Book as the use-case does: place holds, open the session, confirm it, sync the attendees."""
    hold = Hold(session.id, session.span, NOW + HOLD_TTL, session.buffers)
    for mailbox in session.mailboxes[:-1]:
        await reservations.place_hold(sessions, mailbox, hold, session.organizer, NOW)
    opened = await reservations.create(
        sessions, replace(session, state=SessionState.REQUESTED), NOW
    )
    confirmed = await reservations.save(
        sessions,
        replace(
            opened,
            state=SessionState.SCHEDULED,
            event_id=session.event_id or an_event_id(),
            held_until=None,
        ),
    )
    for mailbox in session.mailboxes[:-1]:
        await reservations.sync_mailbox(sessions, mailbox, confirmed)
    return confirmed


async def spans(
    sessions: SessionStore, mailbox: Mailbox, *, window: TimeSpan = WEEK
) -> list[TimeSpan]:
    return [hold.span for hold in await sessions.holds(mailbox, window, NOW)]


async def page(
    sessions: SessionStore,
    mailbox: Mailbox,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[SessionId]:
    found, _ = await sessions.list_by_mailbox(
        mailbox, since=since, until=until, after=None, limit=100
    )
    return [session.id for session in found]


def attendee_of(session: Session) -> Mailbox:
    return session.mailboxes[0]


# --- holding


async def test_a_hold_keeps_others_out(sessions: SessionStore) -> None:
    mentor, hold = a_mailbox(), a_hold()
    await reservations.place_hold(sessions, mentor, hold, a_mailbox(mentor.tenant_id), NOW)
    with pytest.raises(SlotTaken):
        await reservations.place_hold(sessions, mentor, a_hold(), a_mailbox(mentor.tenant_id), NOW)
    assert await sessions.holds(mentor, WEEK, NOW) == [hold]


async def test_a_refused_hold_changes_nothing(sessions: SessionStore) -> None:
    mentor, refused = a_mailbox(), a_hold(a_span(minutes=24 * 60))
    await reservations.place_hold(sessions, mentor, a_hold(), a_mailbox(mentor.tenant_id), NOW)
    with pytest.raises(SlotTaken):
        await reservations.place_hold(sessions, mentor, refused, a_mailbox(mentor.tenant_id), NOW)
    assert await spans(sessions, mentor) == [a_span()]
    assert await page(sessions, mentor) == []


async def test_touching_holds_do_not_collide(sessions: SessionStore) -> None:
    mentor = a_mailbox()
    first, second = a_span(at(10, day=1)), a_span(at(10, 30, day=1))
    for span in (second, first):
        await reservations.place_hold(
            sessions, mentor, a_hold(span), a_mailbox(mentor.tenant_id), NOW
        )
    assert await spans(sessions, mentor) == [first, second]


async def test_a_hold_that_ran_out_counts_no_more(sessions: SessionStore) -> None:
    mentor, expired = a_mailbox(), a_hold(expires_at=NOW + timedelta(minutes=1))
    fresh = a_hold(expires_at=NOW + timedelta(hours=1))
    later = NOW + timedelta(minutes=1)
    await reservations.place_hold(sessions, mentor, expired, a_mailbox(mentor.tenant_id), NOW)
    assert await sessions.holds(mentor, WEEK, later) == []
    await reservations.place_hold(sessions, mentor, fresh, a_mailbox(mentor.tenant_id), later)
    assert await sessions.holds(mentor, WEEK, later) == [fresh]


async def test_a_hold_of_the_same_session_is_replaced(sessions: SessionStore) -> None:
    mentor, organizer, session_id = a_mailbox(), a_mailbox(), a_session_id()
    organizer = a_mailbox(mentor.tenant_id)
    first = a_hold(a_span(at(10, day=1)), session_id=session_id)
    moved = a_hold(a_span(at(15, day=3)), session_id=session_id)
    await reservations.place_hold(sessions, mentor, first, organizer, NOW)
    await reservations.place_hold(sessions, mentor, first, organizer, NOW)
    await reservations.place_hold(sessions, mentor, moved, organizer, NOW)
    assert await sessions.holds(mentor, WEEK, NOW) == [moved]


async def test_a_late_hold_does_not_weaken_a_confirmed_one(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    again = Hold(session.id, session.span, NOW + timedelta(minutes=1))
    await reservations.place_hold(sessions, attendee_of(session), again, session.organizer, NOW)
    assert [h.expires_at for h in await sessions.holds(attendee_of(session), WEEK, NOW)] == [None]


@pytest.mark.parametrize("start", [at(23, 45, day=1), at(0, 15, day=2)])
async def test_a_session_over_midnight_holds_both_days(
    sessions: SessionStore, start: datetime
) -> None:
    mentor, over_midnight = a_mailbox(), a_span(at(23, 30, day=1), 60)
    await reservations.place_hold(
        sessions, mentor, a_hold(over_midnight), a_mailbox(mentor.tenant_id), NOW
    )
    with pytest.raises(SlotTaken):
        await reservations.place_hold(
            sessions,
            mentor,
            a_hold(a_span(start, 5)),
            a_mailbox(mentor.tenant_id),
            NOW,
        )
    assert await spans(sessions, mentor) == [over_midnight]
    second_day = TimeSpan(at(0, day=2), at(0, 10, day=2))
    assert await spans(sessions, mentor, window=second_day) == [over_midnight]


async def test_only_holds_that_touch_the_window_are_told(sessions: SessionStore) -> None:
    mentor, span = a_mailbox(), a_span(at(10, day=1), 30)
    await reservations.place_hold(sessions, mentor, a_hold(span), a_mailbox(mentor.tenant_id), NOW)
    for window, touches in (
        (TimeSpan(at(9, day=1), at(10, day=1)), False),
        (TimeSpan(at(10, 29, day=1), at(11, day=1)), True),
        (TimeSpan(at(10, 30, day=1), at(11, day=1)), False),
        (TimeSpan(at(0, day=2), at(0, day=3)), False),
    ):
        assert bool(await spans(sessions, mentor, window=window)) is touches


async def test_of_many_who_want_one_slot_exactly_one_gets_it(sessions: SessionStore) -> None:
    mentor = a_mailbox()

    async def attempt(hold: Hold) -> bool:
        try:
            await reservations.place_hold(sessions, mentor, hold, a_mailbox(mentor.tenant_id), NOW)
        except SlotTaken:
            return False
        return True

    wanted = [a_hold(a_span(at(10, 5 * n, day=1))) for n in range(6)] + [
        a_hold() for _ in range(14)
    ]
    got = await asyncio.gather(*map(attempt, wanted))
    held = await sessions.holds(mentor, WEEK, NOW)
    assert sorted(hold.session_id for hold in held) == sorted(
        hold.session_id for hold, won in zip(wanted, got, strict=True) if won
    )
    # Each takes half an hour of one hour: at most two fit, and they do not overlap.
    assert 1 <= len(held) <= 2
    assert not any(a.span.overlaps(b.span) for a in held for b in held if a != b)


async def test_many_who_want_different_slots_of_a_day_all_get_them(sessions: SessionStore) -> None:
    mentor = a_mailbox()
    wanted = [a_hold(a_span(at(8 + n // 2, 30 * (n % 2), day=1))) for n in range(12)]
    await asyncio.gather(
        *(
            reservations.place_hold(sessions, mentor, hold, a_mailbox(mentor.tenant_id), NOW)
            for hold in wanted
        )
    )
    assert await sessions.holds(mentor, WEEK, NOW) == wanted


# --- opening and reading


async def test_an_opened_session_is_read_back_whole(sessions: SessionStore) -> None:
    attendee = a_mailbox()
    session = a_session(
        attendee,
        attendees=(
            an_attendee(attendee),
            an_attendee(
                required=False,
                forwarded=True,
                response=AttendeeResponse(
                    ResponseState.TENTATIVE, at(9), proposed=a_span(at(16, day=2)), was_reset=True
                ),
                taken=a_span(at(9, 7, day=2), 37),
            ),
        ),
        online_meeting=OnlineMeeting(
            OnlineMeetingChoice.SKYPE,
            OnlineMeetingState.READY,
            "https://teams.example/l/meetup-join/19%3ameeting?context=%7b%22x%22%7d",
            OnlineMeetingReason.SKYPE_RETIRED,
        ),
        fingerprint="f" * 64,
        unreadable_since=at(8),
        is_mailbox_lost=True,
        unknown_for=("zoë@fabrikam.example",),
        event_id=an_event_id(),
        ical_uid=ICalUid("040000008200E00074C5B7101A82E008"),
        event_etag='W/"DwAAABYAAAC=="',
        event_modified_at=at(9) + timedelta(microseconds=123457),
        sequence=3,
        conflicts_with=(a_session_id(), a_session_id()),
        series_id=SeriesId(a_uuid()),
        occurrence=7,
        pending_span=a_span(at(11, day=2)),
        pending_base_version="an-etag",
        dates=DateSpan(date(2026, 3, 29), date(2026, 3, 31)),
        response_requested=False,
    )
    opened = await reservations.create(sessions, session, NOW)
    assert opened.version
    assert opened == replace(session, version=opened.version)
    assert await sessions.get(session.organizer, session.id) == opened


async def test_a_session_with_hundreds_of_attendees_is_kept(sessions: SessionStore) -> None:
    attendees = tuple(an_attendee(forwarded=True) for _ in range(500))
    opened = await reservations.create(sessions, a_session(attendees=attendees), NOW)
    assert (await sessions.get(opened.organizer, opened.id)).attendees == attendees


async def test_an_attendee_finds_the_organizers_session(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    assert await sessions.get(attendee_of(session), session.id) == session


async def test_missing_session_is_not_found(sessions: SessionStore) -> None:
    with pytest.raises(NotFound):
        await sessions.get(a_mailbox(), a_session_id())


async def test_a_stranger_finds_nothing(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    with pytest.raises(NotFound):
        await sessions.get(a_mailbox(session.tenant_id), session.id)


async def test_opening_takes_the_organizers_time(sessions: SessionStore) -> None:
    session = await reservations.create(sessions, a_session(), NOW)
    with pytest.raises(SlotTaken):
        await reservations.create(sessions, a_session(organizer=session.organizer), NOW)
    with pytest.raises(SlotTaken):
        await reservations.place_hold(
            sessions, session.organizer, a_hold(), attendee_of(session), NOW
        )


async def test_opening_twice_is_stale(sessions: SessionStore) -> None:
    session = a_session()
    await reservations.create(sessions, session, NOW)
    with pytest.raises(StaleRow):
        await reservations.create(sessions, session, NOW)


async def test_of_many_who_open_one_session_one_does(sessions: SessionStore) -> None:
    session = a_session()
    answers = await asyncio.gather(
        *(reservations.create(sessions, session, NOW) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(answer, Session) for answer in answers) == 1
    assert sum(isinstance(answer, StaleRow) for answer in answers) == 7


async def test_a_requested_session_that_died_frees_its_time(sessions: SessionStore) -> None:
    dead = await reservations.create(sessions, a_session(), NOW)
    later = NOW + HOLD_TTL
    other = a_session(organizer=dead.organizer, held_until=later + HOLD_TTL)
    await reservations.create(sessions, other, later)
    assert [h.session_id for h in await sessions.holds(dead.organizer, WEEK, later)] == [other.id]


# --- saving


async def test_saving_a_stale_session_is_refused(sessions: SessionStore) -> None:
    session = await reservations.create(sessions, a_session(), NOW)
    saved = await reservations.save(sessions, replace(session, sequence=1))
    with pytest.raises(StaleRow):
        await reservations.save(sessions, replace(session, sequence=2))
    assert await sessions.get(session.organizer, session.id) == saved


async def test_saving_what_is_gone_is_stale(sessions: SessionStore) -> None:
    session = await reservations.create(sessions, a_session(), NOW)
    await reservations.release(sessions, session.organizer, session.id)
    with pytest.raises(StaleRow):
        await reservations.save(sessions, session)


async def test_of_many_who_save_one_does(sessions: SessionStore) -> None:
    session = await reservations.create(sessions, a_session(), NOW)
    answers = await asyncio.gather(
        *(
            reservations.save(sessions, replace(session, state=SessionState.SCHEDULED, sequence=n))
            for n in range(6)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Session) for answer in answers) == 1
    assert sum(isinstance(answer, StaleRow) for answer in answers) == 5


async def test_confirming_makes_the_hold_count_for_good(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    much_later = NOW + timedelta(days=1)
    for mailbox in session.mailboxes:
        assert await sessions.holds(mailbox, WEEK, much_later) == [Hold(session.id, session.span)]


async def test_saving_other_times_moves_the_hold(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    elsewhere = a_span(at(23, 30, day=3), 60)
    await reservations.save(sessions, replace(session, span=elsewhere, sequence=1))
    assert await spans(sessions, session.organizer) == [elsewhere]
    assert await page(sessions, session.organizer, until=at(0, day=3)) == []
    assert await page(sessions, session.organizer, since=at(0, day=3)) == [session.id]


async def test_a_pending_time_is_held_besides(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    wanted = a_span(at(15, day=2))
    until = NOW + HOLD_TTL
    pending = await reservations.save(
        sessions, replace(session, pending_span=wanted, held_until=until)
    )
    assert await sessions.holds(session.organizer, WEEK, NOW) == [
        Hold(session.id, session.span),
        Hold(session.id, wanted, until),
    ]
    assert await spans(sessions, session.organizer) == [session.span, wanted]
    assert [h.span for h in await sessions.holds(session.organizer, WEEK, until)] == [session.span]
    await reservations.save(
        sessions, replace(pending, span=wanted, pending_span=None, held_until=None)
    )
    assert await spans(sessions, session.organizer) == [wanted]


async def test_cancelling_frees_the_time_and_stays_listed(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    cancelled = await reservations.save(sessions, replace(session, state=SessionState.CANCELLED))
    await reservations.sync_mailbox(sessions, attendee_of(session), cancelled)
    for mailbox in session.mailboxes:
        assert await spans(sessions, mailbox) == []
        assert await page(sessions, mailbox) == [session.id]


async def test_an_answer_changes_nobodys_time(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    address = session.attendees[0].address
    accepted = AttendeeResponse(ResponseState.ACCEPTED, at(9))
    saved = await reservations.save(sessions, session.with_response(address, accepted))
    assert (await sessions.get(attendee_of(session), session.id)).attendees[0].response == accepted
    assert saved.version != session.version
    assert await spans(sessions, session.organizer) == [session.span]


async def test_a_session_stretched_over_months_is_kept(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    stretched = TimeSpan(session.span.start, session.span.start + timedelta(days=200))
    saved = await reservations.save(sessions, replace(session, span=stretched))
    await reservations.sync_mailbox(sessions, attendee_of(session), saved)
    for mailbox in session.mailboxes:
        assert await spans(sessions, mailbox) == [stretched]
        beyond = TimeSpan(stretched.end - timedelta(days=1), stretched.end)
        assert await spans(sessions, mailbox, window=beyond) == []
    shortened = await reservations.save(sessions, replace(saved, span=session.span))
    assert await spans(sessions, shortened.organizer) == [session.span]
    assert (stretched.end - stretched.start).days > MAX_HELD_DAYS


# --- the event index


async def test_an_event_leads_to_its_session(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    assert session.event_id is not None
    assert await sessions.find_by_event(session.organizer, session.event_id) == session


async def test_an_event_of_somebody_else_leads_nowhere(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    assert session.event_id is not None
    assert await sessions.find_by_event(attendee_of(session), session.event_id) is None
    assert await sessions.find_by_event(session.organizer, an_event_id()) is None


async def test_another_event_takes_the_place_of_the_first(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    assert session.event_id is not None
    second = an_event_id()
    saved = await reservations.save(sessions, replace(session, event_id=second))
    assert await sessions.find_by_event(session.organizer, session.event_id) is None
    assert await sessions.find_by_event(session.organizer, second) == saved


# --- attendees' mailboxes


async def test_settling_moves_an_attendees_time(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    mentor = attendee_of(session)
    elsewhere = a_span(at(9, day=4))
    moved = await reservations.save(sessions, replace(session, span=elsewhere, changed_at=at(9)))
    await reservations.sync_mailbox(sessions, mentor, moved)
    await reservations.sync_mailbox(sessions, mentor, moved)
    assert await spans(sessions, mentor) == [elsewhere]
    assert await page(sessions, mentor, since=at(0, day=4)) == [session.id]


async def test_settling_records_even_what_collides(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    mentor = attendee_of(session)
    other = a_hold(a_span(at(9, day=4)))
    await reservations.place_hold(sessions, mentor, other, a_mailbox(mentor.tenant_id), NOW)
    moved = await reservations.save(sessions, replace(session, span=other.span, changed_at=at(9)))
    await reservations.sync_mailbox(sessions, mentor, moved)
    assert await spans(sessions, mentor) == [other.span, other.span]


async def test_settling_late_does_not_undo_what_came_after(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    mentor = attendee_of(session)
    moved = await reservations.save(
        sessions, replace(session, span=a_span(at(9, day=4)), changed_at=NOW + timedelta(seconds=1))
    )
    await reservations.sync_mailbox(sessions, mentor, moved)
    await reservations.sync_mailbox(sessions, mentor, session)
    assert await spans(sessions, mentor) == [moved.span]


async def test_settling_a_mailbox_that_never_held_makes_it_hold(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    newcomer = a_mailbox(session.tenant_id)
    await reservations.sync_mailbox(sessions, newcomer, session)
    assert await spans(sessions, newcomer) == [session.span]
    assert await sessions.get(newcomer, session.id) == session


async def test_settling_the_organizer_is_no_matter(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    await reservations.sync_mailbox(sessions, session.organizer, session)
    assert await sessions.get(session.organizer, session.id) == session


async def test_moving_holds_the_new_time_besides_the_old(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    to = Hold(session.id, a_span(at(23, 45, day=2)), NOW + HOLD_TTL)
    for mailbox in session.mailboxes:
        await reservations.hold_new_time(sessions, mailbox, session, to, NOW)
        await reservations.hold_new_time(sessions, mailbox, session, to, NOW)
        assert await sessions.holds(mailbox, WEEK, NOW) == [Hold(session.id, session.span), to]
        assert await page(sessions, mailbox) == [session.id]
    # The organizer's row is unchanged, so the caller's version stays valid.
    await reservations.save(
        sessions, replace(session, pending_span=to.span, held_until=to.expires_at)
    )


async def test_moving_by_a_little_does_not_collide_with_itself(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    to = Hold(session.id, a_span(session.span.start + timedelta(minutes=15)), NOW + HOLD_TTL)
    await reservations.hold_new_time(sessions, attendee_of(session), session, to, NOW)
    assert await spans(sessions, attendee_of(session)) == [session.span, to.span]


async def test_moving_onto_somebody_is_refused(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    mentor, other = attendee_of(session), a_hold(a_span(at(9, day=4)))
    await reservations.place_hold(sessions, mentor, other, a_mailbox(mentor.tenant_id), NOW)
    with pytest.raises(SlotTaken):
        await reservations.hold_new_time(
            sessions, mentor, session, replace(other, session_id=session.id), NOW
        )
    assert await spans(sessions, mentor) == [session.span, other.span]


async def test_a_move_that_came_to_nothing_is_taken_back(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    to = Hold(session.id, a_span(at(9, day=4)), NOW + HOLD_TTL)
    for mailbox in session.mailboxes:
        await reservations.hold_new_time(sessions, mailbox, session, to, NOW)
    saved = await reservations.save(
        sessions, replace(session, pending_span=to.span, held_until=to.expires_at)
    )
    undone = await reservations.save(sessions, replace(saved, pending_span=None, held_until=None))
    await reservations.remove_hold(sessions, attendee_of(session), to)
    await reservations.sync_mailbox(sessions, attendee_of(session), undone)
    for mailbox in session.mailboxes:
        assert await spans(sessions, mailbox) == [session.span]


async def test_settling_late_takes_no_movers_time_away(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    attendee = attendee_of(session)
    to = Hold(session.id, a_span(at(9, day=4)), NOW + HOLD_TTL)
    await reservations.hold_new_time(sessions, attendee, session, to, NOW)
    await reservations.sync_mailbox(
        sessions, attendee, session
    )  # by the writer of the version that the reschedule read
    with pytest.raises(SlotTaken):
        await reservations.place_hold(
            sessions, attendee, a_hold(to.span), a_mailbox(session.tenant_id), NOW
        )
    done = await reservations.save(
        sessions, replace(session, span=to.span, changed_at=at(9, day=1))
    )
    await reservations.sync_mailbox(sessions, attendee, done)
    assert await spans(sessions, attendee) == [to.span]
    off = replace(done, state=SessionState.CANCELLED, changed_at=at(10, day=1))
    await reservations.hold_new_time(
        sessions, attendee, done, Hold(session.id, a_span(at(11, day=4)), to.expires_at), NOW
    )
    await reservations.sync_mailbox(sessions, attendee, await reservations.save(sessions, off))
    assert await spans(sessions, attendee) == []


async def test_a_hold_is_taken_back_just_like_it_was_taken(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    own = Hold(session.id, session.span)
    mine = Hold(session.id, a_span(at(23, 45, day=3)), NOW + HOLD_TTL)
    later = replace(mine, expires_at=NOW + HOLD_TTL + timedelta(seconds=1))
    other = Hold(session.id, a_span(at(11, day=4)), NOW + HOLD_TTL)
    for mailbox in session.mailboxes:
        for hold in (mine, other):
            await reservations.hold_new_time(sessions, mailbox, session, hold, NOW)
        for _ in range(2):
            await reservations.remove_hold(sessions, mailbox, mine)
            assert await sessions.holds(mailbox, WEEK, NOW) == [own, other]
        # Another attempt of the same request has placed the hold.
        await reservations.hold_new_time(sessions, mailbox, session, later, NOW)
        await reservations.remove_hold(sessions, mailbox, mine)
        assert await sessions.holds(mailbox, WEEK, NOW) == [own, later, other]
        assert await page(sessions, mailbox) == [session.id]
    await reservations.remove_hold(sessions, a_mailbox(session.tenant_id), mine)
    await reservations.save(sessions, session)  # under the version that was read


async def test_moving_a_session_that_is_gone_is_stale(sessions: SessionStore) -> None:
    session = a_session(state=SessionState.SCHEDULED)
    with pytest.raises(StaleRow):
        await reservations.hold_new_time(
            sessions, session.organizer, session, a_hold(session_id=session.id), NOW
        )


async def test_moving_a_session_that_changed_is_stale_and_takes_nothing(
    sessions: SessionStore,
) -> None:
    seen = await booked(sessions, a_session())
    there = a_span(at(9, day=4))
    await reservations.save(sessions, replace(seen, span=there, changed_at=at(9)))
    await reservations.sync_mailbox(
        sessions, attendee_of(seen), await sessions.get(seen.organizer, seen.id)
    )
    to = Hold(seen.id, a_span(at(11, day=4)), NOW + HOLD_TTL)
    for mailbox in seen.mailboxes:
        with pytest.raises(StaleRow):
            await reservations.hold_new_time(sessions, mailbox, seen, to, NOW)
        assert await spans(sessions, mailbox) == [there]


async def test_of_two_who_move_it_neither_takes_the_other_ones_hold_away(
    sessions: SessionStore,
) -> None:
    session = await booked(sessions, a_session())
    mentor, until = attendee_of(session), NOW + HOLD_TTL
    one, other = a_span(at(9, day=4)), a_span(at(11, day=3))
    for span in (one, other):
        await reservations.hold_new_time(
            sessions, mentor, session, Hold(session.id, span, until), NOW
        )
    assert set(await sessions.holds(mentor, WEEK, NOW)) == {
        Hold(session.id, session.span),
        Hold(session.id, one, until),
        Hold(session.id, other, until),
    }
    with pytest.raises(SlotTaken):
        await reservations.place_hold(sessions, mentor, a_hold(one), mentor, NOW)
    for span in (one, other):
        await reservations.remove_hold(sessions, mentor, Hold(session.id, span, until))
    assert await spans(sessions, mentor) == [session.span]


# --- releasing


async def test_releasing_twice_is_fine(sessions: SessionStore) -> None:
    mentor, hold = a_mailbox(), a_hold()
    await reservations.place_hold(sessions, mentor, hold, a_mailbox(mentor.tenant_id), NOW)
    await reservations.release(sessions, mentor, hold.session_id)
    await reservations.release(sessions, mentor, hold.session_id)
    assert await spans(sessions, mentor) == []
    await reservations.place_hold(sessions, mentor, a_hold(), a_mailbox(mentor.tenant_id), NOW)


async def test_releasing_leaves_other_sessions_alone(sessions: SessionStore) -> None:
    mentor = a_mailbox()
    first, second = a_hold(a_span(at(9, day=1))), a_hold(a_span(at(10, day=1)))
    for hold in (first, second):
        await reservations.place_hold(sessions, mentor, hold, a_mailbox(mentor.tenant_id), NOW)
    await reservations.release(sessions, mentor, first.session_id)
    assert await sessions.holds(mentor, WEEK, NOW) == [second]


async def test_undoing_a_booking_leaves_nothing(sessions: SessionStore) -> None:
    session = a_session()
    hold = Hold(session.id, session.span, NOW + HOLD_TTL)
    await reservations.place_hold(sessions, attendee_of(session), hold, session.organizer, NOW)
    await reservations.create(sessions, session, NOW)
    for mailbox in session.mailboxes:
        await reservations.release(sessions, mailbox, session.id)
    for mailbox in session.mailboxes:
        assert await spans(sessions, mailbox) == []
        assert await page(sessions, mailbox) == []
    await booked(sessions, session)


async def test_a_booking_that_was_confirmed_is_not_undone(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    with pytest.raises(StaleRow):
        await reservations.release(sessions, session.organizer, session.id)
    assert await sessions.get(session.organizer, session.id) == session


async def test_purging_removes_every_row_and_counts_them(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session(span=a_span(at(23, 30, day=1), 60)))
    # In each of two mailboxes the row, the time index and two days; the organizer's event index.
    assert await reservations.purge(sessions, session) == 2 * 4 + 1
    assert await reservations.purge(sessions, session) == 0
    assert session.event_id is not None
    assert await sessions.find_by_event(session.organizer, session.event_id) is None
    for mailbox in session.mailboxes:
        assert await spans(sessions, mailbox) == []
        assert await page(sessions, mailbox) == []
        with pytest.raises(NotFound):
            await sessions.get(mailbox, session.id)


async def test_purging_leaves_a_day_that_others_hold(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    other = a_session(organizer=session.organizer, span=a_span(at(15, day=1)))
    await reservations.create(sessions, other, NOW)
    # The organizer's day stays; row, time index and event index go, and the attendee's three rows.
    assert await reservations.purge(sessions, session) == 3 + 3
    assert await spans(sessions, session.organizer) == [other.span]


# --- rows left by a crash


async def test_a_hold_without_a_session_is_no_session(sessions: SessionStore) -> None:
    mentor, hold = a_mailbox(), a_hold()
    await reservations.place_hold(sessions, mentor, hold, a_mailbox(mentor.tenant_id), NOW)
    assert await page(sessions, mentor) == []
    with pytest.raises(NotFound):
        await sessions.get(mentor, hold.session_id)


async def test_a_retry_goes_on_from_a_hold_left_behind(sessions: SessionStore) -> None:
    session = a_session()
    hold = Hold(session.id, session.span, NOW + HOLD_TTL)
    await reservations.place_hold(sessions, attendee_of(session), hold, session.organizer, NOW)
    retried = await booked(sessions, session)
    assert await spans(sessions, attendee_of(session)) == [session.span]
    assert await page(sessions, attendee_of(session)) == [retried.id]


# --- listing


async def test_sessions_are_listed_by_start_in_pages(sessions: SessionStore) -> None:
    organizer = a_mailbox()
    starts = [at(hour, day=day) for day in (3, 1, 2) for hour in (15, 9, 12)]
    for start in starts:
        await reservations.create(sessions, a_session(organizer=organizer, span=a_span(start)), NOW)
    seen, cursor, pages = [], None, 0
    while True:
        found, cursor = await sessions.list_by_mailbox(
            organizer, since=None, until=None, after=cursor, limit=4
        )
        seen += [session.span.start for session in found]
        pages += 1
        if cursor is None:
            break
    assert (seen, pages) == (sorted(starts), 3)


async def test_a_page_that_holds_just_all_has_no_cursor(sessions: SessionStore) -> None:
    organizer = a_mailbox()
    for hour in (9, 10):
        await reservations.create(
            sessions, a_session(organizer=organizer, span=a_span(at(hour))), NOW
        )
    _, cursor = await sessions.list_by_mailbox(
        organizer, since=None, until=None, after=None, limit=2
    )
    assert cursor is None


async def test_a_window_is_half_open(sessions: SessionStore) -> None:
    organizer = a_mailbox()
    ids = [
        (
            await reservations.create(
                sessions, a_session(organizer=organizer, span=a_span(at(hour))), NOW
            )
        ).id
        for hour in (9, 10, 11)
    ]
    assert await page(sessions, organizer, since=at(9), until=at(11)) == ids[:2]
    assert await page(sessions, organizer, since=at(10)) == ids[1:]
    assert await page(sessions, organizer, until=at(10)) == ids[:1]


async def test_own_and_others_sessions_are_listed_together(sessions: SessionStore) -> None:
    me = a_mailbox()
    mine = await booked(sessions, a_session(organizer=me, span=a_span(at(9, day=1))))
    theirs = await booked(sessions, a_session(me, span=a_span(at(11, day=1))))
    found, _ = await sessions.list_by_mailbox(me, since=None, until=None, after=None, limit=10)
    assert found == [mine, theirs]


async def test_a_session_that_moved_out_of_the_window_is_not_shown_in_it(
    sessions: SessionStore,
) -> None:
    session = await booked(sessions, a_session())
    await reservations.save(sessions, replace(session, span=a_span(at(9, day=5))))
    # The attendee's time index is not synced yet.
    assert await page(sessions, attendee_of(session), until=at(0, day=3)) == []


@pytest.mark.parametrize("cursor", ["%", "é", "AAAA" * 1000, "gICA"])
async def test_a_foreign_cursor_is_invalid(sessions: SessionStore, cursor: str) -> None:
    with pytest.raises(Invalid):
        await sessions.list_by_mailbox(a_mailbox(), since=None, until=None, after=cursor, limit=1)


async def test_a_year_of_weekly_sessions_is_held_and_listed(sessions: SessionStore) -> None:
    organizer, mentor = (pair := a_session()).organizer, attendee_of(pair)
    series = SeriesId(a_uuid())
    for week in range(52):
        await booked(
            sessions,
            a_session(
                mentor,
                organizer=organizer,
                span=a_span(at(10, day=1 + 7 * week)),
                series_id=series,
                occurrence=week,
            ),
        )
    found, _ = await sessions.list_by_mailbox(mentor, since=None, until=None, after=None, limit=60)
    assert [session.occurrence for session in found] == list(range(52))
    year = TimeSpan(at(0), at(0, day=366))
    assert len(await sessions.holds(organizer, year, NOW)) == 52


async def test_a_series_is_stored_and_found_by_its_event(sessions: SessionStore) -> None:
    series = a_series(event_id=an_event_id())
    stored = await reservations.put_series(sessions, series)
    assert stored.version
    assert replace(stored, version="") == series
    assert await sessions.get_series(series.organizer, series.id) == stored
    assert series.event_id
    assert await sessions.find_by_event(series.organizer, series.event_id) == stored


async def test_a_series_is_stored_once_and_over_what_was_read(sessions: SessionStore) -> None:
    series = a_series()
    first = await reservations.put_series(sessions, series)
    with pytest.raises(StaleRow):
        await reservations.put_series(sessions, series)
    second = await reservations.put_series(sessions, replace(first, state=SessionState.SCHEDULED))
    with pytest.raises(StaleRow):
        await reservations.put_series(sessions, first)
    assert await sessions.get_series(series.organizer, series.id) == second


async def test_removing_a_series_twice_is_fine(sessions: SessionStore) -> None:
    event_id = an_event_id()
    series = await reservations.put_series(sessions, a_series(event_id=event_id))
    assert await reservations.remove_series(sessions, series.organizer, series.id) == 2
    assert await reservations.remove_series(sessions, series.organizer, series.id) == 0
    assert await sessions.get_series(series.organizer, series.id) is None
    assert await sessions.find_by_event(series.organizer, event_id) is None


async def test_an_event_shows_a_session(sessions: SessionStore) -> None:
    session = await booked(sessions, a_session())
    assert session.event_id
    assert await sessions.find_by_event(session.organizer, session.event_id) == session
    assert await sessions.find_by_event(session.organizer, an_event_id()) is None


async def test_session_from_outlook_is_created_despite_other_holds(sessions: SessionStore) -> None:
    first = await booked(sessions, a_session())
    second = a_session(organizer=first.organizer)
    with pytest.raises(SlotTaken):
        await reservations.create(sessions, second, NOW)
    opened = await reservations.create(sessions, second, NOW, ignore_holds=True)
    assert await spans(sessions, first.organizer) == [first.span, opened.span]


async def test_a_hold_tells_whether_the_session_was_there(sessions: SessionStore) -> None:
    mailbox, hold = a_mailbox(), a_hold()
    organizer = a_mailbox(mailbox.tenant_id)
    assert await reservations.place_hold(sessions, mailbox, hold, organizer, NOW) is False
    assert await reservations.place_hold(sessions, mailbox, hold, organizer, NOW) is True


async def test_only_holds_of_that_attempt_are_released(sessions: SessionStore) -> None:
    mailbox, first = a_mailbox(), a_hold()
    organizer = a_mailbox(mailbox.tenant_id)
    later = NOW + HOLD_TTL + timedelta(milliseconds=1)
    second = replace(first, expires_at=later)
    await reservations.place_hold(sessions, mailbox, first, organizer, NOW)
    await reservations.place_hold(sessions, mailbox, second, organizer, NOW)
    await reservations.release(
        sessions, mailbox, first.session_id, only_expiring_at=first.expires_at
    )
    assert await sessions.holds(mailbox, WEEK, NOW) == [second]
    await reservations.release(sessions, mailbox, first.session_id, only_expiring_at=later)
    assert await sessions.holds(mailbox, WEEK, NOW) == []


# --- buffers


@pytest.mark.parametrize(
    ("start", "minutes", "is_refused"),
    [
        (at(11, day=1), 30, True),  # in the buffer after
        (at(11, 10, day=1), 30, True),
        (at(11, 15, day=1), 30, False),
        (at(9, 25, day=1), 30, True),  # in the buffer before
        (at(9, 20, day=1), 30, False),
    ],
)
async def test_a_session_keeps_others_away_by_its_buffers(
    sessions: SessionStore, start: datetime, minutes: int, *, is_refused: bool
) -> None:
    mentor, buffers = a_mailbox(), Buffers(timedelta(minutes=10), timedelta(minutes=15))
    first = a_session(mentor, span=a_span(at(10, day=1), 60), buffers=buffers)
    await booked(sessions, first)
    span = a_span(start, minutes)
    for other in (
        a_session(mentor, span=span),
        a_session(a_mailbox(mentor.tenant_id), organizer=mentor, span=span),
    ):
        if is_refused:
            with pytest.raises(SlotTaken):
                await booked(sessions, other)
        else:
            await booked(sessions, other)
            return


async def test_buffers_keep_others_away_over_midnight(sessions: SessionStore) -> None:
    mentor, buffers = a_mailbox(), Buffers(after=timedelta(minutes=15))
    await booked(sessions, a_session(mentor, span=a_span(at(23, day=1), 50), buffers=buffers))
    with pytest.raises(SlotTaken):
        await booked(sessions, a_session(mentor, span=a_span(at(0, day=2), 30)))
    await booked(sessions, a_session(mentor, span=a_span(at(0, 5, day=2), 30)))


async def test_a_race_for_neighbouring_times_keeps_the_buffers(sessions: SessionStore) -> None:
    mentor, buffers = a_mailbox(), Buffers(timedelta(minutes=15), timedelta(minutes=15))
    wanted = [
        a_session(mentor, span=a_span(at(10, 10 * n, day=1), 10), buffers=buffers) for n in range(6)
    ]
    done = await asyncio.gather(
        *(booked(sessions, session) for session in wanted), return_exceptions=True
    )
    held = await sessions.holds(mentor, WEEK, NOW)
    assert all(isinstance(one, Session | SlotTaken) for one in done), done
    assert len(held) == sum(isinstance(one, Session) for one in done) >= 1
    for earlier, later in pairwise(held):
        assert later.span.start - earlier.span.end >= timedelta(minutes=15)


@pytest.mark.parametrize("gap", [0, 10])
@pytest.mark.parametrize("buffers", [Buffers(FIFTEEN), Buffers(after=FIFTEEN)])
async def test_a_race_on_both_sides_of_midnight_keeps_the_buffers(
    sessions: SessionStore, buffers: Buffers, gap: int
) -> None:
    mentor = a_mailbox()
    before = a_session(mentor, span=a_span(at(23, day=1), 60 - gap), buffers=buffers)
    after = a_session(mentor, span=a_span(at(0, day=2), 30), buffers=buffers)
    done = await asyncio.gather(
        booked(sessions, before), booked(sessions, after), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in done) == ["Session", "SlotTaken"]
    (held,) = await sessions.holds(mentor, WEEK, NOW)
    assert held.buffers == buffers
