"""Offering a pairing's bookable slots, from the participants' free/busy and the app's holds."""

from shared.availability.finding import (
    Availability,
    AvailabilityRequest,
    find_availability,
    request_rules,
)
from shared.availability.ports import Schedules
from shared.availability.snapshot import read_schedules
from shared.clock import Clock
from shared.concurrency import gather_both
from shared.organizations.model import MAX_BUFFER, Caller
from shared.pairings.model import Pairing
from shared.sessions.ports import SessionStore
from shared.sessions.snapshots import held_spans_by_address


async def offer_slots(
    caller: Caller,
    pairing: Pairing,
    request: AvailabilityRequest,
    *,
    schedules: Schedules,
    sessions: SessionStore,
    clock: Clock,
) -> Availability:
    """Return the slots of *pairing*, from one getSchedule and the holds, which are read meanwhile.

    Outlook's free/busy shows a session some time after it was booked; until then only its holds
    keep the slot out.

    Raises:
        Invalid: names the field of the query; nothing was read.
        Also the errors of `Schedules.read` and `SessionStore.holds`.
    """
    rules = request_rules(caller.organization.settings, pairing, request, clock.now())
    mailboxes = {p.address: m for p in pairing.participants if (m := pairing.mailbox(p))}
    # Holds this far outside the window matter as well.
    window = request.window.widened(2 * MAX_BUFFER, 2 * MAX_BUFFER)
    snapshot, held = await gather_both(
        read_schedules(caller, pairing.people, request.window, schedules=schedules),
        held_spans_by_address(mailboxes, window, sessions=sessions, clock=clock),
    )
    return find_availability(pairing, snapshot, request, rules, held=held)
