"""The cost of listing and booking in storage operations: counts have no noise."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.adapters.tables.changes import TableChanges
from shared.adapters.tables.client import Tables
from shared.adapters.tables.sessions import TableSessions
from shared.concurrency import gather_limited
from shared.ids import Mailbox
from shared.sessions import reservations
from shared.sessions.holds import Hold
from shared.sessions.listing import list_sessions
from shared.sessions.model import HOLD_TTL, SessionState
from tests.builders import NOW, a_mailbox, a_session, a_span, at
from tests.contract.test_sessions import booked

PAST = 500


class CountingTables(Tables):
    """Counts the requests to the service and the rows returned."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables._service)
        self.counts: Counter[str] = Counter()

    async def get(self, table: str, key: Any, select: Sequence[str] = ()) -> Any:
        self.counts["point reads"] += 1
        return await super().get(table, key, select)

    async def transact(self, table: str, changes: Sequence[Any]) -> list[str]:
        self.counts["transactions"] += 1
        return await super().transact(table, changes)

    async def between(self, table: str, rows: Any, limit: int, **options: Any) -> Any:
        found = await super().between(table, rows, limit, **options)
        self.counts["queries"] += 1
        self.counts["rows listed"] += len(found)
        return found


async def with_past(sessions: TableSessions, mailbox: Mailbox) -> None:
    other = a_mailbox(mailbox.tenant_id)
    past = [
        a_session(other, organizer=mailbox, span=a_span(NOW - timedelta(days=number, hours=1)))
        for number in range(PAST)
    ]
    await gather_limited(reservations.create(sessions, session, NOW) for session in past)


async def test_past_sessions_cost_no_request(tables: Tables) -> None:
    counting = CountingTables(tables)
    sessions, mailbox = TableSessions(counting, TableChanges(counting)), a_mailbox()
    await with_past(sessions, mailbox)
    ahead = a_session(a_mailbox(mailbox.tenant_id), organizer=mailbox)
    await reservations.create(sessions, ahead, NOW)
    counting.counts.clear()
    found, cursor = await list_sessions(
        mailbox, since=NOW, until=None, state=None, after=None, limit=50, sessions=sessions
    )
    assert [session.id for session in found] == [ahead.id]
    assert cursor is None
    assert counting.counts == {"queries": 1, "rows listed": 1, "point reads": 1}


async def test_a_page_costs_what_is_on_it(tables: Tables) -> None:
    counting = CountingTables(tables)
    sessions, mailbox = TableSessions(counting, TableChanges(counting)), a_mailbox()
    await with_past(sessions, mailbox)
    counting.counts.clear()
    page, cursor = await list_sessions(
        mailbox,
        since=None,
        until=None,
        state=SessionState.REQUESTED,
        after=None,
        limit=20,
        sessions=sessions,
    )
    assert len(page) == 20
    assert cursor is not None
    assert counting.counts == {"queries": 1, "rows listed": 21, "point reads": 20}


async def test_a_booking_reads_a_day_of_each_once(tables: Tables) -> None:
    counting = CountingTables(tables)
    sessions, mentor = TableSessions(counting, TableChanges(counting)), a_mailbox()
    await booked(sessions, a_session(mentor, organizer=a_mailbox(mentor.tenant_id)))
    # The confirmation uses the cached write of the hold. One read and one transaction are the
    # change feed's, and another one empties the outbox.
    assert counting.counts == {"point reads": 3, "transactions": 6}


async def test_a_move_right_after_a_booking_reads_one_day_of_each(tables: Tables) -> None:
    counting = CountingTables(tables)
    sessions, mentor = TableSessions(counting, TableChanges(counting)), a_mailbox()
    session = await booked(sessions, a_session(mentor, organizer=a_mailbox(mentor.tenant_id)))
    counting.counts.clear()
    to = Hold(session.id, a_span(at(9, day=4)), NOW + HOLD_TTL)
    for mailbox in session.mailboxes:
        await reservations.hold_new_time(sessions, mailbox, session, to, NOW)
    moved = await reservations.save(sessions, replace(session, span=to.span))
    await reservations.sync_mailbox(sessions, mentor, moved)
    # No other process has written to the change feed: its counter is not read again.
    assert counting.counts == {"point reads": 2, "transactions": 6}
