"""The outbox of a session's row: the feed has every change once, whatever fails."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from shared.adapters.tables import keys
from shared.adapters.tables.changes import TableChanges
from shared.adapters.tables.client import Tables
from shared.adapters.tables.keys import CHANGES, MAILBOXES
from shared.adapters.tables.sessions import TableSessions
from shared.changes.model import Change, ChangeKind
from shared.changes.ports import ChangeStore
from shared.errors import StoreUnavailable
from shared.sessions import reservations
from shared.sessions.model import AttendeeResponse, ResponseState, Session, SessionState
from shared.sessions.ports import SessionStore
from tests.builders import NOW, a_session, an_event_id, at
from tests.fakes import InMemorySessions
from tests.feed import assert_feed_matches

ACCEPTED = AttendeeResponse(ResponseState.ACCEPTED, NOW)


class FailingChanges:
    """A change feed whose next *failures* appends fail, stored or not."""

    def __init__(self, changes: ChangeStore, failures: int = 1, *, happens: bool = False) -> None:
        self.inner, self.failures, self.happens = changes, failures, happens

    async def append(self, changes: Iterable[Change]) -> None:
        """Append, unless it is to fail."""
        changes, self.failures = list(changes), self.failures - 1
        if self.failures < 0 or self.happens:
            await self.inner.append(changes)
        if self.failures >= 0:
            raise StoreUnavailable("No answer.")


@pytest.fixture
def feed(changes: ChangeStore) -> FailingChanges:
    return FailingChanges(changes)


@pytest.fixture
def failing(
    on_storage: Tables | None, feed: FailingChanges, sessions: SessionStore
) -> SessionStore:
    """Return another worker's store, of the same sessions, whose feed fails once."""
    if on_storage:
        return TableSessions(on_storage, feed)  # type: ignore[arg-type]  # it appends, that is all
    assert isinstance(sessions, InMemorySessions)
    other = InMemorySessions(feed)  # type: ignore[arg-type]
    other.ledgers = sessions.ledgers
    return other


def scheduled(session: Session) -> Session:
    return replace(session, state=SessionState.SCHEDULED, event_id=an_event_id(), held_until=None)


def accepted(session: Session) -> Session:
    return session.with_response(session.attendees[0].address, ACCEPTED)


async def all_of(changes: ChangeStore, session: Session) -> list[Change]:
    return list((await changes.after(session.organization_id, None, 100))[0])


@pytest.mark.parametrize("happens", [False, True], ids=["refused", "unanswered"])
async def test_what_the_feed_did_not_take_is_told_by_the_next_reader(
    changes: ChangeStore,
    sessions: SessionStore,
    failing: SessionStore,
    feed: FailingChanges,
    *,
    happens: bool,
) -> None:
    feed.happens = happens
    opened = await reservations.create(failing, a_session(), NOW)
    with pytest.raises(StoreUnavailable):
        await reservations.save(failing, scheduled(opened))
    for _ in range(2):
        stored = await sessions.get(opened.organizer, opened.id)
        assert_feed_matches(await all_of(changes, opened), [stored])


async def test_a_later_change_comes_after_the_one_that_was_not_told(
    changes: ChangeStore, sessions: SessionStore, failing: SessionStore, feed: FailingChanges
) -> None:
    feed.failures = 2
    opened = await reservations.create(failing, a_session(), NOW)
    with pytest.raises(StoreUnavailable):
        await reservations.save(failing, scheduled(opened))
    with pytest.raises(StoreUnavailable):
        await failing.get(opened.organizer, opened.id)
    (stored,), _ = await failing.list_by_mailbox(
        opened.organizer, since=None, until=None, after=None, limit=1
    )
    stored = await reservations.save(sessions, replace(accepted(stored), changed_at=at(9)))
    told = await all_of(changes, opened)
    assert [change.kind for change in told] == [ChangeKind.SCHEDULED, ChangeKind.RESPONDED]
    assert_feed_matches(told, [stored])


async def test_many_workers_tell_it_once(
    changes: ChangeStore, sessions: SessionStore, failing: SessionStore
) -> None:
    opened = await reservations.create(failing, a_session(), NOW)
    with pytest.raises(StoreUnavailable):
        await reservations.save(failing, scheduled(opened))
    await asyncio.gather(
        *(store.get(opened.organizer, opened.id) for store in (sessions, failing) * 3)
    )
    assert_feed_matches(
        await all_of(changes, opened), [await sessions.get(opened.organizer, opened.id)]
    )


async def test_a_save_that_nobody_can_see_is_not_told(
    changes: ChangeStore, sessions: SessionStore
) -> None:
    opened = await reservations.create(sessions, a_session(), NOW)
    saved = await reservations.save(sessions, scheduled(opened))
    again = await reservations.save(sessions, replace(saved, event_etag="new", changed_at=at(9)))
    assert again.revision == saved.revision
    assert [change.kind for change in await all_of(changes, opened)] == [ChangeKind.SCHEDULED]


async def test_the_row_keeps_nothing_that_was_told(tables: Tables) -> None:
    sessions = TableSessions(tables, TableChanges(tables))
    opened = await reservations.create(sessions, a_session(), NOW)
    saved = await reservations.save(sessions, scheduled(opened))
    row = await tables.get(MAILBOXES, keys.session(saved.organizer, saved.id))
    assert row is not None
    assert "outbox" not in row.values
    assert row.etag == saved.version


async def test_a_kind_of_a_newer_release_is_passed_on(tables: Tables) -> None:
    changes, session = TableChanges(tables), a_session()
    await changes.append([Change(session.organization_id, NOW, "session.restored", "outlook")])
    (read,) = await all_of(changes, session)
    assert read.kind == "session.restored"


async def test_a_removed_change_leaves_no_row(tables: Tables) -> None:
    changes, session = TableChanges(tables), a_session()
    await changes.append(
        [Change(session.organization_id, NOW, ChangeKind.TROUBLE, "api") for _ in range(60)]
    )
    await changes.delete(session.organization_id, before=at(9))
    partition = keys.change_counter(session.organization_id).partition
    left = await tables.first(CHANGES, "PartitionKey eq @p", {"p": partition}, 200)
    assert [row.key.row for row in left] == ["counter"]
