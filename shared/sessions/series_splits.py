"""Following a series that a person splits in Outlook by editing "this and all following" dates.

Outlook ends the series before that date and makes a new one of the others, without telling how the
two belong together. The sessions stay the same: the new series is stored as a further master.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from shared.errors import (
    CalendarRefused,
    CalendarUnavailable,
    Conflict,
    ConsentMissing,
    EventUnreadable,
    MailboxUnusable,
    SplitUnclear,
    StaleRow,
)
from shared.ids import EventId
from shared.jobs import JobKind
from shared.logs import log_event
from shared.sessions import reservations
from shared.sessions.model import Session
from shared.sessions.occurrences import list_instances, load_sessions
from shared.sessions.ports import SessionPorts
from shared.sessions.recording import series_job
from shared.sessions.series import Continuation, Occurrence, Series, match_occurrences

_FOLLOWED_IN: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Split:
    """Dates that a series does not list any more, and the new ones that may have them."""

    torn: tuple[Session, ...]
    continuations: tuple[Continuation, ...]
    """One or more, by time."""

    @property
    def masters(self) -> tuple[EventId, ...]:
        """Return the ids of their masters."""
        return tuple(each.master_id for each in self.continuations)

    @property
    def is_clear(self) -> bool:
        """Return whether each date may be of one of them alone: a series can be split twice."""
        return all(a.span.end <= b.span.start for a, b in pairwise(self.continuations))

    @property
    def unclear(self) -> frozenset[int]:
        """Return the numbers of the dates that several new ones may have; none if it is clear."""
        return frozenset() if self.is_clear else frozenset(s.occurrence for s in self.torn)

    def continued(self, series: Series) -> Series:
        """Return *series* with the new ones as further masters."""
        return replace(series, continued_by=(*series.continued_by, *self.masters))


async def find_split(
    series: Series,
    known: Sequence[Session],
    instances: Sequence[Occurrence],
    *,
    ports: SessionPorts,
) -> Split | None:
    """Return the split of *series*, whose dates are *instances* now; None: there is none.

    A series with sessions of the app is no part of another one. Raises EventUnreadable, and the
    errors of every method of `Calendar`.
    """
    matched = match_occurrences(series, known, instances)
    torn = _torn_off(known, matched, ports.clock.now())
    if not torn:
        return None
    found = await ports.calendar.find_continuations(series, torn)
    strange = [
        each
        for each in found
        if await ports.sessions.find_by_event(series.organizer, each.master_id) is None
    ]
    in_turn = sorted(strange, key=lambda each: (each.span.start, each.span.end))
    return Split(tuple(torn), tuple(in_turn)) if strange else None


async def follow_split(series: Series, split: Split, *, ports: SessionPorts) -> Series:
    """Store the new series of a clear *split* as a master of *series*.

    Raises:
        StaleRow: other workers write the series' row at the same time.
    """
    try:
        stored = await reservations.put_series(ports.sessions, split.continued(series))
    except StaleRow:
        fresh = await ports.sessions.get_series(series.organizer, series.id)
        if fresh is None or set(split.masters) <= set(fresh.continued_by):
            return fresh or series
        stored = await reservations.put_series(ports.sessions, split.continued(fresh))
    log_event("series.split", session_id=series.id, count=len(split.torn))
    return stored


def unclear_for_caller() -> Conflict:
    """Return the answer to who changes a date that several new series may have."""
    unclear = SplitUnclear()
    return Conflict(str(unclear), remedy=f"{unclear.remedy} Then repeat the request.")


async def refuse_unheard_split(
    series: Series | None, known: Sequence[Session], *, ports: SessionPorts
) -> None:
    """Refuse a change of several dates of *series*, if Outlook has split it and nobody has heard.

    None: the change is of one date alone, so it is not refused.

    A change of the old series would not reach the dates of the new one, and is a later change of it
    by which the two would not be recognised. If the app may not read the calendar, the caller still
    may change it. Enqueues the job that follows the split.

    Raises:
        Conflict: several series may be the other half; a person has to act in Outlook.
        CalendarUnavailable: a retry finds the split followed.
        CalendarThrottled: a retry may succeed.
    """
    if series is None:
        return
    try:
        instances = await list_instances(series, calendar=ports.calendar)
        split = await find_split(series, known, instances, ports=ports)
    except (CalendarRefused, ConsentMissing, MailboxUnusable, EventUnreadable):
        return
    if split is None:
        return
    await ports.jobs.put(series_job(JobKind.FOLLOW_SERIES, series))
    if not split.is_clear:
        raise unclear_for_caller()
    raise CalendarUnavailable(
        "Somebody has just edited a part of the series in Outlook.",
        retry_after_seconds=_FOLLOWED_IN.total_seconds(),
        remedy="Read the series again in a moment, and repeat the request.",
    )


async def is_split_off(session: Session, *, ports: SessionPorts) -> bool:
    """Return whether a new series in Outlook has the date of *session*.

    Raises SplitUnclear: one of several may have it.
    """
    if session.series_id is None:
        return False
    series = await ports.sessions.get_series(session.organizer, session.series_id)
    if series is None:
        return False
    known = await load_sessions(series, sessions=ports.sessions)
    instances = await list_instances(series, calendar=ports.calendar)
    split = await find_split(series, known, instances, ports=ports)
    if split is None or session.id not in {each.id for each in split.torn}:
        return False
    if not split.is_clear:
        raise SplitUnclear
    return True


def _torn_off(
    sessions: Sequence[Session], found: Mapping[int, Occurrence], now: datetime
) -> list[Session]:
    """Return the sessions ahead whose dates may be those of a new series: no event is *found*.

    A date between two dates of the same series in Outlook was cancelled by itself.
    """
    ahead = [session for session in sessions if session.may_have_event and session.span.end > now]
    missing = [session for session in ahead if session.occurrence not in found]
    return [session for session in missing if not _is_between(session.occurrence, found)]


def _is_between(number: int, found: Mapping[int, Occurrence]) -> bool:
    before = found.get(max((n for n in found if n < number), default=-1))
    after = found.get(min((n for n in found if n > number), default=-1))
    if after is None:
        return False
    return before is None or before.series_master_id == after.series_master_id
