"""The operations of a mailbox's ledger, each as one transaction in a store. All are idempotent.

Every function may raise StoreUnavailable, and the errors of its operation in `ledger`, which leave
the store unchanged.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Final

from shared.ids import Mailbox, SeriesId, SessionId
from shared.sessions import ledger
from shared.sessions.holds import Hold, mailbox_holds, session_holds
from shared.sessions.ledger import LedgerChange, SeriesKey
from shared.sessions.model import Session
from shared.sessions.outbox import Origin
from shared.sessions.ports import SessionStore
from shared.sessions.series import Series
from shared.timespan import TimeSpan

_API: Final = Origin()


async def place_hold(
    store: SessionStore, mailbox: Mailbox, hold: Hold, organizer: Mailbox, now: datetime
) -> bool:
    """Place *hold* in an attendee's *mailbox*, with the pointer and the time index row.

    Returns whether the mailbox had the session before: another attempt at the same booking placed
    it, so this attempt may not remove it.
    """
    change = await store.change(
        mailbox,
        hold.session_id,
        _spans([hold]),
        partial(ledger.place_hold, hold=hold, organizer=organizer, now=now),
        expects_new=True,
    )
    return hold.session_id in change.before.sessions


async def create(
    store: SessionStore, session: Session, now: datetime, *, ignore_holds: bool = False
) -> Session:
    """Place the hold in the organizer's mailbox and store the new (requested) session."""
    decide = partial(ledger.create, session=session, now=now, ignore_holds=ignore_holds)
    spans = _spans(session_holds(session))
    return _stored(
        session,
        await store.change(session.organizer, session.id, spans, decide, expects_new=True),
    )


async def save(store: SessionStore, session: Session, origin: Origin = _API) -> Session:
    """Replace the stored session, its holds and its listing in the organizer's mailbox.

    Publishes the changes in the change feed. After StoreUnavailable the session may be saved; the
    next reader publishes then.

    Raises StaleRow if *session.version* is not the stored one.
    """
    (published,) = await store.publish([await save_unpublished(store, session, origin)])
    return published


async def save_unpublished(store: SessionStore, session: Session, origin: Origin = _API) -> Session:
    """Save like `save`; the caller publishes the changes of several sessions at once."""
    # No spans: days are read only if the session's holds have changed.
    decide = partial(ledger.save, session=session, origin=origin)
    return _stored(session, await store.change(session.organizer, session.id, (), decide))


async def sync_mailbox(store: SessionStore, mailbox: Mailbox, session: Session) -> None:
    """Copy the session's holds, pointer and time index into an attendee's mailbox.

    Keeps the holds of a pending reschedule. Ignored if a later *changed_at* was synced: workers
    overtake each other. Does nothing for the organizer's own mailbox, which `save` has written.
    """
    if mailbox == session.organizer:
        return
    spans = _spans(mailbox_holds(session, mailbox))
    await store.change(mailbox, session.id, spans, partial(ledger.sync_mailbox, session=session))


async def hold_new_time(
    store: SessionStore, mailbox: Mailbox, session: Session, to: Hold, now: datetime
) -> None:
    """Place *to* beside the holds of *session* in *mailbox*, which may be the organizer's."""
    decide = partial(ledger.hold_new_time, session=session, to=to, now=now)
    await store.change(mailbox, session.id, [session.span, to.kept_free], decide)


async def remove_hold(store: SessionStore, mailbox: Mailbox, hold: Hold) -> None:
    """Remove exactly *hold* from *mailbox*, if it still has it."""
    decide = partial(ledger.remove_hold, hold=hold)
    await store.change(mailbox, hold.session_id, [hold.kept_free], decide)


async def release(
    store: SessionStore,
    mailbox: Mailbox,
    session_id: SessionId,
    *,
    only_expiring_at: datetime | None = None,
) -> None:
    """Undo a booking in *mailbox*: remove the session's holds and rows."""
    decide = partial(ledger.release, session_id=session_id, only_expiring_at=only_expiring_at)
    await store.change(mailbox, session_id, (), decide)


async def purge(store: SessionStore, session: Session) -> int:
    """Remove every row of *session* in every mailbox; return how many rows.

    The row of a day is included if no other session has a hold on that day.
    """
    removed = 0
    for mailbox in session.mailboxes:  # the organizer's last: a retry finds the others by it
        decide = partial(ledger.remove, session_id=session.id)
        removed += _removed(await store.change(mailbox, session.id, (), decide))
    return removed


async def put_series(store: SessionStore, series: Series) -> Series:
    """Store *series*, and its master in the event index. A new series has no *version*."""
    change = await store.change(
        series.organizer,
        SeriesKey(series.id),
        (),
        partial(ledger.put_series, series=series),
        expects_new=not series.version,
    )
    return change.after.series[series.id]


async def remove_series(store: SessionStore, mailbox: Mailbox, series_id: SeriesId) -> int:
    """Remove the series' own rows, not its sessions; return how many rows."""
    decide = partial(ledger.remove_series, series_id=series_id)
    return _removed(await store.change(mailbox, SeriesKey(series_id), (), decide))


def _stored(session: Session, change: LedgerChange) -> Session:
    stored = change.after.sessions[session.id]
    if not isinstance(stored, Session):
        raise TypeError("the stored row is no session")
    return stored


def _removed(change: LedgerChange) -> int:
    return change.before.row_count - change.after.row_count


def _spans(holds: Iterable[Hold]) -> list[TimeSpan]:
    return [hold.kept_free for hold in holds]
