"""The schedule of reconciliations, independent of change notifications."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.ids import SessionId
from shared.organizations.model import SyncMode
from shared.sessions.model import Session, SessionState
from shared.sessions.reconciliation_schedule import next_reconciliation, reconciliation_interval
from tests.builders import a_session

_AHEAD = st.timedeltas(timedelta(hours=7), timedelta(days=20))
_LATER = st.timedeltas(timedelta(0), timedelta(hours=6))
_SESSIONS = st.uuids().map(
    lambda number: a_session(id=SessionId(str(number)), state=SessionState.SCHEDULED)
)
_BACKGROUNDS = st.sampled_from(SyncMode)


@given(_SESSIONS, _AHEAD, _BACKGROUNDS)
def test_the_next_time_comes_within_the_rhythm(
    session: Session, ahead: timedelta, background: SyncMode
) -> None:
    now = session.span.start - ahead
    item = next_reconciliation(session, background, now)
    assert item is not None
    assert now < item.due_at <= now + reconciliation_interval(ahead, background)


@given(_SESSIONS, _AHEAD, _LATER, _BACKGROUNDS)
def test_next_time_is_the_same_until_it_comes(
    session: Session, ahead: timedelta, later: timedelta, background: SyncMode
) -> None:
    now = session.span.start - ahead
    first = next_reconciliation(session, background, now)
    assert first is not None
    if now + later >= first.due_at:
        return
    second = next_reconciliation(session, background, now + later)
    assert second is not None
    is_quicker = reconciliation_interval(ahead - later, background) < reconciliation_interval(
        ahead, background
    )
    assert second == first or (is_quicker and second.due_at < first.due_at)


def test_sessions_are_read_at_different_times() -> None:
    now = a_session().span.start - timedelta(days=10)
    sessions = [a_session(state=SessionState.SCHEDULED) for _ in range(200)]
    items = [next_reconciliation(each, SyncMode.PUSH, now) for each in sessions]
    hours = [(item.due_at - now) // timedelta(hours=1) for item in items if item]
    assert all(10 < hours.count(hour) < 70 for hour in range(6))
