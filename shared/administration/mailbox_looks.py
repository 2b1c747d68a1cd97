"""Looking at mailboxes that refused a read: told once, looked at hourly, followed again after it.

A refused read of an event enqueues a look (`JobKind.LOOK`) at the organizer's mailbox. If it cannot
be read, it is *lost*: it has a row, its upcoming sessions are marked, and no event of it is read.
The look that finds it readable has all of its sessions read. If every mailbox is refused, the
trouble is the tenant's, and told once for all.

Exchange's answer to an app can be stale for up to two hours, so nothing is forgotten for a refusal.

Source: https://learn.microsoft.com/exchange/permissions-exo/application-rbac
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared.calendar_sync.unreadable import UNREADABLE, look_job, trouble_of
from shared.changes.model import Change, ChangeKind
from shared.changes.ports import ChangeStore
from shared.concurrency import gather_limited
from shared.errors import StaleRow
from shared.ids import Mailbox, ObjectId, SessionId
from shared.jobs import DueItem, DueKind, Job, JobKind, due_items
from shared.logs import log_event
from shared.organizations.diagnosis import Finding, FindingState
from shared.organizations.issues import Responsible
from shared.organizations.lost_mailboxes import LostMailbox, LostMailboxStore, Told
from shared.organizations.model import Organization
from shared.organizations.ports import Capability, OrganizationStore, Probes
from shared.organizations.reading import DENIALS, diagnose_reading, is_denied, of_whole_tenant
from shared.pairings.ports import PairingStore
from shared.sessions import reservations
from shared.sessions.holding import find_session
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.outbox import Origin
from shared.sessions.ports import SessionPorts
from shared.subscriptions.maintenance import (
    SubscriptionPorts,
    enqueue_mailbox_reconciliation,
    ensure_subscription,
    renew_one,
    upcoming_sessions,
)
from shared.subscriptions.renewal import is_alive

LOOK_INTERVAL: Final = timedelta(hours=1)
"""The time between two looks at a lost mailbox."""
_UNSURE_AGAIN: Final = timedelta(minutes=15)
_SAMPLE: Final = 3
"""The other mailboxes that must be denied as well, if there are so many, to blame the tenant."""
_PAGE: Final = 100
_PAGES: Final = 5
"""The pages of pairings in which other organizers are searched for."""


@dataclass(frozen=True, slots=True)
class LookPorts:
    """The ports of looking at mailboxes."""

    organizations: OrganizationStore
    pairings: PairingStore
    lost: LostMailboxStore
    changes: ChangeStore
    probes: Probes
    sessions: SessionPorts
    subscriptions: SubscriptionPorts


async def look_at_mailboxes(job: Job, organization: Organization, *, ports: LookPorts) -> None:
    """Look at the mailboxes of *job*, whose sessions, if any are named, could not be read.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: a retry may succeed.
    """
    named: dict[Mailbox, list[SessionId]] = {mailbox: [] for mailbox in job.mailboxes}
    for mailbox, session_id in zip(job.mailboxes, job.session_ids, strict=False):
        named[mailbox].append(session_id)
    for mailbox, session_ids in named.items():
        known = await ports.lost.get(mailbox)
        sessions = await _load(mailbox, session_ids, ports)
        if known is not None and not job.due_ats:
            await _mark(sessions, is_lost=True, ports=ports)  # the next look has its time
        elif known is not None or sessions:
            organization = await _look(mailbox, known, sessions, organization, ports)
    await ports.sessions.due.remove(due_items(DueKind.LOOK, job))


async def _look(
    mailbox: Mailbox,
    known: LostMailbox | None,
    refused: Sequence[Session],
    organization: Organization,
    ports: LookPorts,
) -> Organization:
    """Probe *mailbox* and act on the finding; return *organization* as it is stored then."""
    finding = await diagnose_reading(
        organization, mailbox, probes=ports.probes, explain=not _is_told(known, organization)
    )
    now = ports.sessions.clock.now()
    if finding.state is FindingState.WORKS:
        if known is None:
            await _read_again(mailbox, refused, organization, ports)
            return organization
        return await _recover(known, organization, ports)
    if finding.state is FindingState.UNKNOWN or finding.responsible is Responsible.US:
        if known is None:
            await ports.sessions.jobs.put(look_job(refused), delay=_UNSURE_AGAIN)
        else:
            await _look_later([known], now + LOOK_INTERVAL, ports)
        return organization
    upcoming = await upcoming_sessions(mailbox, ports.subscriptions, all_of_them=True)
    if known is not None and not upcoming:
        return await _forget(known, organization, ports)
    try:
        known = known or await ports.lost.save(
            LostMailbox(organization.id, mailbox, now, finding.issue or "")
        )
    except StaleRow:
        return organization  # another worker found the same
    # Scheduled first: without its item a lost mailbox would never be looked at again.
    await _look_later([known], now + LOOK_INTERVAL, ports)
    organization = await _tell(known, finding, organization, ports)
    await _mark([*upcoming, *refused], is_lost=True, ports=ports)
    return organization


async def _tell(
    known: LostMailbox, finding: Finding, organization: Organization, ports: LookPorts
) -> Organization:
    """Append the trouble to the feed, unless the mailbox's or the tenant's entry is there."""
    if _is_told(known, organization):
        return organization
    if finding.capability is Capability.TOKEN or (
        finding.issue in DENIALS and await _are_all_denied(known.mailbox, organization, ports)
    ):
        organization = await _save_denied(organization, known.lost_since, ports)
        finding = of_whole_tenant(finding, organization, probes=ports.probes)
        known = replace(known, told=Told.TENANT)
    else:
        known = replace(known, told=Told.MAILBOX)
    known = replace(known, issue=finding.issue or "")
    now = ports.sessions.clock.now()
    await ports.changes.append([_change(known, organization, now, remedy=finding.remedy or "")])
    await ports.lost.save(known)
    log_event("mailbox.lost", object_id=known.mailbox.object_id, reason=known.issue)
    return organization


def _is_told(known: LostMailbox | None, organization: Organization) -> bool:
    if known is None or known.told is Told.NOT_YET:
        return False
    return known.told is Told.MAILBOX or organization.denied_since is not None


async def _forget(known: LostMailbox, organization: Organization, ports: LookPorts) -> Organization:
    """Stop looking at a mailbox that organizes no upcoming session any more."""
    await ports.lost.delete(known.mailbox)
    async for page in ports.lost.of_tenant(known.mailbox.tenant_id):
        if any(lost.told is Told.TENANT for lost in page):
            return organization
    return await _save_denied(organization, None, ports)


async def _recover(
    known: LostMailbox, organization: Organization, ports: LookPorts
) -> Organization:
    """Have everything of the mailbox read, and say that it can be read again."""
    mailbox, following, now = known.mailbox, ports.subscriptions, ports.sessions.clock.now()
    if known.told is Told.MAILBOX or organization.denied_since is not None:
        await ports.changes.append([_change(known, organization, now)])
    if known.told is Told.TENANT and organization.denied_since is not None:
        async for page in ports.lost.of_tenant(mailbox.tenant_id):
            await _look_later(page, now, ports)
        organization = await _save_denied(organization, None, ports)
    upcoming = await upcoming_sessions(mailbox, following, all_of_them=True)
    await _mark(upcoming, is_lost=False, ports=ports)
    await enqueue_mailbox_reconciliation(mailbox, organization, ports=following)
    subscription = await following.subscriptions.get(mailbox)
    if subscription is not None and is_alive(subscription, now):
        await renew_one(subscription, organization, ports=following)
    else:
        await ensure_subscription(mailbox, organization, ports=following)
    await ports.lost.delete(mailbox)
    log_event("mailbox.recovered", object_id=mailbox.object_id, reason=known.issue)
    return organization


async def _read_again(
    mailbox: Mailbox, refused: Sequence[Session], organization: Organization, ports: LookPorts
) -> None:
    """Read the *refused* sessions of a mailbox that can be read: one event alone may be refused."""
    await _mark(refused, is_lost=False, ports=ports)
    events = [(mailbox, session.event_id) for session in refused if session.event_id]
    try:
        answers = await ports.sessions.calendar.read_many(events) if events else []
    except UNREADABLE as error:  # of the whole batch
        answers = [error for _ in events]
    asked = [session for session in refused if session.event_id]
    troubles = [
        _change_of_session(session, answer)
        for session, answer in zip(asked, answers, strict=True)
        if isinstance(answer, UNREADABLE)
    ]
    await ports.changes.append(troubles)
    told = {change.session_id for change in troubles}
    # No others: of a mailbox that refuses now and then all would be read again each time.
    readable = tuple(session.id for session in refused if session.id not in told)
    if readable:
        organizers = (mailbox,) * len(readable)
        job = Job(JobKind.RECONCILE, organization.id, organizers, readable)
        await ports.sessions.jobs.put(job)


async def _are_all_denied(mailbox: Mailbox, organization: Organization, ports: LookPorts) -> bool:
    """Return whether the app is denied every other organizer's mailbox, of a few; not if none."""
    if organization.denied_since is not None:
        return True
    denied = 0
    async for other in _other_organizers(mailbox, organization, ports):
        answer = await is_denied(other, probes=ports.probes)
        if answer is False:
            return False
        denied += answer is True
        if denied == _SAMPLE:
            break
    return denied > 0


