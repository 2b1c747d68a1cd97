"""A process's cache of its own writes must not hide the writes of other processes."""

from dataclasses import replace

import pytest

from shared.adapters.tables.changes import TableChanges
from shared.adapters.tables.client import Tables
from shared.adapters.tables.sessions import TableSessions
from shared.errors import SlotTaken, StaleRow
from shared.ids import Mailbox
from shared.sessions import reservations
from shared.sessions.holds import Hold
from shared.sessions.model import HOLD_TTL, Session, SessionState
from shared.timespan import TimeSpan
from tests.builders import NOW, a_hold, a_mailbox, a_session, a_span, an_event_id, at
from tests.contract.test_sessions import WEEK

LATER = a_span(at(15, day=1))


@pytest.fixture
def here(tables: Tables) -> TableSessions:
    return TableSessions(tables, TableChanges(tables))


@pytest.fixture
def elsewhere(tables: Tables) -> TableSessions:
    return TableSessions(tables, TableChanges(tables))


async def begun(here: TableSessions) -> Session:
    """Hold the time and open a session, as booking does before it calls Outlook."""
    mentor = a_mailbox()
    session = replace(
        a_session(mentor, organizer=a_mailbox(mentor.tenant_id)), state=SessionState.REQUESTED
    )
    session = replace(session, held_until=NOW + HOLD_TTL)
    await reservations.place_hold(
        here, mentor, Hold(session.id, session.span, NOW + HOLD_TTL), session.organizer, NOW
    )
    return await reservations.create(here, session, NOW)


def confirmed(session: Session) -> Session:
    return replace(session, state=SessionState.SCHEDULED, event_id=an_event_id(), held_until=None)


async def held(sessions: TableSessions, mailbox: Mailbox) -> list[TimeSpan]:
    """Return the holds without an expiry."""
    return [h.span for h in await sessions.holds(mailbox, WEEK, NOW) if h.expires_at is None]


async def finish(here: TableSessions, session: Session) -> Session:
    saved = await reservations.save(here, confirmed(session))
    await reservations.sync_mailbox(here, session.mailboxes[0], saved)
    return saved


async def test_a_hold_that_somebody_took_meanwhile_stays(
    here: TableSessions, elsewhere: TableSessions
) -> None:
    session = await begun(here)
    for mailbox in session.mailboxes:
        other = a_hold(LATER, expires_at=None)
        await reservations.place_hold(elsewhere, mailbox, other, a_mailbox(mailbox.tenant_id), NOW)
    await finish(here, session)
    for mailbox in session.mailboxes:
        assert await held(elsewhere, mailbox) == [session.span, LATER]


async def test_a_hold_that_was_released_meanwhile_is_taken_again(
    here: TableSessions, elsewhere: TableSessions
) -> None:
    session = await begun(here)
    await reservations.release(elsewhere, session.mailboxes[0], session.id)
    await finish(here, session)
    assert await held(elsewhere, session.mailboxes[0]) == [session.span]


async def test_save_of_a_row_removed_meanwhile_is_stale(
    here: TableSessions, elsewhere: TableSessions
) -> None:
    session = await begun(here)
    await reservations.release(elsewhere, session.organizer, session.id)
    with pytest.raises(StaleRow):
        await reservations.save(here, confirmed(session))
    assert await elsewhere.holds(session.organizer, WEEK, NOW) == []


async def test_save_of_a_row_finished_meanwhile_is_stale(
    here: TableSessions, elsewhere: TableSessions
) -> None:
    session = await begun(here)
    done = await finish(elsewhere, session)
    with pytest.raises(StaleRow):
        await reservations.save(here, confirmed(session))
    assert await elsewhere.get(session.organizer, session.id) == done


async def test_later_sync_is_not_undone_by_an_earlier_one(
    here: TableSessions, elsewhere: TableSessions
) -> None:
    session = await begun(here)
    done = await reservations.save(here, confirmed(session))
    moved = await reservations.save(elsewhere, replace(done, span=LATER, changed_at=at(9, day=1)))
    await reservations.sync_mailbox(elsewhere, session.mailboxes[0], moved)
    await reservations.sync_mailbox(here, session.mailboxes[0], done)
    assert await held(elsewhere, session.mailboxes[0]) == [LATER]


async def test_a_session_that_is_there_is_not_opened_again(
    here: TableSessions, elsewhere: TableSessions
) -> None:
    session = await begun(elsewhere)
    with pytest.raises(StaleRow):
        await reservations.create(here, session, NOW)


async def test_a_hold_that_is_there_is_noticed(
    here: TableSessions, elsewhere: TableSessions
) -> None:
    session = await begun(elsewhere)
    longer = Hold(session.id, session.span, NOW + 2 * HOLD_TTL)
    assert await reservations.place_hold(here, session.mailboxes[0], longer, session.organizer, NOW)
    assert await here.holds(session.mailboxes[0], WEEK, NOW) == [longer]
    with pytest.raises(SlotTaken):
        await reservations.place_hold(here, session.mailboxes[0], a_hold(), session.organizer, NOW)
