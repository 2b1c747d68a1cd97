"""The port of availability: reading free/busy."""

from collections.abc import Sequence
from typing import Protocol

from shared.availability.model import Schedule
from shared.organizations.model import ActingUser
from shared.timespan import TimeSpan


class Schedules(Protocol):
    """Reads free/busy."""

    async def read(
        self, acting: ActingUser, addresses: Sequence[str], window: TimeSpan
    ) -> list[Schedule]:
        """Return one schedule per address, in the given order, out of a single getSchedule call.

        *addresses*: 1 to 20. *window*: at most 42 days, its ends on multiples of 5 minutes.
        Source: https://learn.microsoft.com/graph/api/calendar-getschedule

        Raises:
            CalendarThrottled, CalendarUnavailable: a later retry may succeed.
            MailboxUnusable: the acting user has no mailbox that Graph reaches.
            ConsentMissing, SignInAgain, CalendarRefused
        """
        ...
