"""What the queue worker does with what Graph said."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from shared.attendees.recording import record_change
from shared.errors import ConsentMissing, MailboxUnusable, NotFound, StaleRow
from shared.ids import Mailbox
from shared.logs import log_event
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.organizations.access import is_stopped
from shared.organizations.model import Organization
from shared.organizations.ports import OrganizationStore
from shared.sessions.booking import Books
from shared.subscriptions.upkeep import (
    Following,
    ensure_subscription,
    reconcile_mailbox,
    renew_now,
)
from shared.together import together

if TYPE_CHECKING:
    from shared.sessions.model import Session
    from shared.sessions.series import Series

AT_ONCE: Final = 4
"""Events of one mailbox looked at together: as many requests as Exchange takes of one mailbox.
https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits"""


async def dispatch(
    changes: Sequence[MailboxChanges],
    received_at: datetime,
    *,
    books: Books,
    following: Following,
    organizations: OrganizationStore,
) -> None:
    """Handle one message: foreign events cost a row read, ours one Graph call each.

    Safe to run twice, also at the same time.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: the message is to come back.
    """
    tenants = dict.fromkeys(change.mailbox.tenant_id for change in changes)
    known = {tenant: await organizations.of_tenant(tenant) for tenant in tenants}
    for change in changes:
        organization = known[change.mailbox.tenant_id]
        if organization is None or is_stopped(organization):
            continue
        await _follow(change, organization, books)
        await _lifecycle(change, organization, following)
        if change.events:
            await _note_push(change, received_at, following)


async def _follow(change: MailboxChanges, organization: Organization, books: Books) -> None:
    states = Counter(
        await together(
            (_follow_one(change.mailbox, event, organization, books) for event in change.events),
            at_once=AT_ONCE,
        )
    )
    for state, count in states.items():
        log_event("notification.handled", state=state, count=count)


async def _follow_one(
    mailbox: Mailbox, event: ChangedEvent, organization: Organization, books: Books
) -> str:
    """Return whose the event turned out to be: `ours`, `foreign`, or `gone`."""
    try:
        ours: Session | Series | None = await record_change(
            mailbox,
            event.event_id,
            None if event.deleted else event.etag,
            organization,
            books=books,
        )
    except (ConsentMissing, MailboxUnusable, NotFound) as gone:
        log_event("notification.dropped", object_id=mailbox.object_id, reason=type(gone).__name__)
        return "gone"
    return "ours" if ours else "foreign"


async def _lifecycle(
    change: MailboxChanges, organization: Organization, following: Following
) -> None:
    for event in change.lifecycle:
        log_event("lifecycle.seen", action=event, subscription_id=change.subscription_id)
        known = await following.subscriptions.get(change.mailbox)
        if event == "missed":
            await reconcile_mailbox(change.mailbox, organization, following=following)
        elif known is None or known.id != change.subscription_id:
            continue  # about a subscription that was replaced meanwhile
        elif event == "subscriptionRemoved":
            await following.subscriptions.save(replace(known, id=None, expires_at=None))
            await ensure_subscription(change.mailbox, organization, following=following)
        elif event == "reauthorizationRequired":
            await renew_now(known, organization, following=following)


async def _note_push(change: MailboxChanges, received_at: datetime, following: Following) -> None:
    """Remember once a minute at most that push works for this mailbox."""
    known = await following.subscriptions.get(change.mailbox)
    if known is None or (
        known.last_push_at and (received_at - known.last_push_at).total_seconds() < 60
    ):
        return
    try:
        await following.subscriptions.save(replace(known, last_push_at=received_at))
    except StaleRow:
        return  # somebody else noted it, or something that matters more
