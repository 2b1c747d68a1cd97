"""Which slots a pairing is offered: out of everybody's calendar and our own holds."""

import asyncio
from datetime import timedelta
from typing import Final

from shared.availability.finding import Availability, AvailabilityRequest, find_availability
from shared.ids import Mailbox
from shared.organizations.model import Caller
from shared.pairings.model import Pairing
from shared.sessions.booking import Books
from shared.timespan import TimeSpan

_BUFFERS: Final = timedelta(minutes=120)
"""Holds just outside the window matter too: a buffer is at most so long."""


async def offer_slots(
    participation: Caller,
    pairing: Pairing,
    request: AvailabilityRequest,
    *,
    books: Books,
) -> Availability:
    """Return the slots of *pairing*: one getSchedule, and the time that sessions hold.

    A session shows in Outlook a moment after it was booked; until then only the holds know.
    """
    held = asyncio.ensure_future(
        held_spans(pairing, request.window.widened(_BUFFERS, _BUFFERS), books)
    )
    try:
        return await find_availability(
            participation, pairing, request, held=held, schedules=books.schedules, clock=books.clock
        )
    finally:
        held.cancel()


async def held_spans(pairing: Pairing, window: TimeSpan, books: Books) -> dict[str, list[TimeSpan]]:
    """Return what sessions hold of each participant's time in *window*, by address."""
    now = books.clock.now()

    async def of(mailbox: Mailbox) -> list[TimeSpan]:
        return [hold.span for hold in await books.sessions.holds(mailbox, window, now)]

    known = [(p.address, m) for p in pairing.participants if (m := pairing.mailbox(p))]
    spans = await asyncio.gather(*(of(mailbox) for _, mailbox in known))
    return {address: found for (address, _), found in zip(known, spans, strict=True) if found}
