"""What an error of Outlook says about whether it did what was asked."""

from collections.abc import Iterable
from typing import Final, NoReturn

from shared.errors import (
    CalendarRefused,
    Conflict,
    ConsentMissing,
    EventGone,
    MailboxUnusable,
    SignInAgain,
)

OCCURRENCE_CROSSING_BOUNDARY: Final = "ErrorOccurrenceCrossingBoundary"
"""Graph's code where an occurrence would meet its neighbour."""
REFUSALS: Final = (CalendarRefused, ConsentMissing, MailboxUnusable, SignInAgain)
"""A definite no: Outlook has done nothing of it. After any other error nobody knows."""


def raise_refusal(refused: Exception) -> NoReturn:
    """Raise *refused*, as a Conflict with a remedy where the caller can choose another time."""
    if getattr(refused, "code", "") == OCCURRENCE_CROSSING_BOUNDARY:
        raise Conflict(
            "A date of a series cannot pass its neighbours, nor share their day.",
            remedy="Choose a time between them, or move this and the following sessions.",
        ) from refused
    raise refused


def raise_first_error(answers: Iterable[object]) -> None:
    """Raise the first error among *answers*; what is gone is no error.

    Those whose outcome a repetition finds out come before definite refusals.
    """
    errors = [a for a in answers if isinstance(a, Exception) and not isinstance(a, EventGone)]
    for error in sorted(errors, key=lambda each: isinstance(each, REFUSALS)):
        raise_refusal(error)
