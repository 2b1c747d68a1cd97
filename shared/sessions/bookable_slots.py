"""Which slots a pairing is offered: out of everybody's calendar and our own holds."""

import asyncio
from datetime import timedelta
from typing import Final

from shared.availability.finding import Availability, AvailabilityRequest, find_availability
from shared.availability.ports import Schedules
from shared.clock import Clock
from shared.organizations.model import Caller
from shared.pairings.model import Pairing
from shared.sessions.ports import SessionStore
from shared.sessions.snapshots import held_spans_by_address

_BUFFERS: Final = timedelta(minutes=120)
"""Holds just outside the window matter too: a buffer is at most so long."""


async def offer_slots(
    participation: Caller,
    pairing: Pairing,
    request: AvailabilityRequest,
    *,
    schedules: Schedules,
    sessions: SessionStore,
    clock: Clock,
) -> Availability:
    """Return the slots of *pairing*: one getSchedule, and the time that sessions hold.

    A session shows in Outlook a moment after it was booked; until then only the holds know.
    """
    mailboxes = {p.address: m for p in pairing.participants if (m := pairing.mailbox(p))}
    window = request.window.widened(_BUFFERS, _BUFFERS)
    held = asyncio.ensure_future(
        held_spans_by_address(mailboxes, window, sessions=sessions, clock=clock)
    )
    try:
        return await find_availability(
            participation, pairing, request, held=held, schedules=schedules, clock=clock
        )
    finally:
        held.cancel()
