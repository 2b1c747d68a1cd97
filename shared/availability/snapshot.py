"""A snapshot of the participants' schedules: read once, then asked about slots and spans."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.availability.model import (
    MAX_WINDOW,
    SLOT_GRID,
    Obstacle,
    Obstacles,
    Quorum,
    Schedule,
    SlotRules,
    SpanEvaluation,
    Unknown,
    UnknownReason,
)
from shared.availability.person_masks import NO_HOLDS, HeldSpans
from shared.availability.ports import Schedules
from shared.availability.reasons import UnknownAvailability
from shared.availability.slots import evaluate_span, find_slots, nearest_to
from shared.availability.views import joined, why_unknown, without_own_session
from shared.concurrency import gather_both
from shared.errors import SlotTaken, SlotUnknown
from shared.ids import Mailbox
from shared.organizations.model import Caller, OrganizationSettings
from shared.pairings.model import Invitee
from shared.timespan import TimeSpan

_MESSAGES: Final = {
    Obstacle.BUSY: ("{} is busy then.", "{} are busy then."),
    Obstacle.HELD: (
        "{} has another mentoring session then.",
        "{} have another mentoring session then.",
    ),
    Obstacle.BUFFER: (
        "Free time is kept around sessions, and {} has something too close.",
        "Free time is kept around sessions, and {} have something too close.",
    ),
}
"""The sentences for (one person, the caller or several people)."""


@dataclass(frozen=True, slots=True)
class AvailabilitySnapshot:
    """The schedules of the people of a meeting, read once for *window*."""

    window: TimeSpan
    """The window that was read: the requested one with its buffers, on the grid."""
    people: tuple[Invitee, ...]
    caller: Mailbox
    schedules: tuple[Schedule, ...]
    """One for each of *people*, in their order."""

    @property
    def mailboxes(self) -> dict[str, Mailbox]:
        """Return the mailboxes of the people in the tenant, by address."""
        tenant_id = self.caller.tenant_id
        return {p.address: Mailbox(tenant_id, p.object_id) for p in self.people if p.object_id}

    @property
    def required_addresses(self) -> frozenset[str]:
        """Return the addresses of the required people; the caller always is one."""
        return frozenset(
            p.address for p in self.people if p.required or p.object_id == self.caller.object_id
        )

    @property
    def organizer_address(self) -> frozenset[str]:
        """Return the address of the caller, who would be the organizer."""
        me = self.caller.object_id
        return frozenset(p.address for p in self.people if p.object_id == me)

    def unknown_people(self) -> list[UnknownAvailability]:
        """Return the people whose availability is unknown, with the reasons."""
        reasons = ((s.address, why_unknown(s, self.window)) for s in self.schedules)
        return [UnknownAvailability(address, unknown) for address, unknown in reasons if unknown]

    def ignoring(
        self,
        span: TimeSpan,
        *,
        is_all_day: bool = False,
        except_of: AbstractSet[str] = frozenset(),
    ) -> "AvailabilitySnapshot":
        """Return a copy without the session at *span*, which is about to be rescheduled.

        *except_of*: addresses in whose calendars it is not, or as free time: they declined.
        """
        schedules = tuple(
            schedule
            if schedule.address in except_of
            else without_own_session(schedule, span, self.window, is_all_day=is_all_day)
            for schedule in self.schedules
        )
        return replace(self, schedules=schedules)

    def require_bookable(
        self,
        span: TimeSpan,
        rules: SlotRules,
        *,
        accept_unknown: bool = False,
        at_least: int | None = None,
        held: HeldSpans = NO_HOLDS,
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Check that *span* can be booked; return (unknown addresses, busy addresses).

        Working hours do not block a booking: people may agree on any time. Optional participants
        do not block it either. With *at_least*, any so many participants must be free, and the
        organizer must be one of them.

        Raises:
            SlotTaken: a required participant is busy at *span* or in the buffers around it.
            SlotUnknown: a required participant is unknown and *accept_unknown* is False.
                Both errors come without alternatives: `nearest_slots` finds them.
        """
        evaluation = evaluate_span(self.schedules, self.window, span, rules, held=held)
        unknown = evaluation.unknown_for
        others = {a for _, addresses in evaluation.obstacles for a in addresses}
        busy = tuple(s.address for s in self.schedules if s.address in others)
        if at_least is None:
            self._require_all(evaluation, accept_unknown=accept_unknown)
        else:
            self._require_quorum({s.address for s in self.schedules} - {*busy, *unknown}, at_least)
        return unknown, busy

    def _require_all(self, evaluation: SpanEvaluation, *, accept_unknown: bool) -> None:
        taken = [
            (obstacle, found)
            for obstacle, addresses in evaluation.obstacles
            if (found := tuple(a for a in addresses if a in self.required_addresses))
        ]
        if taken:
            raise SlotTaken(self._describe_obstacles(tuple(taken)))
        unknown = [a for a in evaluation.unknown_for if a in self.required_addresses]
        if unknown and not accept_unknown:
            raise SlotUnknown(
                "It is unknown whether all required participants are free then.",
                unknown=self._unknown_at(unknown),
            )

    def _require_quorum(self, free: AbstractSet[str], at_least: int) -> None:
        if not self.organizer_address.issubset(free):
            raise SlotTaken("You are not free then.")
        if len(free) < at_least:
            raise SlotTaken(f"Only {len(free)} of you are free then.")

    def nearest_slots(
        self,
        start: datetime,
        rules: SlotRules,
        *,
        held: HeldSpans = NO_HOLDS,
        count: int = 5,
        include_unknown: bool = False,
        at_least: int | None = None,
    ) -> list[TimeSpan]:
        """Return up to *count* slots next to *start*, nearest first, by the same rules.

        *at_least*: the caller and so many participants in all must be free, instead of all
        required participants.
        """
        required = self.required_addresses if at_least is None else self.organizer_address
        quorum = Quorum(required, at_least, include_unknown=include_unknown)
        slots = find_slots(self.schedules, self.window, rules, quorum=quorum, held=held)
        return [slot.span for slot in nearest_to(slots, start, count)]

    def _unknown_at(self, addresses: Sequence[str]) -> list[UnknownAvailability]:
        known_reasons = {person.address: person for person in self.unknown_people()}
        # A participant with a known schedule is unknown where it ends: in an unread buffer.
        unread = Unknown(UnknownReason.NO_ANSWER)
        return [known_reasons.get(a) or UnknownAvailability(a, unread) for a in addresses]

    def _describe_obstacles(self, obstacles: Obstacles) -> str:
        sentences = []
        for obstacle, addresses in obstacles:
            people, is_one = self._describe_people(addresses)
            text = _MESSAGES[obstacle][0 if is_one else 1].format(people)
            sentences.append(text[0].upper() + text[1:])
        return " ".join(sentences)

    def _describe_people(self, addresses: Sequence[str]) -> tuple[str, bool]:
        """Return (the people of *addresses* in words, whether the verb is singular).

        The words name roles, never addresses.
        """
        if len(addresses) > 1:
            return f"{len(addresses)} participants", False
        one = next(p for p in self.people if p.address == addresses[0])
        if one.object_id == self.caller.object_id:
            return "you", False
        if one.role is None:
            return "an attendee", True
        same = [p for p in self.people if p.role is one.role]
        return f"{'the' if len(same) == 1 else 'a'} {one.role.value}", True


