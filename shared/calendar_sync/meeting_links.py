"""Checking for join links that Graph creates late, or never."""

from dataclasses import replace

from shared.calendar_sync.sync import sync_series, sync_session
from shared.clock import Clock
from shared.errors import StaleRow
from shared.jobs import Job
from shared.logs import log_event
from shared.organizations.model import Organization
from shared.sessions import reservations
from shared.sessions.holding import find_session
from shared.sessions.model import LINK_CHECK_DELAYS, Cause, Session, SessionState
from shared.sessions.occurrences import load_sessions
from shared.sessions.online_meeting import OnlineMeetingState, is_link_pending, mark_link_overdue
from shared.sessions.outbox import Origin
from shared.sessions.ports import SessionPorts, SessionStore


async def check_meeting_link(job: Job, organization: Organization, *, ports: SessionPorts) -> None:
    """Read the event; without a link schedule the next check, or mark the link overdue.

    A link that comes later is recorded all the same, because every read of the event merges it. An
    event that cannot be read ends the checks: nothing is known about its link.
    """
    session = await find_session(job.mailboxes[0], job.session_ids[0], sessions=ports.sessions)
    if session is None or session.state is not SessionState.SCHEDULED:
        return
    if not is_link_pending(session.online_meeting):
        return
    for one in await _read(session, organization, ports):
        if not _is_link_pending(one):
            continue
        if job.attempt + 1 < len(LINK_CHECK_DELAYS):
            again = replace(job, attempt=job.attempt + 1)
            await ports.jobs.put(again, delay=LINK_CHECK_DELAYS[again.attempt])
            return
        await _mark_overdue(one, sessions=ports.sessions, clock=ports.clock)


async def _read(session: Session, organization: Organization, ports: SessionPorts) -> list[Session]:
    """Sync *session*, or its whole series, with Outlook; return the sessions."""
    series = None
    if session.series_id:
        series = await ports.sessions.get_series(session.organizer, session.series_id)
    if series is None:
        return [await sync_session(session, organization, Cause.RECONCILIATION, ports=ports)]
    await sync_series(series, organization, Cause.RECONCILIATION, ports=ports)
    return await load_sessions(series, sessions=ports.sessions)


def _is_link_pending(session: Session) -> bool:
    is_pending = session.online_meeting.state is OnlineMeetingState.PENDING
    is_readable = session.unreadable_since is None
    return is_pending and is_readable and session.state is SessionState.SCHEDULED


async def _mark_overdue(session: Session, *, sessions: SessionStore, clock: Clock) -> None:
    late = replace(
        session,
        online_meeting=mark_link_overdue(session.online_meeting),
        changed_at=session.next_changed_at(clock.now()),
    )
    try:
        await reservations.save(sessions, late, Origin(Cause.RECONCILIATION))
    except StaleRow:
        return  # another worker has just synced the row, perhaps with the link
    log_event("session.link_overdue", session_id=session.id)
