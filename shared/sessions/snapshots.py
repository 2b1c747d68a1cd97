"""Reading the snapshots that dates are checked against: free/busy and holds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from shared.availability.model import HeldSpan
from shared.availability.ports import Schedules
from shared.availability.snapshot import AvailabilitySnapshot, read_schedules
from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.ids import Mailbox, SessionId
from shared.organizations.model import MAX_BUFFER, Caller
from shared.pairings.model import Invitee
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
"""Below the four concurrent requests that Outlook serves per app and mailbox.

Source: https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits
"""


async def read_snapshots(
    caller: Caller,
    people: Sequence[Invitee],
    spans: Sequence[TimeSpan],
    terms: Terms,
    *,
    freed: Sequence[Session] = (),
    schedules: Schedules,
) -> list[WindowSnapshot]:
    """Read the free/busy of *people* around *spans* in as few calls as possible, by start.

    *freed*: sessions that are being moved; their present time is taken as free.
    """

    async def one(window: TimeSpan) -> WindowSnapshot:
        availability = await read_schedules(caller, people, window, schedules=schedules)
        for session in freed:
            availability = availability.ignoring(
                session.span,
                is_all_day=session.dates is not None,
                except_of=session.declined_addresses,
            )
        return WindowSnapshot(availability)

    windows = windows_for(spans, terms.rules, caller.organization.settings)
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

    For a single date the holds are read only if it is refused: placing its hold finds a conflict as
    well. It is checked again with them then, so that the refusal has every reason. Holds of *own*
    sessions are ignored.
    """
    known = [*snapshots]
    if len(spans) > 1:
        known = await with_holds(known, own, sessions=sessions, clock=clock)
    checked = check_dates(spans, known, terms)
    if any(date.refused for date in checked):
        if len(spans) == 1:
            known = await with_holds(known, own, sessions=sessions, clock=clock)
            checked = check_dates(spans, known, terms)
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
    """Return *snapshots* with the holds of other sessions than *own*; *again*: read them anew."""

    async def one(snapshot: WindowSnapshot) -> WindowSnapshot:
        if snapshot.has_holds and not again:
            return snapshot
        availability: AvailabilitySnapshot = snapshot.availability
        held = await held_spans_by_address(
            availability.mailboxes,
            availability.window.widened(MAX_BUFFER, MAX_BUFFER),
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
) -> dict[str, list[HeldSpan]]:
    """Return the spans that sessions hold in *window*, by address; none for an empty mailbox."""
    read = partial(sessions.holds, window=window, now=clock.now())
    holds = await gather_limited(read(mailbox) for mailbox in mailboxes.values())
    return {
        address: [HeldSpan(hold.span, hold.buffers) for hold in others]
        for address, found in zip(mailboxes, holds, strict=True)
        if (others := [hold for hold in found if hold.session_id not in except_sessions])
    }
