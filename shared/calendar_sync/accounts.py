"""Participants whose accounts the directory does not have any more.

An address in a meeting may have passed to another account. What Outlook shows does not tell, so the
directory is asked for each participant, once a day (`Calendar.addresses_of`).
"""

from collections.abc import Iterable
from contextlib import suppress

from shared.errors import SchedulingError
from shared.ids import Mailbox
from shared.jobs import Job, JobKind, JobQueue
from shared.organizations.model import Organization
from shared.sessions.model import Session
from shared.sessions.ports import Calendar


async def look_at_gone_accounts(
    sessions: Iterable[Session], organization: Organization, *, calendar: Calendar, jobs: JobQueue
) -> None:
    """Enqueue a look at the attendees of *sessions* whom the directory does not have.

    A directory that does not answer is not asked for the others: the next reconciliation does.
    """
    attendees = dict.fromkeys(
        Mailbox(session.tenant_id, attendee.object_id)
        for session in sessions
        for attendee in session.attendees
        if attendee.object_id is not None and attendee.invited
    )
    gone = []
    with suppress(SchedulingError):
        for mailbox in attendees:
            if not await calendar.addresses_of(mailbox):
                gone.append(mailbox)  # noqa: PERF401 - those found before an error count
    if gone:
        await jobs.put(Job(JobKind.LOOK, organization.id, tuple(gone)))
