"""What the queue worker does with what Graph said."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from shared.attendees.recording import record_change
from shared.errors import (
    CalendarThrottled,
    ConsentMissing,
    MailboxUnusable,
    NotFound,
    StaleRow,
)
from shared.ids import Mailbox
from shared.logs import log_event
from shared.notifications.fairness import Turns
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.organizations.access import is_stopped
from shared.organizations.model import Organization
from shared.organizations.ports import OrganizationStore
from shared.sessions.ports import Books
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

_MAILBOXES_AT_ONCE: Final = 4


@dataclass(slots=True)
class Left:
    """What of one mailbox's changes is not handled yet, and why."""

    events: list[ChangedEvent] = field(default_factory=list)
    lifecycle: tuple[str, ...] = ()
    throttled: CalendarThrottled | None = None
    """Why they must wait."""
    failures: list[Exception] = field(default_factory=list)

    def wait(self, throttled: CalendarThrottled, *events: ChangedEvent) -> None:
        """Leave *events* for as long as asked: the longest of all that was asked."""
        self.events += events
        if self.throttled is None or _seconds(throttled) > _seconds(self.throttled):
            self.throttled = throttled


@dataclass(frozen=True, slots=True)
class PutBack:
    """What must be looked at again, and in how many seconds; None: Graph did not say."""

    changes: MailboxChanges
    retry_after_seconds: float | None


async def dispatch(
    changes: Sequence[MailboxChanges],
    received_at: datetime,
    *,
    books: Books,
    following: Following,
    organizations: OrganizationStore,
    turns: Turns,
) -> list[PutBack]:
    """Handle one message: foreign events cost a row read, ours one Graph call each.

    Safe to run twice, also at the same time. No mailbox keeps another one waiting: what Graph
    wants to be asked later about is returned, by mailbox, and what fails is told when all the rest
    is done.

    Raises:
        CalendarUnavailable, StoreUnavailable: the message is to come back whole.
    """
    tenants = dict.fromkeys(change.mailbox.tenant_id for change in changes)
    known = {tenant: await organizations.of_tenant(tenant) for tenant in tenants}
    followed = [
        (change, organization)
        for change in changes
        if (organization := known[change.mailbox.tenant_id]) and not is_stopped(organization)
    ]
    lefts = await together(
        (
            _handle(change, organization, received_at, books, following, turns)
            for change, organization in followed
        ),
        at_once=_MAILBOXES_AT_ONCE,
    )
    for left in lefts:
        if left.failures:
            raise left.failures[0]
    return [
        PutBack(
            replace(change, events=tuple(left.events), lifecycle=left.lifecycle),
            left.throttled.retry_after_seconds,
        )
        for (change, _), left in zip(followed, lefts, strict=True)
        if left.throttled
    ]


async def _handle(
    change: MailboxChanges,
    organization: Organization,
    received_at: datetime,
    books: Books,
    following: Following,
    turns: Turns,
) -> Left:
    """Do what can be done about one mailbox; never raises, as others are waiting."""
    left = Left()
    await _follow(change, organization, books, turns, left)
    try:
        await _lifecycle(change, organization, following)
        if change.events and turns.may_note(change.mailbox, received_at):
            await _note_push(change, received_at, following)
    except CalendarThrottled as throttled:
        left.lifecycle = change.lifecycle
        left.wait(throttled)
    except Exception as error:  # noqa: BLE001 - raised by `dispatch`, after the others' turn
        left.failures.append(error)
    return left


async def _follow(
    change: MailboxChanges, organization: Organization, books: Books, turns: Turns, left: Left
) -> None:
    states: Counter[str] = Counter()

    async def one(event: ChangedEvent) -> None:
        async with turns.of(change.mailbox, event.event_id):
            if left.throttled:
                left.events.append(event)  # asked now, it would be refused as well
                return
            try:
                states[await _follow_one(change.mailbox, event, organization, books)] += 1
            except CalendarThrottled as throttled:
                left.wait(throttled, event)
            except Exception as error:  # noqa: BLE001 - see `_handle`
                left.failures.append(error)

    # Of one mailbox few have their turn at a time: this many need not even wait for it.
    await together(map(one, change.events))
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
        elif known is None or known.id not in {change.subscription_id, None}:
            continue  # about a subscription that was replaced meanwhile
        elif event == "subscriptionRemoved":
            # Without an id: a worker who had this message before died before it made a new one.
            await following.subscriptions.save(replace(known, id=None, expires_at=None))
            await ensure_subscription(change.mailbox, organization, following=following)
        elif event == "reauthorizationRequired":
            await renew_now(known, organization, following=following)


async def _note_push(change: MailboxChanges, received_at: datetime, following: Following) -> None:
    """Remember once a minute at most, whoever handles it, that push works for this mailbox."""
    known = await following.subscriptions.get(change.mailbox)
    if known is None or (
        known.last_push_at and (received_at - known.last_push_at).total_seconds() < 60
    ):
        return
    try:
        await following.subscriptions.save(replace(known, last_push_at=received_at))
    except StaleRow:
        return  # somebody else noted it, or something that matters more


def _seconds(throttled: CalendarThrottled) -> float:
    return throttled.retry_after_seconds or 0.0
