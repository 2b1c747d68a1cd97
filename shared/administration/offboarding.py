"""Offboarding: removes all data of an organization, here and at Graph, and counts it.

Every step is idempotent and continues after an earlier run. The organization's own row, which
marks it as closing, is removed last.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from shared.changes.ports import ChangeStore
from shared.clock import Clock
from shared.errors import (
    CalendarRefused,
    Conflict,
    ConsentMissing,
    EventGone,
    MailboxUnusable,
    NotFound,
)
from shared.ids import Mailbox, OrganizationId, TenantId
from shared.jobs import DueStore
from shared.logs import log_event
from shared.organizations.model import AccessMode, ActingUser, Organization
from shared.organizations.ports import OrganizationStore
from shared.pairings.ports import PairingStore
from shared.sessions.model import Session, SessionState
from shared.sessions.ports import Calendar, SessionStore
from shared.subscriptions.ports import GraphSubscriptions, SubscriptionStore

TIME_BUDGET: Final = timedelta(seconds=100)
"""How long one request works: Azure's load balancer ends a request after 230 seconds.

Source: https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout
"""
_MAX_CONCURRENCY: Final = 8
"""Mailboxes at the same time."""
_PAGE: Final = 100
_COMMENT: Final = "The mentoring programme's calendar service has ended."


class TenantRows(Protocol):
    """The rows of a tenant's mailboxes. Every method may raise StoreUnavailable."""

    def mailboxes(self, tenant_id: TenantId) -> AsyncIterator[Mailbox]:
        """Yield each mailbox of the tenant that has rows, once; reads no rows of other tenants."""
        ...

    async def delete_rows(self, mailbox: Mailbox) -> Mapping[str, int]:
        """Remove every row of *mailbox*; return the count of each kind. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class OffboardingPorts:
    """The ports of offboarding."""

    organizations: OrganizationStore
    pairings: PairingStore
    sessions: SessionStore
    subscriptions: SubscriptionStore
    changes: ChangeStore
    due: DueStore
    rows: TenantRows
    graph: GraphSubscriptions
    calendar: Calendar
    clock: Clock


@dataclass(slots=True)
class Removal:
    """The counts of one run."""

    is_complete: bool = False
    """False: some data is left, so the caller runs it again."""
    subscriptions: int = 0
    """Deleted at Graph."""
    subscriptions_left: int = 0
    """Graph refused to delete these: they expire within a week; their notifications are dropped."""
    sessions: int = 0
    sessions_cancelled: int = 0
    """Cancelled in the calendars, only with *cancel_sessions*."""
    sessions_not_cancelled: int = 0
    """Graph refused to cancel these: their organizers must."""
    pairings: int = 0
    mailboxes: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Rows of mailboxes, by kind."""
    due: int = 0
    changes: int = 0
    organizations: int = 0


async def offboard(
    organization_id: OrganizationId, *, cancel_sessions: bool, ports: OffboardingPorts
) -> Removal:
    """Remove an organization's data for up to `TIME_BUDGET`; return the counts.

    Idempotent: an organization that does not exist gives a complete removal without counts.

    Raises:
        Conflict: *cancel_sessions* in delegated mode, where only the organizers may cancel.
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: the caller runs it again later.
    """
    removal = Removal()
    try:
        organization = await ports.organizations.get(organization_id)
    except NotFound:
        removal.is_complete = True
        return removal
    if cancel_sessions and organization.settings.access_mode is not AccessMode.APPLICATION:
        raise Conflict(
            "In this organization only its people may cancel their sessions, not the service.",
            remedy="Let the organizers cancel, or repeat without cancel_sessions: the meetings then"
            " stay in the calendars.",
        )
    # A closing organization gets no new sessions, subscriptions or jobs.
    if not organization.is_closing:
        organization = await ports.organizations.save(replace(organization, is_closing=True))
    ends_at = ports.clock.now() + TIME_BUDGET
    if not await _remove_mailboxes(organization, removal, ends_at, ports, cancel=cancel_sessions):
        return _log_removal(organization_id, removal)
    if not await _remove_pairings(organization_id, removal, ends_at, ports):
        return _log_removal(organization_id, removal)
    if not await _remove_due(organization_id, removal, ends_at, ports):
        return _log_removal(organization_id, removal)
    removal.changes = await ports.changes.delete(organization_id)
    await ports.organizations.delete(organization_id)
    removal.organizations = 1
    removal.is_complete = True
    return _log_removal(organization_id, removal)