async def _other_organizers(
    mailbox: Mailbox, organization: Organization, ports: LookPorts
) -> AsyncIterator[Mailbox]:
    """Yield other mailboxes that organize an upcoming session."""
    seen, cursor = {mailbox}, None
    for _ in range(_PAGES):
        pairings, cursor = await ports.pairings.list_by_organization(
            organization.id, after=cursor, limit=_PAGE
        )
        for pairing in pairings:
            for participant in pairing.participants:
                other = pairing.mailbox(participant)
                if other is None or other in seen:
                    continue
                seen.add(other)
                if await upcoming_sessions(other, ports.subscriptions):
                    yield other
        if cursor is None:
            return


async def _save_denied(
    organization: Organization, since: datetime | None, ports: LookPorts
) -> Organization:
    """Store since when the whole tenant denies access; the first time of several workers stays."""
    while (organization.denied_since is None) is not (since is None):
        try:
            organization = await ports.organizations.save(replace(organization, denied_since=since))
        except StaleRow:
            organization = await ports.organizations.get(organization.id)
    return organization


async def _mark(sessions: Iterable[Session], *, is_lost: bool, ports: LookPorts) -> None:
    """Mark *sessions* as of a lost mailbox, or as of one that can be read; a mark costs a write."""
    store, now = ports.sessions.sessions, ports.sessions.clock.now()

    async def mark(session: Session) -> None:
        while session.is_mailbox_lost is not is_lost:
            if is_lost and session.state is not SessionState.SCHEDULED:
                return
            since = session.unreadable_since or (now if is_lost else None)
            marked = replace(session, is_mailbox_lost=is_lost, unreadable_since=since)
            marked = replace(marked, changed_at=session.next_changed_at(now))
            try:
                session = await reservations.save(store, marked, Origin(Cause.RECONCILIATION))
            except StaleRow:
                session = await store.get(session.organizer, session.id)

    await gather_limited(map(mark, {session.id: session for session in sessions}.values()))


async def _load(
    mailbox: Mailbox, session_ids: Iterable[SessionId], ports: LookPorts
) -> list[Session]:
    """Return the stored sessions that are scheduled."""
    found = [
        await find_session(mailbox, id_, sessions=ports.sessions.sessions) for id_ in session_ids
    ]
    return [each for each in found if each and each.state is SessionState.SCHEDULED]


async def _look_later(lost: Iterable[LostMailbox], at: datetime, ports: LookPorts) -> None:
    await ports.sessions.due.put(
        DueItem(at, DueKind.LOOK, each.organization_id, each.mailbox) for each in lost
    )


def _change(
    lost: LostMailbox, organization: Organization, now: datetime, *, remedy: str = ""
) -> Change:
    """Return the entry about *lost*: of trouble if there is a *remedy*, else that it is over."""
    object_id: ObjectId | None = lost.mailbox.object_id
    id_ = f"{object_id};{lost.lost_since.isoformat()}"
    if lost.told is Told.TENANT and organization.denied_since is not None:
        # The same for every mailbox of the tenant, so that the feed has it once.
        object_id, id_ = None, f"tenant;{organization.denied_since.isoformat()}"
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


def _change_of_session(session: Session, error: Exception) -> Change:
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
