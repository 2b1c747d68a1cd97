"""Outlook's errors by outcome: a refusal has changed nothing, any other outcome is unknown."""

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
"""Graph's code for an occurrence on or beyond the day of its neighbour.

Source: https://learn.microsoft.com/graph/api/event-update
"""
NOT_ORGANIZER: Final = "ErrorCalendarIsNotOrganizer"
"""Graph's code for a change of a meeting that another mailbox organizes."""
REFUSALS: Final = (CalendarRefused, ConsentMissing, MailboxUnusable, SignInAgain)
"""Errors by which Outlook has changed nothing. After any other error the outcome is unknown."""


def raise_refusal(refused: Exception) -> NoReturn:
    """Raise *refused*, or a Conflict with a remedy if another time would be accepted."""
    if getattr(refused, "code", "") == OCCURRENCE_CROSSING_BOUNDARY:
        raise Conflict(
            "A date of a series cannot pass its neighbours, nor share their day.",
            remedy="Choose a time between them, or move this and the following sessions.",
        ) from refused
    if getattr(refused, "code", "") == NOT_ORGANIZER:
        raise Conflict(
            "Outlook says that the meeting is not the organizer's to change any more.",
            remedy="Read the session again in a minute, or cancel the meeting in Outlook.",
        ) from refused
    raise refused


def raise_first_error(answers: Iterable[object]) -> None:
    """Raise the first error among *answers*, except EventGone.

    An unknown outcome comes before a refusal, because a retry finds it out.
    """
    errors = [a for a in answers if isinstance(a, Exception) and not isinstance(a, EventGone)]
    for error in sorted(errors, key=lambda each: isinstance(each, REFUSALS)):
        raise_refusal(error)
