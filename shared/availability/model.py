"""What is known of people's time: schedules as read, slots as found."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum

from shared.organizations.model import STEPS_MINUTES
from shared.timespan import TimeSpan

SLOT_GRID = timedelta(minutes=5)
"""The resolution of everything: views are asked for at it, times are multiples of it."""
MAX_WINDOW = timedelta(days=42)
"""What one getSchedule call is asked for at most (the Exchange service's own default limit)."""
MIN_DURATION, MAX_DURATION = timedelta(minutes=15), timedelta(minutes=480)


class BusyStatus(StrEnum):
    """Why somebody is not free."""

    TENTATIVE = "tentative"
    BUSY = "busy"
    OUT_OF_OFFICE = "out_of_office"


class UnknownReason(StrEnum):
    """Why it is not known whether somebody is free."""

    OUTSIDE_TENANT = "outside_tenant"
    NOT_FOUND = "not_found"
    NO_ACCESS = "no_access"
    NOT_REACHABLE = "not_reachable"
    """Exchange could not ask the server that holds the calendar."""
    TOO_MANY_ENTRIES = "too_many_entries"
    NO_ANSWER = "no_answer"
    """The answer had neither a view nor items for them."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Somebody's time is not known. *code* is Exchange's word, or empty."""

    reason: UnknownReason
    code: str = ""


@dataclass(frozen=True, slots=True)
class BusySpan:
    """Time that somebody has given away. Times and status only, never what for."""

    span: TimeSpan
    status: BusyStatus


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """When somebody works, in their own zone: *start* to *end* on *days* (Monday is 0).

    An *end* before *start* is a night shift into the next day.
    """

    days: frozenset[int]
    start: time
    end: time
    zone: tzinfo
    zone_name: str
    """As the mailbox names it, for people to read."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One person's free/busy over the window that was asked for.

    Exactly one source counts: *unknown* if set, else *view*, else *items*.
    """

    address: str
    """As it was asked for, lower case."""
    view: str | None = None
    """getSchedule's availabilityView: one digit per 5 minutes from the window's start; 1 tentative,
    2 busy, 3 out of office, 0 and 4 free."""
    items: tuple[BusySpan, ...] = ()
    """Busy time, perhaps reaching over the window's ends: read only where the view is missing."""
    hours: WorkingHours | None = None
    """None: the mailbox does not say, and every hour counts."""
    unknown: Unknown | None = None


@dataclass(frozen=True, slots=True)
class SlotRules:
    """What a slot must fulfil, besides everybody being free."""

    duration: timedelta
    step: timedelta
    """Distance between starts, counted from the full hour on the clocks of *zone*."""
    earliest_start: datetime
    """Now plus the minimum notice."""
    latest_start: datetime
    """Now plus the horizon."""
    buffer_before: timedelta = timedelta()
    """Must be free, but may lie outside working hours; so too *buffer_after*."""
    buffer_after: timedelta = timedelta()
    tentative_is_busy: bool = True
    zone: tzinfo = UTC
    """Whose full hours the starts are counted from: of whoever looks at the slots. In Kathmandu
    (+05:45) an hourly slot starts at a full hour there, not at a quarter past."""

    def __post_init__(self) -> None:
        if self.duration % SLOT_GRID or not MIN_DURATION <= self.duration <= MAX_DURATION:
            raise ValueError("a duration is 15 to 480 minutes, in multiples of 5")
        if self.step not in {timedelta(minutes=m) for m in STEPS_MINUTES}:
            raise ValueError("a step is 5, 10, 15, 30 or 60 minutes")


@dataclass(frozen=True, slots=True)
class Quorum:
    """For whom a time must be free to be a slot. Who is not *required* does not block it."""

    required: frozenset[str]
    """Addresses, at least one."""
    at_least: int | None = None
    """Besides, so many participants in all, required or not, must be known to be free."""
    include_unknown: bool = False
    """Required people nobody can tell about do not block, as long as one of them is known."""

    def __post_init__(self) -> None:
        if not self.required:
            raise ValueError("a quorum requires somebody")


@dataclass(frozen=True, slots=True)
class Slot:
    """A time that can be booked, with for whom it is known to be free."""

    span: TimeSpan
    confirmed_for: tuple[str, ...]
    """Addresses of those known to be free."""
    unknown_for: tuple[str, ...] = ()
    """Addresses of those nobody can tell about."""


class Obstacle(StrEnum):
    """Why a start is not offered."""

    BUSY = "busy"
    WORKING_HOURS = "working_hours"
    NOTICE = "notice"
    HORIZON = "horizon"
    BUFFER = "buffer"
    HELD = "held"
    """Another mentoring session is being booked or was booked there."""
    UNKNOWN = "unknown"


Obstacles = tuple[tuple[Obstacle, tuple[str, ...]], ...]
"""What is in the way, each with because of whom: addresses, perhaps none."""


@dataclass(frozen=True, slots=True)
class UnavailableStart:
    """Why the slot at *start* is not offered."""

    start: datetime
    obstacles: Obstacles


@dataclass(frozen=True, slots=True)
class SpanEvaluation:
    """Whether a given time can be taken."""

    obstacles: Obstacles
    """Busy, held or in a buffer of somebody required. Empty: nothing known is in the way."""
    unknown_for: tuple[str, ...]
    """Addresses of everybody nobody can tell about, required or not."""
    unknown_required: tuple[str, ...]
    """Those of them who are required: unknown is not free."""
    outside_hours: tuple[str, ...]
    """Addresses of those who do not work then; that does not forbid it."""