async def read_schedules(
    caller: Caller, people: Sequence[Invitee], window: TimeSpan, *, schedules: Schedules
) -> AvailabilitySnapshot:
    """Read the schedules of *people* for *window* and the buffers around it.

    People outside the tenant are left out of the call: Exchange has no mailbox of theirs.
    """
    read = _with_buffers(window, caller.organization.settings)
    known = [p.address for p in people if p.object_id]
    by_address = await _read(caller, known, read, schedules=schedules) if known else {}
    return AvailabilitySnapshot(
        window=read,
        people=tuple(people),
        caller=caller.mailbox,
        schedules=tuple(
            by_address.get(p.address) or Schedule(p.address, unknown=_no_schedule(p))
            for p in people
        ),
    )


async def _read(
    caller: Caller, addresses: Sequence[str], window: TimeSpan, *, schedules: Schedules
) -> dict[str, Schedule]:
    """Return the schedules of *addresses*, by address.

    Takes one call; two if the buffers make *window* longer than one call may ask for.
    """
    if window.duration <= MAX_WINDOW:
        return {s.address: s for s in await schedules.read(caller.acting, addresses, window)}
    cut = window.start + MAX_WINDOW
    first, rest = TimeSpan(window.start, cut), TimeSpan(cut, window.end)
    earlier, later = await gather_both(
        schedules.read(caller.acting, addresses, first),
        schedules.read(caller.acting, addresses, rest),
    )
    ends = {s.address: s for s in later}
    return {
        s.address: joined(s, first, ends[s.address], rest) for s in earlier if s.address in ends
    }


def _no_schedule(person: Invitee) -> Unknown:
    is_outside = person.object_id is None
    return Unknown(UnknownReason.OUTSIDE_TENANT if is_outside else UnknownReason.NO_ANSWER)


def _with_buffers(window: TimeSpan, settings: OrganizationSettings) -> TimeSpan:
    """Return *window* with its buffers, rounded outward to the grid."""
    start = _on_grid(window.start - settings.buffer_before)
    end = window.end + settings.buffer_after
    if _on_grid(end) < end:
        end = _on_grid(end) + SLOT_GRID
    return TimeSpan(start, end)


def _on_grid(instant: datetime) -> datetime:
    return instant.replace(minute=instant.minute // 5 * 5, second=0, microsecond=0)
