"""Looking at mailboxes that refused a read: told once, looked at hourly, followed again after it.

A refused read of an event enqueues a look (`JobKind.LOOK`) at the organizer's mailbox. If it cannot
be read, it is *lost*: it has a row, its upcoming sessions are marked, and no event of it is read.
The look that finds it readable has all of its sessions read. If every mailbox is refused, the
trouble is the tenant's, and told once for all. A mailbox that can be read, but not by the stored
ids of its events, is lost for those sessions. The account of an attendee that is gone is lost
for none: it is told, and looked at, in the same way.

Exchange's answer to an app can be stale for up to two hours, so nothing is forgotten for a refusal.

Source: https://learn.microsoft.com/exchange/permissions-exo/application-rbac
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from shared.administration.account_looks import ACCOUNT_ISSUES, diagnose_account, has_upcoming
from shared.administration.look_entries import change_of_mailbox, change_of_session
from shared.administration.look_ports import LookPorts
from shared.calendar_sync.unreadable import UNREADABLE, look_job
from shared.concurrency import gather_limited
from shared.errors import ForeignId, StaleRow
from shared.ids import Mailbox, SessionId
from shared.jobs import BATCH, DueItem, DueKind, Job, JobKind, due_items
from shared.logs import log_event
from shared.organizations.diagnosis import Finding, FindingState
from shared.organizations.issues import Issue, Responsible
from shared.organizations.lost_mailboxes import LostMailbox, Told
from shared.organizations.model import Organization
from shared.organizations.ports import Capability
from shared.organizations.reading import (
    DENIALS,
    diagnose_reading,
    is_denied,
    of_foreign_ids,
    of_whole_tenant,
)
from shared.sessions import reservations
from shared.sessions.holding import find_session
from shared.sessions.model import Cause, Session, SessionState
from shared.sessions.outbox import Origin
from shared.subscriptions.maintenance import (
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


async def look_at_mailboxes(job: Job, organization: Organization, *, ports: LookPorts) -> None:
    """Look at the mailboxes of *job*, whose sessions, if any are named, could not be read.

    If none is named, and the job is not made of due items, it is about the mailboxes' accounts.

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
        elif known is not None or sessions or not (job.session_ids or job.due_ats):
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
    upcoming = await upcoming_sessions(mailbox, ports.subscriptions, all_of_them=True)
    finding = await _diagnose(mailbox, known, [*upcoming, *refused], organization, ports)
    now, lost = ports.sessions.clock.now(), [*upcoming, *refused]
    if finding.state is FindingState.WORKS:
        if known is not None:
            refused = [session for session in upcoming if session.is_mailbox_lost][:BATCH]
        if known is None or known.issue == Issue.FOREIGN_IDS:
            lost = await _read_again(mailbox, refused, organization, ports)
        if known is not None and not (known.issue == Issue.FOREIGN_IDS and lost):
            return await _recover(known, organization, ports)
        if not lost:
            return organization
        finding = of_foreign_ids(organization, mailbox, probes=ports.probes)
    elif finding.state is FindingState.UNKNOWN or finding.responsible is Responsible.US:
        await _look_at_unsure(known, refused, ports)
        return organization
    if known is not None and not await _is_concerned(mailbox, finding, upcoming, ports):
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
    await _mark(lost, is_lost=True, ports=ports)
    return organization


async def _diagnose(
    mailbox: Mailbox,
    known: LostMailbox | None,
    organized: Sequence[Session],
    organization: Organization,
    ports: LookPorts,
) -> Finding:
    """Return whether *mailbox* can be read; if it organizes nothing, whether its account is there.

    *organized*: the upcoming sessions that it organizes, and those that it refused.
    """
    issue = known.issue if known else ""
    if not organized and (known is None or issue in ACCOUNT_ISSUES):
        return await diagnose_account(mailbox, organization, ports=ports)
    explain = not _is_told(known, organization)
    finding = await diagnose_reading(organization, mailbox, probes=ports.probes, explain=explain)
    if finding.state is FindingState.FAILS and {finding.issue, issue} & ACCOUNT_ISSUES:
        account = await diagnose_account(mailbox, organization, ports=ports)
        return account if account.issue is Issue.ACCOUNT_RECREATED else finding
    return finding


async def _look_at_unsure(
    known: LostMailbox | None, refused: Sequence[Session], ports: LookPorts
) -> None:
    """Have a mailbox looked at again that gave no answer; an account, by the reconciliation."""
    if known is not None:
        await _look_later([known], ports.sessions.clock.now() + LOOK_INTERVAL, ports)
    elif refused:
        await ports.sessions.jobs.put(look_job(refused), delay=_UNSURE_AGAIN)


async def _is_concerned(
    mailbox: Mailbox, finding: Finding, upcoming: Sequence[Session], ports: LookPorts
) -> bool:
    """Return whether *finding* concerns a session: one of *upcoming*, which the mailbox organizes.

    An account that is gone also concerns those that it attends.
    """
    if upcoming or finding.issue not in ACCOUNT_ISSUES:
        return bool(upcoming)
    return await has_upcoming(mailbox, ports=ports)


async def _tell(
    known: LostMailbox, finding: Finding, organization: Organization, ports: LookPorts
) -> Organization:
    """Append the trouble to the feed, unless the mailbox's or the tenant's entry is there.

    That an account was created anew is told as well of one that was told to be gone.
    """
    is_news = finding.issue is Issue.ACCOUNT_RECREATED and known.issue != finding.issue
    if _is_told(known, organization) and not is_news:
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
    await ports.changes.append(
        [change_of_mailbox(known, organization, now, remedy=finding.remedy or "")]
    )
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
        await ports.changes.append([change_of_mailbox(known, organization, now)])
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
) -> list[Session]:
    """Read the *refused* sessions of a mailbox that can be read: one event alone may be refused.

    Return those whose ids Exchange takes for ids of another mailbox.
    """
    events = [(mailbox, session.event_id) for session in refused if session.event_id]
    try:
        answers = await ports.sessions.calendar.read_many(events) if events else []
    except UNREADABLE as error:  # of the whole batch
        answers = [error for _ in events]
    asked = [session for session in refused if session.event_id]
    answered = list(zip(asked, answers, strict=True))
    foreign = [session for session, answer in answered if isinstance(answer, ForeignId)]
    await _mark((s for s in refused if s not in foreign), is_lost=False, ports=ports)
    troubles = [
        change_of_session(session, answer)
        for session, answer in answered
        if isinstance(answer, UNREADABLE) and session not in foreign
    ]
    await ports.changes.append(troubles)
    told = {change.session_id for change in troubles} | {session.id for session in foreign}
    # No others: of a mailbox that refuses now and then all would be read again each time.
    readable = tuple(session.id for session in refused if session.id not in told)
    if readable:
        organizers = (mailbox,) * len(readable)
        job = Job(JobKind.RECONCILE, organization.id, organizers, readable)
        await ports.sessions.jobs.put(job)
    return foreign


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
