"""What finding slots needs from outside."""

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
        """Return one schedule per address, in the order asked, out of a single getSchedule call.

        *addresses*: 1 to 20. *window*: at most 42 days, its ends on multiples of 5 minutes.

        Raises:
            CalendarThrottled, CalendarUnavailable: worth trying again later.
            MailboxUnusable: the acting user has no mailbox that Graph reaches.
            ConsentMissing, SignInAgain, CalendarRefused
        """
        ...
