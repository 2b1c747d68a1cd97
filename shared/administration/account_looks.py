"""Looking at the accounts of participants: one that is gone, and may have been created anew.

A participant is an object id. An account that is deleted and created anew has another one, under
the same address: whoever has it now does not see the sessions of the former, and the platform has
to register the pairings again.
"""

from typing import Final

from shared.administration.look_ports import LookPorts
from shared.errors import CalendarRefused, ConsentMissing, MailboxUnusable
from shared.ids import Mailbox
from shared.organizations.diagnosis import Finding, Subject
from shared.organizations.issues import Issue
from shared.organizations.model import Organization
from shared.organizations.ports import Capability, ProbeResult
from shared.sessions.model import SessionState

ACCOUNT_ISSUES: Final = frozenset({Issue.ACCOUNT_GONE, Issue.ACCOUNT_RECREATED})
"""Issues that concern every session of an account, also those that it only attends."""
_PAGE: Final = 100


async def diagnose_account(
    mailbox: Mailbox, organization: Organization, *, ports: LookPorts
) -> Finding:
    """Return whether the account of *mailbox* is there, or no pairing has it any more.

    Raises:
        CalendarThrottled, CalendarUnavailable, StoreUnavailable: a retry may succeed.
    """
    subject = Subject(organization, mailbox, ports.probes.app)
    works = subject.finding(ProbeResult(Capability.PROFILES, ok=True))
    mine, _ = await ports.pairings.list_by_mailbox(organization.id, mailbox, after=None, limit=1)
    participant = mine[0].participant(mailbox.object_id) if mine else None
    if participant is None:
        return works
    try:
        if await ports.directory.get(mailbox) is not None:
            return works
        owner = await ports.directory.find(mailbox.tenant_id, participant.address)
    except (CalendarRefused, ConsentMissing, MailboxUnusable):
        return subject.failure(Capability.PROFILES, Issue.NO_ANSWER)
    issue = Issue.ACCOUNT_RECREATED if owner else Issue.ACCOUNT_GONE
    return subject.failure(Capability.PROFILES, issue)


async def has_upcoming(mailbox: Mailbox, *, ports: LookPorts) -> bool:
    """Return whether *mailbox* organizes or attends an upcoming session."""
    now, cursor = ports.sessions.clock.now(), None
    while True:
        page, cursor = await ports.sessions.sessions.list_by_mailbox(
            mailbox, since=now, until=None, after=cursor, limit=_PAGE
        )
        if any(session.state is SessionState.SCHEDULED for session in page):
            return True
        if cursor is None:
            return False
