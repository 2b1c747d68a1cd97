"""Explains unknown availability to people: the reason and the remedy, in words. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shared.availability.model import Unknown, UnknownReason


@dataclass(frozen=True, slots=True)
class Explanation:
    """The words for one reason."""

    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class UnknownAvailability:
    """A participant whose availability is unknown, and the reason."""

    address: str
    unknown: Unknown

    @property
    def reason(self) -> UnknownReason:
        """Return the reason, for programs."""
        return self.unknown.reason

    @property
    def code(self) -> str:
        """Return Exchange's error code, or an empty text."""
        return self.unknown.code

    @property
    def detail(self) -> str:
        """Return the reason, for people."""
        return EXPLANATIONS[self.reason].detail

    @property
    def remedy(self) -> str:
        """Return the remedy and who can apply it."""
        return EXPLANATIONS[self.reason].remedy


EXPLANATIONS: Final[Mapping[UnknownReason, Explanation]] = {
    UnknownReason.OUTSIDE_TENANT: Explanation(
        "This person is not in the organization's directory, so their calendar cannot be read.",
        "Ask them when they are free, and book all the same: they get the invitation.",
    ),
    UnknownReason.NOT_FOUND: Explanation(
        "Exchange finds no mailbox with this address: it is misspelt, of another organization, or "
        "has no Exchange licence.",
        "The platform checks the address of this participant; an administrator checks that the "
        "person has a mailbox.",
    ),
    UnknownReason.NO_ACCESS: Explanation(
        "This person's calendar does not show others when it is free.",
        "In Outlook they share the calendar inside the organization with “Can view when I'm busy”.",
    ),
    UnknownReason.NOT_REACHABLE: Explanation(
        "Exchange could not ask the server that holds this calendar; it may be on premises.",
        "Try again in a few minutes. If it stays so, an administrator checks the hybrid "
        "connection or moves the mailbox to Exchange Online.",
    ),
    UnknownReason.TOO_MANY_ENTRIES: Explanation(
        "This calendar has more entries in this time than Exchange reports at once.",
        "Ask for fewer days.",
    ),
    UnknownReason.NO_ANSWER: Explanation(
        "Exchange answered, but said nothing about this calendar.",
        "Try again in a few minutes; if it stays so, ask the person when they are free.",
    ),
    UnknownReason.UNREADABLE: Explanation(
        "Exchange's answer about this calendar has an entry that cannot be read.",
        "Ask the person when they are free, and book all the same: they get the invitation.",
    ),
}
