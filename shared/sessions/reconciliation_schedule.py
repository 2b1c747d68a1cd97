"""When a session is looked at again, and what comes due with it. Pure."""

import zlib
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
"""Every rhythm is a multiple of the shorter ones, so that their times of one session coincide."""
_SECOND = timedelta(seconds=1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def reconciliation_interval(starts_in: timedelta, background: SyncMode) -> timedelta:
    """Return how often a session that starts in *starts_in* is read again, besides push."""
    if background is SyncMode.POLL:
        return _POLL_EVERY
    return next((every for within, every in _RHYTHM if starts_in <= within), _LONG_TERM_INTERVAL)


def next_reconciliation(session: Session, background: SyncMode, now: datetime) -> DueItem | None:
    """Return when *session* is to be read next; None when it is over or cancelled.

    A session has its own times to be read at, far from other sessions': whoever asks, and however
    often, before the next of them gets the same item. So a job that two workers do, a move and a
    reading out of turn do not make it be read more often ever after.
    """
    if session.state is not SessionState.SCHEDULED or session.span.end <= now:
        return None
    every = reconciliation_interval(session.span.start - now, background)
    return DueItem(
        _next_slot(session, every, now),
        DueKind.RECONCILIATION,
        session.organization_id,
        session.organizer,
        session.id,
    )


def _next_slot(session: Session, every: timedelta, now: datetime) -> datetime:
    """Return the first of the session's own times after *now*, at most *every* away."""
    own = timedelta(seconds=zlib.crc32(session.id.encode()) % (_LONG_TERM_INTERVAL // _SECOND))
    return now + every - (now - _EPOCH - own) % every


def purge_due_item(session: Session, settings: OrganizationSettings) -> DueItem:
    """Return when every row of *session* is to go."""
    return DueItem(
        session.span.end + settings.retention,
        DueKind.PURGE,
        session.organization_id,
        session.organizer,
        session.id,
    )
