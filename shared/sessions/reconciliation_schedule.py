"""The due items of a session: its next reconciliation and its purge. Pure."""

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from shared.jobs import DueItem, DueKind
from shared.organizations.model import OrganizationSettings, SyncMode
from shared.sessions.model import Session, SessionState

_POLL_EVERY = timedelta(minutes=5)
_RHYTHM = (
    (timedelta(hours=24), timedelta(minutes=15)),
    (timedelta(days=7), timedelta(hours=1)),
)
_LONG_TERM_INTERVAL = timedelta(hours=6)
"""Every interval is a multiple of the shorter ones, so that a session's due times coincide."""
_MISSING_RHYTHM = (
    (timedelta(minutes=15), timedelta(minutes=5)),
    (timedelta(hours=1), timedelta(minutes=15)),
    (timedelta(days=1), timedelta(hours=1)),
)
"""By the time since its event is missing. People restore soon what they deleted by mistake."""
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def reconciliation_interval(starts_in: timedelta, background: SyncMode) -> timedelta:
    """Return the interval between reconciliations of a session that starts in *starts_in*.

    Change notifications come in addition, unless *background* is polling.
    """
    if background is SyncMode.POLL:
        return _POLL_EVERY
    return _interval(_RHYTHM, starts_in)


def next_reconciliation(session: Session, background: SyncMode, now: datetime) -> DueItem | None:
    """Return the next due item for *session*; None if it is over, or cancelled for good.

    Idempotent: due times lie on a grid per session, offset by a hash of its id, so that scheduling
    again before the next due time returns the same item. A job run by two workers, a move or an
    extra read therefore starts no second chain of reconciliations. The offset also spreads sessions
    over time.
    """
    if session.span.end <= now:
        return None
    if session.may_return and session.missing_since is not None:
        every = _interval(_MISSING_RHYTHM, now - session.missing_since)
    elif session.state is SessionState.SCHEDULED:
        every = reconciliation_interval(session.span.start - now, background)
    else:
        return None
    return DueItem(
        _next_slot(session, every, now),
        DueKind.RECONCILIATION,
        session.organization_id,
        session.organizer,
        session.id,
    )


def purge_due_item(session: Session, settings: OrganizationSettings) -> DueItem:
    """Return the due item by which every row of *session* is removed after its retention."""
    return DueItem(
        session.span.end + settings.retention,
        DueKind.PURGE,
        session.organization_id,
        session.organizer,
        session.id,
    )


def _interval(rhythm: Sequence[tuple[timedelta, timedelta]], duration: timedelta) -> timedelta:
    return next((every for within, every in rhythm if duration <= within), _LONG_TERM_INTERVAL)


def _next_slot(session: Session, every: timedelta, now: datetime) -> datetime:
    """Return the first time on the session's grid after *now*, at most *every* later."""
    own = timedelta(seconds=zlib.crc32(session.id.encode()) % (_LONG_TERM_INTERVAL // _SECOND))
    return now + every - (now - _EPOCH - own) % every