def _log_removal(organization_id: OrganizationId, removal: Removal) -> Removal:
    log_event(
        "organization.removed" if removal.is_complete else "organization.leaving",
        organization_id=organization_id,
        removed=removal.mailboxes,
        count=sum(removal.rows.values()),
    )
    return removal


async def _remove_mailboxes(
    organization: Organization,
    removal: Removal,
    ends_at: datetime,
    ports: OffboardingPorts,
    *,
    cancel: bool,
) -> bool:
    """Remove the rows of every mailbox of the tenant; return whether none is left."""
    if organization.tenant_id is None:
        return True
    several: list[Mailbox] = []
    async for mailbox in ports.rows.mailboxes(organization.tenant_id):
        several.append(mailbox)
        if len(several) < _MAX_CONCURRENCY:
            continue
        await _remove_batch(several, removal, ports, cancel=cancel)
        several = []
        # Checked only after a batch, so that every run makes progress.
        if ports.clock.now() >= ends_at:
            return False
    await _remove_batch(several, removal, ports, cancel=cancel)
    return True


async def _remove_batch(
    mailboxes: Sequence[Mailbox],
    removal: Removal,
    ports: OffboardingPorts,
    *,
    cancel: bool,
) -> None:
    outcomes = await asyncio.gather(
        *(_remove_mailbox(mailbox, removal, ports, cancel=cancel) for mailbox in mailboxes),
        return_exceptions=True,
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _remove_mailbox(
    mailbox: Mailbox,
    removal: Removal,
    ports: OffboardingPorts,
    *,
    cancel: bool,
) -> None:
    """Remove one mailbox: first its subscription and meetings at Graph, then its rows."""
    await _end_subscription(mailbox, removal, ports)
    async for session in _organized(mailbox, ports):
        removal.sessions += 1
        if cancel and _is_upcoming(session, ports.clock.now()):
            await _cancel(session, removal, ports)
    removal.rows.update(await ports.rows.delete_rows(mailbox))
    removal.mailboxes += 1


async def _end_subscription(mailbox: Mailbox, removal: Removal, ports: OffboardingPorts) -> None:
    """Delete the mailbox's subscription at Graph, if it has one."""
    subscription = await ports.subscriptions.get(mailbox)
    if subscription is None or subscription.id is None:
        return
    try:
        await ports.graph.delete(mailbox.tenant_id, subscription.id)
        removal.subscriptions += 1
    except (ConsentMissing, CalendarRefused, MailboxUnusable):
        # Access is revoked, so Graph refuses to delete the subscription; it expires unrenewed.
        removal.subscriptions_left += 1


async def _organized(mailbox: Mailbox, ports: OffboardingPorts) -> AsyncIterator[Session]:
    cursor: str | None = None
    while True:
        page, cursor = await ports.sessions.list_by_mailbox(
            mailbox, since=None, until=None, after=cursor, limit=_PAGE
        )
        for session in page:
            if session.organizer == mailbox:
                yield session
        if cursor is None:
            return


def _is_upcoming(session: Session, now: datetime) -> bool:
    return session.state is SessionState.SCHEDULED and session.span.end > now


async def _cancel(session: Session, removal: Removal, ports: OffboardingPorts) -> None:
    if session.event_id is None:
        return
    try:
        await ports.calendar.cancel(ActingUser(session.organizer), session.event_id, _COMMENT)
    except EventGone:
        return  # cancelled in Outlook already
    except (ConsentMissing, CalendarRefused, MailboxUnusable):
        removal.sessions_not_cancelled += 1
    else:
        removal.sessions_cancelled += 1


async def _remove_pairings(
    organization_id: OrganizationId, removal: Removal, ends_at: datetime, ports: OffboardingPorts
) -> bool:
    while True:
        page, _ = await ports.pairings.list_by_organization(
            organization_id, after=None, limit=_PAGE
        )
        if not page:
            return True
        for pairing in page:
            await ports.pairings.delete(organization_id, pairing.id)
            removal.pairings += 1
        if ports.clock.now() >= ends_at:
            return False


async def _remove_due(
    organization_id: OrganizationId, removal: Removal, ends_at: datetime, ports: OffboardingPorts
) -> bool:
    """Remove all due items, whenever and for whatever they were put; return whether none is left.

    Their times cannot be computed from what is left of the organization: sessions were moved,
    settings changed, work was postponed. Last, when no work of the organization puts new ones.
    """
    is_first = True
    async for items in ports.due.of_organization(organization_id):
        # Checked only after a page, so that every run makes progress.
        if not is_first and ports.clock.now() >= ends_at:
            return False
        is_first = False
        await ports.due.remove(items)
        removal.due += len(items)
    return True
