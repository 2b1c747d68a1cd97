"""Schedules as they are read, the rules of a search, and the slots that it finds."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Final, NamedTuple

from shared.organizations.model import STEPS_MINUTES
from shared.timespan import TimeSpan

SLOT_GRID = timedelta(minutes=5)
"""The resolution of schedules and slots: views have it, times are multiples of it."""
MAX_WINDOW = timedelta(days=42)
"""The longest window of one getSchedule call (the Exchange service's own default limit)."""
MIN_DURATION, MAX_DURATION = timedelta(minutes=15), timedelta(minutes=480)


class BusyStatus(StrEnum):
    """Why a participant is not free."""

    TENTATIVE = "tentative"
    BUSY = "busy"
    OUT_OF_OFFICE = "out_of_office"


class UnknownReason(StrEnum):
    """Why it is not known whether a participant is free."""

    OUTSIDE_TENANT = "outside_tenant"
    NOT_FOUND = "not_found"
    NO_ACCESS = "no_access"
    NOT_REACHABLE = "not_reachable"
    """Exchange cannot reach the server that holds the calendar."""
    TOO_MANY_ENTRIES = "too_many_entries"
    NO_ANSWER = "no_answer"
    """The answer had neither a view nor items for this address, or no data for this time."""
    UNREADABLE = "unreadable"
    """The answer for this address has a part that cannot be read."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """An unknown schedule. *code* is Exchange's error code, or empty."""

    reason: UnknownReason
    code: str = ""


@dataclass(frozen=True, slots=True)
class BusySpan:
    """A busy span of a participant: its times and status, never its subject."""

    span: TimeSpan
    status: BusyStatus


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """A participant's working hours in their own zone: *start* to *end* on *days* (Monday is 0).

    An *end* before *start* is a night shift into the next day. An *end* in the last minute of a day
    is the end of the day: nobody can enter 24:00.
    """

    days: frozenset[int]
    start: time
    end: time
    zone: tzinfo | None
    """None: the mailbox names a zone that is not known. The hours count all the same."""
    zone_name: str
    """The zone's name in the mailbox, for people to read."""


@dataclass(frozen=True, slots=True, order=True)
class Buffers:
    """The free time that a session needs before and after itself, against everything."""

    before: timedelta = timedelta()
    after: timedelta = timedelta()


NO_BUFFERS: Final = Buffers()


class HeldSpan(NamedTuple):
    """A span that another session holds, with the buffers of that session."""

    span: TimeSpan
    buffers: Buffers = NO_BUFFERS


@dataclass(frozen=True, slots=True)
class Schedule:
    """One participant's free/busy in the requested window.

    *unknown* if set; else *view* and *items* together: of the two the one that is less free counts.
    """

    address: str
    """The requested address, lower case."""
    view: str | None = None
    """getSchedule's availabilityView: one digit per 5 minutes from the window's start; 1 tentative,
    2 busy, 3 out of office, 0 and 4 free. Any other character, and what is missing, is unknown.
    None: *items* are all that is known, and the rest is free."""
    items: tuple[BusySpan, ...] = ()
    """Busy time, may reach beyond the window's ends: all of it, or none if a part of it is not
    known. An entry of whole days may be there twice, once for each thing that it may mean."""
    hours: WorkingHours | None = None
    """None: the mailbox tells none, so every hour counts as working time."""
    unknown: Unknown | None = None


@dataclass(frozen=True, slots=True)
class SlotRules:
    """The rules of a slot, besides the participants being free."""

    duration: timedelta
    step: timedelta
    """Distance between starts, counted from the full hour on the clocks of *zone*."""
    earliest_start: datetime
    """Now plus the minimum notice."""
    latest_start: datetime
    """Now plus the horizon."""
    buffer_before: timedelta = timedelta()
    """Must be free but may lie outside working hours, as *buffer_after* may."""
    buffer_after: timedelta = timedelta()
    tentative_is_busy: bool = True
    zone: tzinfo = UTC
    """Starts are counted from the full hour of this zone, the caller's. In Kathmandu (+05:45) an
    hourly slot starts at a full hour there, not at a quarter past."""

    @property
    def buffers(self) -> Buffers:
        """Return both buffers."""
        return Buffers(self.buffer_before, self.buffer_after)

    def __post_init__(self) -> None:
        if self.duration % SLOT_GRID or not MIN_DURATION <= self.duration <= MAX_DURATION:
            raise ValueError("a duration is 15 to 480 minutes, in multiples of 5")
        if self.step not in {timedelta(minutes=m) for m in STEPS_MINUTES}:
            raise ValueError("a step is 5, 10, 15, 30 or 60 minutes")


@dataclass(frozen=True, slots=True)
class Quorum:
    """The participants who must be free at a slot. Others do not block it."""

    required: frozenset[str]
    """Addresses, at least one."""
    at_least: int | None = None
    """In addition, this many participants, required or not, must be known to be free."""
    include_unknown: bool = False
    """A required participant who is unknown does not block, as long as another one is known. What
    sessions hold of their time does."""

    def __post_init__(self) -> None:
        if not self.required:
            raise ValueError("a quorum requires at least one participant")


@dataclass(frozen=True, slots=True)
class Slot:
    """A time that can be booked, with the participants who are known to be free."""

    span: TimeSpan
    confirmed_for: tuple[str, ...]
    """Addresses of the participants who are known to be free."""
    unknown_for: tuple[str, ...] = ()
    """Addresses of the participants whose availability is unknown."""


class Obstacle(StrEnum):
    """Why a start is not offered."""

    BUSY = "busy"
    WORKING_HOURS = "working_hours"
    NOTICE = "notice"
    HORIZON = "horizon"
    BUFFER = "buffer"
    HELD = "held"
    """Another mentoring session holds the time."""
    UNKNOWN = "unknown"


Obstacles = tuple[tuple[Obstacle, tuple[str, ...]], ...]
"""Obstacles, each with the addresses of the participants concerned, perhaps none."""


@dataclass(frozen=True, slots=True)
class UnavailableStart:
    """The obstacles because of which no slot starts at *start*."""

    start: datetime
    obstacles: Obstacles


@dataclass(frozen=True, slots=True)
class SpanEvaluation:
    """Whether a given span can be booked."""

    obstacles: Obstacles
    """BUSY, HELD or BUFFER of required participants. Empty: there is no known obstacle."""
    unknown_for: tuple[str, ...]
    """Addresses of all participants whose availability is unknown, required or not."""
    unknown_required: tuple[str, ...]
    """The required ones of them, who block the span: unknown is not free."""
    outside_hours: tuple[str, ...]
    """Addresses of the participants who do not work then; they do not block the span."""
