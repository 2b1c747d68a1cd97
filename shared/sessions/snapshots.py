"""Reading what dates are checked against: everybody's calendar, and what sessions hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from shared.availability.finding import AvailabilitySnapshot, read_schedules
from shared.availability.ports import Schedules
from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.ids import Mailbox, SessionId
from shared.organizations.model import Caller
from shared.pairings.model import Pairing
from shared.sessions.checking import (
    CheckedDate,
    Terms,
    WindowSnapshot,
    check_dates,
    windows_for,
    with_alternatives,
)
from shared.sessions.model import Session
from shared.sessions.ports import SessionStore
from shared.timespan import TimeSpan

_MAX_CONCURRENCY: Final = 3
"""Outlook answers four requests at once about one mailbox."""


async def read_snapshots(
    participation: Caller,
    pairing: Pairing,
    spans: Sequence[TimeSpan],
    terms: Terms,
    *,
    freed: Sequence[Session] = (),
    schedules: Schedules,
) -> list[WindowSnapshot]:
    """Read everybody's calendar around *spans* in as few calls as it takes, by start.

    *freed* sessions are to be moved, so not in the way.
    """

    async def one(window: TimeSpan) -> WindowSnapshot:
        availability = await read_schedules(participation, pairing, window, schedules=schedules)
        for session in freed:
            availability = availability.ignoring(session.span)
        return WindowSnapshot(availability)

    windows = windows_for(spans, terms.rules, participation.organization.settings)
    return await gather_limited(map(one, windows), at_once=_MAX_CONCURRENCY)


async def check_with_alternatives(
    spans: Mapping[int, TimeSpan],
    snapshots: Sequence[WindowSnapshot],
    terms: Terms,
    own: Collection[SessionId],
    *,
    sessions: SessionStore,
    clock: Clock,
) -> tuple[list[CheckedDate], list[WindowSnapshot]]:
    """Check each date once; return the dates, and the snapshots with the holds if they were read.

    Of a single date the holds are not read unless it is refused: placing them shows as much. *own*
    sessions hold nothing against themselves.
    """
    known = [*snapshots]
    if len(spans) > 1:
        known = await with_holds(known, own, sessions=sessions, clock=clock)
    checked = check_dates(spans, known, terms)
    if any(date.refused for date in checked):
        known = await with_holds(known, own, sessions=sessions, clock=clock)
        checked = with_alternatives(checked, known, terms)
    return checked, known


async def with_holds(
    snapshots: Sequence[WindowSnapshot],
    own: Collection[SessionId],
    *,
    again: bool = False,
    sessions: SessionStore,
    clock: Clock,
) -> list[WindowSnapshot]:
    """Return *snapshots* with what other sessions than *own* hold; *again*: also if it was read."""

    async def one(snapshot: WindowSnapshot) -> WindowSnapshot:
        if snapshot.has_holds and not again:
            return snapshot
        availability: AvailabilitySnapshot = snapshot.availability
        held = await held_spans_by_address(
            availability.mailboxes,
            availability.window,
            except_sessions=own,
            sessions=sessions,
            clock=clock,
        )
        return replace(snapshot, held=held, has_holds=True)

    return await gather_limited(map(one, snapshots))


async def held_spans_by_address(
    mailboxes: Mapping[str, Mailbox],
    window: TimeSpan,
    *,
    except_sessions: Collection[SessionId] = (),
    sessions: SessionStore,
    clock: Clock,
) -> dict[str, list[TimeSpan]]:
    """Return what sessions hold of each mailbox's time in *window*, by address."""
    read = partial(sessions.holds, window=window, now=clock.now())
    holds = await gather_limited(read(mailbox) for mailbox in mailboxes.values())
    return {
        address: spans
        for address, found in zip(mailboxes, holds, strict=True)
        if (spans := [hold.span for hold in found if hold.session_id not in except_sessions])
    }
