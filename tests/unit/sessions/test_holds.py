"""The rules of holds: which time a session holds, and when holds conflict."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.availability.model import Buffers
from shared.sessions.holds import (
    MAX_HELD_DAYS,
    Hold,
    conflicting_hold,
    days_of_holds,
    held_days,
    holds_during_move,
    is_confirmed,
    mailbox_holds,
    session_holds,
)
from shared.sessions.model import HOLD_TTL, SessionState
from shared.timespan import TimeSpan
from tests.builders import NOW, a_hold, a_session, a_span, at

starts = st.integers(0, 40).map(lambda n: at(0) + timedelta(hours=n))
BUFFERS = st.builds(Buffers, *[st.integers(0, 24).map(lambda n: timedelta(minutes=5 * n))] * 2)
spans = st.builds(TimeSpan.lasting, starts, st.integers(1, 80).map(lambda n: timedelta(hours=n)))


def test_a_requested_session_holds_until_it_runs_out() -> None:
    session = a_session(held_until=NOW + timedelta(minutes=3))
    assert session_holds(session) == (Hold(session.id, session.span, NOW + timedelta(minutes=3)),)


def test_unconfirmed_hold_always_expires() -> None:
    session = a_session(held_until=None)
    assert session_holds(session)[0].expires_at == session.changed_at + HOLD_TTL
    moving = a_session(state=SessionState.SCHEDULED, pending_span=a_span(at(15, day=2)))
    assert session_holds(moving)[1].expires_at == moving.changed_at + HOLD_TTL


def test_a_scheduled_session_holds_for_good() -> None:
    session = a_session(state=SessionState.SCHEDULED)
    assert session_holds(session) == (Hold(session.id, session.span),)


def test_a_cancelled_session_holds_nothing() -> None:
    session = a_session(state=SessionState.CANCELLED, pending_span=a_span())
    assert session_holds(session) == ()


def test_besides_its_own_time_it_holds_one_other() -> None:
    session = a_session(state=SessionState.SCHEDULED, pending_span=a_span(at(15, day=2)))
    to = a_hold(session_id=session.id)
    organizer = session.organizer
    assert holds_during_move(session, to, organizer, [], NOW) == (
        Hold(session.id, session.span),
        to,
    )
    cancelled = replace(session, state=SessionState.CANCELLED)
    assert holds_during_move(cancelled, to, organizer, [], NOW) == (to,)


@pytest.mark.parametrize(
    ("now", "then", "held"),
    [
        (True, None, ["now", "then"]),
        (True, True, ["now", "then"]),
        (True, False, ["now"]),
        (False, None, []),
        (False, True, ["then"]),
        (False, False, []),
    ],
)
def test_of_an_attendee_it_holds_what_they_are_free_for(
    *, now: bool, then: bool | None, held: list[str]
) -> None:
    span, wanted = a_span(at(10, day=1)), a_span(at(15, day=2))
    session = a_session(state=SessionState.SCHEDULED, span=span, pending_span=wanted)
    attendee = replace(session.attendees[0], is_free=now, is_free_at_pending=then)
    session = replace(session, attendees=(attendee,))
    spans = {"now": span, "then": wanted}
    mailbox = session.mailboxes[0]
    assert [hold.span for hold in mailbox_holds(session, mailbox)] == [spans[h] for h in held]
    done = replace(session.with_pending_move_resolved(applied=True), span=wanted)
    expected = [wanted] if (now if then is None else then) else []
    assert [hold.span for hold in mailbox_holds(done, mailbox)] == expected
    undone = session.with_pending_move_resolved(applied=False)
    assert [hold.span for hold in mailbox_holds(undone, mailbox)] == ([span] if now else [])


def test_days_are_capped() -> None:
    year = TimeSpan(at(0), at(0, day=365))
    assert held_days([year]) == year.days()[:MAX_HELD_DAYS]
    assert held_days([]) == []


@given(spans, spans)
def test_spans_that_overlap_share_a_held_day(one: TimeSpan, other: TimeSpan) -> None:
    """So a conflict is found by reading the rows of the span's days only."""
    if one.overlaps(other):
        assert set(held_days([one])) & set(held_days([other]))


@given(spans, spans, st.integers(-1, 1))
def test_holds_collide_if_they_overlap_and_count(
    held: TimeSpan, wanted: TimeSpan, minutes: int
) -> None:
    hold = a_hold(held, expires_at=NOW + timedelta(minutes=minutes))
    found = conflicting_hold([hold], a_hold(wanted), NOW)
    assert (found == hold) is (held.overlaps(wanted) and minutes > 0)
    assert conflicting_hold([hold], replace(hold, span=wanted), NOW) is None


@given(spans, spans, BUFFERS, BUFFERS)
def test_holds_keep_the_longer_of_both_buffers_between_them(
    one: TimeSpan, other: TimeSpan, buffers: Buffers, theirs: Buffers
) -> None:
    wanted, held = a_hold(one, buffers=buffers), a_hold(other, buffers=theirs)
    first, second = sorted([wanted, held], key=lambda hold: hold.span)
    gap = max(first.buffers.after, second.buffers.before)
    is_kept_out = conflicting_hold([held], wanted, NOW) is not None
    assert is_kept_out is (first.span.end + gap > second.span.start)
    assert is_kept_out is (conflicting_hold([wanted], held, NOW) is not None)
    if is_kept_out:
        assert set(days_of_holds([wanted])) & set(days_of_holds([held]))


def test_only_the_same_span_for_good_is_confirmed() -> None:
    wanted = a_hold()
    confirmed = replace(wanted, expires_at=None)
    assert is_confirmed([confirmed], wanted)
    assert not is_confirmed([wanted], wanted)
    assert not is_confirmed([replace(confirmed, span=a_span(at(12, day=1)))], wanted)
    assert not is_confirmed([replace(confirmed, session_id=a_hold().session_id)], wanted)
