"""What a caller may spend in a minute and in a day, and what they have spent. Pure.

A window is a minute or a day by the clock, in UTC. A request is admitted as long as its window is
not full, whatever its size: so a series of 52 dates is never too large, only too late.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.ids import Mailbox, OrganizationId

_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)
_REMEMBERED: Final = 100
"""The number of requests whose keys a row remembers: more than a person makes while one is lost."""
_NEVER: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Spending(StrEnum):
    """What is limited."""

    CHANGES = "changes"
    """Dates that are booked, moved or answered: each changes a mailbox."""
    READS = "reads"
    """Reads of the calendars of all people of a meeting."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent. 0: any amount."""

    per_minute: int = 0
    per_day: int = 0

    @property
    def is_unlimited(self) -> bool:
        """Return whether nothing is limited."""
        return not self.per_minute and not self.per_day


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a deployment."""

    participant: Mapping[Spending, Budget] = field(default_factory=dict)
    organization: Mapping[Spending, Budget] = field(default_factory=dict)
    unanswered: int = 0
    """Dates ahead to which a participant has invited and which are not answered. 0: any number."""

    def budget_of(self, spender: "Spender") -> Budget:
        """Return the budget of *spender*."""
        budgets = self.participant if spender.mailbox else self.organization
        return budgets.get(spender.spending, Budget())


@dataclass(frozen=True, slots=True)
class Spender:
    """A participant, or a whole organization, and what they spend."""

    spending: Spending
    organization_id: OrganizationId
    mailbox: Mailbox | None = None
    """None: the organization."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was spent in the minute or the day that began then."""

    began_at: datetime = _NEVER
    spent: int = 0

    def at(self, began_at: datetime) -> "Window":
        """Return the window that began at *began_at*: this one, unless it is an earlier one.

        A later one stays: the clock of another instance is ahead.
        """
        return self if self.began_at >= began_at else Window(began_at)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a spender has spent, as stored."""

    minute: Window = Window()
    day: Window = Window()
    admitted: Mapping[str, int] = field(default_factory=dict)
    """What was spent by each of the last requests, by key: a retry is not counted again."""
    unanswered: int = 0
    """The dates ahead that were not answered, by what was booked; counted anew once it is too many.

    A move takes answers back, and adds nothing here.
    """

    def at(self, now: datetime) -> "Usage":
        """Return the usage in the windows of *now*."""
        minute = now.replace(second=0, microsecond=0)
        day = minute.replace(hour=0, minute=0)
        return replace(self, minute=self.minute.at(minute), day=self.day.at(day))

    def with_spent(self, amount: int, key: str = "") -> "Usage":
        """Return the usage with *amount* more, spent by the request *key*."""
        admitted = dict(self.admitted)
        if key:
            admitted[key] = admitted.pop(key, 0) + amount  # the last one now
        return replace(
            self,
            minute=replace(self.minute, spent=self.minute.spent + amount),
            day=replace(self.day, spent=self.day.spent + amount),
            admitted=dict([*admitted.items()][-_REMEMBERED:]),
        )

    def is_day_full(self, budget: Budget) -> bool:
        """Return whether nothing is left for the day."""
        return 0 < budget.per_day <= self.day.spent

    def full_until(self, budget: Budget) -> datetime | None:
        """Return when the full window of this usage ends; None if none is full."""
        if self.is_day_full(budget):
            return self.day.began_at + _DAY
        if budget.per_minute and self.minute.spent >= budget.per_minute:
            return self.minute.began_at + _MINUTE
        return None
