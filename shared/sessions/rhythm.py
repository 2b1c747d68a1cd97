"""When a session is looked at again, and what comes due with it. Pure."""

from datetime import datetime, timedelta

from shared.due import DueItem, DueKind
from shared.organizations.model import Background, OrganizationSettings
from shared.sessions.model import Session, SessionState

_POLL_EVERY = timedelta(minutes=5)
_RHYTHM = (
    (timedelta(hours=24), timedelta(minutes=15)),
    (timedelta(days=7), timedelta(hours=1)),
)
_BEYOND_EVERY = timedelta(hours=6)


def reconcile_every(starts_in: timedelta, background: Background) -> timedelta:
    """Return how often a session that starts in *starts_in* is read again, besides push."""
    if background is Background.POLL:
        return _POLL_EVERY
    return next((every for within, every in _RHYTHM if starts_in <= within), _BEYOND_EVERY)


def next_reconciliation(session: Session, background: Background, now: datetime) -> DueItem | None:
    """Return when *session* is to be read next; None when it is over or cancelled."""
    if session.state is not SessionState.SCHEDULED or session.span.end <= now:
        return None
    every = reconcile_every(session.span.start - now, background)
    return DueItem(
        now + every,
        DueKind.RECONCILIATION,
        session.organization_id,
        session.organizer,
        session.id,
    )


def purge_item(session: Session, settings: OrganizationSettings) -> DueItem:
    """Return when every row of *session* is to go."""
    return DueItem(
        session.span.end + settings.retention,
        DueKind.PURGE,
        session.organization_id,
        session.organizer,
        session.id,
    )
