"""The entries of the change feed about lost mailboxes, and about sessions that cannot be read."""

from datetime import datetime

from shared.calendar_sync.unreadable import trouble_of
from shared.changes.model import Change, ChangeKind
from shared.organizations.lost_mailboxes import LostMailbox, Told
from shared.organizations.model import Organization
from shared.sessions.model import Cause, Session


def change_of_mailbox(
    lost: LostMailbox, organization: Organization, now: datetime, *, remedy: str = ""
) -> Change:
    """Return the entry about *lost*: of trouble if there is a *remedy*, else that it is over."""
    denied_since = organization.denied_since if lost.told is Told.TENANT else None
    object_id = lost.mailbox.object_id if denied_since is None else None
    if denied_since is None:
        id_ = f"{object_id};{lost.lost_since.isoformat()};{lost.issue}"
    else:  # the same for every mailbox of the tenant, so that the feed has it once
        id_ = f"tenant;{denied_since.isoformat()}"
    kind = ChangeKind.TROUBLE if remedy else ChangeKind.RECOVERED
    return Change(
        organization.id,
        now,
        kind,
        Cause.RECONCILIATION,
        detail=lost.issue,
        object_id=object_id,
        remedy=remedy,
        id=f"{id_};{kind}",
    )


def change_of_session(session: Session, error: Exception) -> Change:
    """Return the entry about one session that alone cannot be read, the same for every attempt."""
    word, remedy = trouble_of(error)
    since = session.unreadable_since or session.changed_at
    return Change(
        session.organization_id,
        session.changed_at,
        ChangeKind.TROUBLE,
        Cause.RECONCILIATION,
        session.pairing_id,
        session.id,
        detail=word,
        remedy=remedy,
        id=f"{session.id};unreadable;{since.isoformat()}",
    )
