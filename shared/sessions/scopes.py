"""The scope of a change: one session, this and the following dates of a series, or all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.errors import Conflict, Invalid, NotFound
from shared.ids import EventId
from shared.jobs import Job, JobKind, JobQueue
from shared.sessions.model import RECOVERY_DELAY, Session, SessionState
from shared.sessions.occurrences import ensure_event_id, list_instances, load_sessions
from shared.sessions.ports import Calendar, SessionStore
from shared.sessions.recording import series_job
from shared.sessions.series import Scope, Series, match_occurrences


@dataclass(frozen=True, slots=True)
class ScopedSessions:
    """The session that the caller named, with the sessions of its series."""

    named: Session
    scope: Scope = Scope.ONE
    series: Series | None = None
    """None for a scope of one date."""
    known: tuple[Session, ...] = ()
    """Every stored session of the series, by number; for a scope of one date the named one."""

    @property
    def in_scope(self) -> list[Session]:
        """Return the sessions within the scope, in any state."""
        if self.scope is Scope.THIS_AND_FOLLOWING:
            return [s for s in self.known if s.occurrence >= self.named.occurrence]
        return [*self.known]

    def changeable(self, now: datetime) -> list[Session]:
        """Return the scheduled sessions within the scope; of a series only those not over yet."""
        scheduled = [s for s in self.in_scope if s.state is SessionState.SCHEDULED]
        return scheduled if self.series is None else [s for s in scheduled if s.span.end > now]

    def is_whole_series(self, sessions: Sequence[Session]) -> bool:
        """Return whether *sessions* are all the dates that Outlook has of the series, in one."""
        alive = [s for s in self.known if s.state is not SessionState.CANCELLED]
        is_one = self.series is not None and len(self.series.master_ids) == 1
        return is_one and len(alive) == len(sessions)


async def load_scope(session: Session, scope: Scope, *, sessions: SessionStore) -> ScopedSessions:
    """Return *session* with the sessions of its series, if *scope* is more than one date.

    Raises:
        Invalid: the scope needs a series, and the session belongs to none.
        NotFound: the series is not stored any more.
        Conflict: the series is still being booked.
    """
    if scope is Scope.ONE:
        return ScopedSessions(session, known=(session,))
    if session.series_id is None:
        raise Invalid("body.scope", "The session belongs to no series.")
    series = await sessions.get_series(session.organizer, session.series_id)
    if series is None:
        raise NotFound("There is no such series.")
    if series.state is SessionState.REQUESTED:
        raise Conflict("The series is still being booked.")
    known = tuple(await load_sessions(series, sessions=sessions))
    named = next((s for s in known if s.id == session.id), session)
    return ScopedSessions(named, scope, series, known)


async def with_event_id(
    scoped: ScopedSessions, *, calendar: Calendar, sessions: SessionStore
) -> ScopedSessions:
    """Store the event's id in the row of a single date: the recovery job reads the event by it."""
    if scoped.series is not None:
        return scoped
    named = await ensure_event_id(scoped.named, calendar=calendar, sessions=sessions)
    return replace(scoped, named=named, known=(named,))


async def event_ids(
    scoped: ScopedSessions, sessions: Sequence[Session], *, calendar: Calendar
) -> dict[int, EventId]:
    """Return the event id of each session, by number, as far as Outlook has one.

    Sends one request if an id of a series' date is not stored yet.
    """
    known = {s.occurrence: s.event_id for s in sessions if s.event_id}
    if len(known) == len(sessions) or scoped.series is None:
        return known
    instances = await list_instances(scoped.series, calendar=calendar)
    found = match_occurrences(scoped.series, scoped.known, instances)
    return {number: event.event_id for number, event in found.items()} | known


async def enqueue_recovery(scoped: ScopedSessions, *, jobs: JobQueue) -> None:
    """Enqueue the job that finishes or undoes the change, should the caller's request break off."""
    session = scoped.named
    job = Job(JobKind.SETTLE, session.organization_id, session.mailboxes, (session.id,))
    if scoped.series is not None:
        job = series_job(JobKind.SERIES, scoped.series)
    await jobs.put(job, delay=RECOVERY_DELAY)
