"""Reads free/busy by getSchedule.

Source: https://learn.microsoft.com/graph/api/calendar-getschedule
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from msgraph.generated.users.item.calendar.get_schedule.get_schedule_post_request_body import (
    GetSchedulePostRequestBody,
)
from msgraph.generated.users.item.calendar.get_schedule.get_schedule_request_builder import (
    GetScheduleRequestBuilder,
)

from shared.adapters.graph.client import GraphClient, GraphSession
from shared.adapters.graph.responses import GraphCallFailed, GraphResponse
from shared.adapters.graph.times import read_dates, read_span, to_date_time_zone
from shared.adapters.graph.working_hours import read_hours
from shared.availability.model import (
    SLOT_GRID,
    BusySpan,
    BusyStatus,
    Schedule,
    Unknown,
    UnknownReason,
    WorkingHours,
)
from shared.availability.views import view_digits, whole_view
from shared.errors import CalendarUnavailable
from shared.organizations.model import ActingUser
from shared.timespan import TimeSpan

GRID_MINUTES: Final = SLOT_GRID // timedelta(minutes=1)
TOO_MANY: Final = "5006"
"""Exchange's code for more than 1,000 entries in the window, of one mailbox or of the call."""
SHORTEST_WINDOW: Final = timedelta(days=7)
"""A window of at most this length is not halved."""

REASONS: Final[Mapping[str, UnknownReason]] = {
    "ErrorMailRecipientNotFound": UnknownReason.NOT_FOUND,
    "ErrorNoFreeBusyAccess": UnknownReason.NO_ACCESS,
    "ErrorProxyRequestProcessingFailed": UnknownReason.NOT_REACHABLE,
    "ErrorServiceDiscoveryFailed": UnknownReason.NOT_REACHABLE,
    "ErrorFreeBusyGenerationFailed": UnknownReason.NOT_REACHABLE,
    "ErrorMailboxLogonFailed": UnknownReason.NOT_REACHABLE,
    "ErrorFreeBusyDLLimitReached": UnknownReason.TOO_MANY_ENTRIES,
    TOO_MANY: UnknownReason.TOO_MANY_ENTRIES,
}
"""Exchange's error codes for one mailbox; any other code counts as not reachable."""

_BUSY: Final[Mapping[str, BusyStatus | None]] = {
    "free": None,
    "workingelsewhere": None,
    "tentative": BusyStatus.TENTATIVE,
    "busy": BusyStatus.BUSY,
    "oof": BusyStatus.OUT_OF_OFFICE,
}


class GraphSchedules:
    """The `Schedules` port on Microsoft Graph. Each method raises what the port's does."""

    def __init__(self, client: GraphClient) -> None:
        self._client = client

    async def read(
        self, acting: ActingUser, addresses: Sequence[str], window: TimeSpan
    ) -> list[Schedule]:
        """Return one schedule per address, in the order of *addresses*.

        One request, unless Exchange finds too many entries for the whole call: then each half of
        the window is read by itself.
        """
        graph = self._client.acting(acting)
        try:
            answer = await self._ask(graph, addresses, window)
        except GraphCallFailed as failed:
            if failed.refusal.code != TOO_MANY:
                raise graph.error(failed.refusal) from None
            if window.duration <= SHORTEST_WINDOW:
                unknown = Unknown(UnknownReason.TOO_MANY_ENTRIES, TOO_MANY)
                return [Schedule(address.lower(), unknown=unknown) for address in addresses]
            return await self._read_halves(acting, addresses, window)
        return schedules_of(answer.json(), addresses, window)

    async def _read_halves(
        self, acting: ActingUser, addresses: Sequence[str], window: TimeSpan
    ) -> list[Schedule]:
        first, second = halves(window)
        known = await self.read(acting, addresses, first)
        if all(schedule.unknown for schedule in known):
            return known  # unknown in one half is unknown in the whole window
        return joined(known, await self.read(acting, addresses, second))

    @staticmethod
    async def _ask(
        graph: GraphSession, addresses: Sequence[str], window: TimeSpan
    ) -> GraphResponse:
        body = GetSchedulePostRequestBody(
            schedules=list(addresses),
            start_time=to_date_time_zone(window.start),
            end_time=to_date_time_zone(window.end),
            availability_view_interval=GRID_MINUTES,
        )
        builder = GetScheduleRequestBuilder(graph.adapter, graph.path())
        return await graph.send(builder.to_post_request_information(body), repeatable=True)


def schedules_of(
    answer: Mapping[str, Any], addresses: Sequence[str], window: TimeSpan
) -> list[Schedule]:
    """Parse getSchedule's *answer* into one schedule per address, in the order of *addresses*.

    Entries are matched by address, not by position. What cannot be read of one entry leaves that
    address, or that time of it, unknown, and the others as they are.

    Raises:
        CalendarUnavailable: the answer is not one of getSchedule.
    """
    entries = answer.get("value")
    if not isinstance(entries, list):
        raise CalendarUnavailable("Graph's answer about free/busy cannot be read.")
    payload: Mapping[str, Mapping[str, Any]] = {
        one["scheduleId"].lower(): one
        for one in entries
        if isinstance(one, dict) and isinstance(one.get("scheduleId"), str)
    }
    return [
        _schedule(address.lower(), payload.get(address.lower()), window) for address in addresses
    ]


def halves(window: TimeSpan) -> tuple[TimeSpan, TimeSpan]:
    """Return the two halves of *window*, cut on the grid."""
    middle = window.start + (window.duration / 2) // SLOT_GRID * SLOT_GRID
    return TimeSpan(window.start, middle), TimeSpan(middle, window.end)


def joined(first: Sequence[Schedule], second: Sequence[Schedule]) -> list[Schedule]:
    """Join the schedules of two halves into those of the whole window, by position.

    A schedule that is unknown in one half is unknown: it has one source for the whole window.
    """
    return [_joined(a, b) for a, b in zip(first, second, strict=True)]


def _joined(first: Schedule, second: Schedule) -> Schedule:
    unknown = first.unknown or second.unknown
    hours = first.hours or second.hours
    if unknown:
        return Schedule(first.address, hours=hours, unknown=unknown)
    # Both halves have an entry that spans the middle, in full, so duplicates are dropped.
    items = tuple(dict.fromkeys((*first.items, *second.items)))
    if first.view is not None and second.view is not None:
        view = first.view + second.view
        return Schedule(first.address, view=view, items=items, hours=hours)
    if first.view is None and second.view is None:
        return Schedule(first.address, items=items, hours=hours)
    mixed = Unknown(UnknownReason.NO_ANSWER)
    return Schedule(first.address, hours=hours, unknown=mixed)


def _schedule(address: str, payload: Mapping[str, Any] | None, window: TimeSpan) -> Schedule:
    if payload is None:
        return Schedule(address, unknown=Unknown(UnknownReason.NO_ANSWER))
    if (error := payload.get("error")) is not None:
        return Schedule(address, unknown=_unknown(error))
    hours = read_hours(payload.get("workingHours"))
    items, are_read = _items(payload.get("scheduleItems"), hours)
    view, digits = payload.get("availabilityView"), window.duration // SLOT_GRID
    if isinstance(view, str) and view:
        # Every digit counts by itself. Where view and items contradict, the less free one counts.
        schedule = Schedule(address, view=whole_view(view, digits), items=items, hours=hours)
        if are_read:
            return schedule
        return replace(schedule, view=view_digits(schedule, window, digits), items=())
    if are_read:
        return Schedule(address, items=items, hours=hours)
    is_empty = not payload.get("scheduleItems")
    reason = UnknownReason.NO_ANSWER if is_empty else UnknownReason.UNREADABLE
    return Schedule(address, hours=hours, unknown=Unknown(reason))


def _unknown(error: object) -> Unknown:
    code = str(error.get("responseCode") or "") if isinstance(error, dict) else ""
    return Unknown(REASONS.get(code, UnknownReason.NOT_REACHABLE), code)


def _items(payload: object, hours: WorkingHours | None) -> tuple[tuple[BusySpan, ...], bool]:
    """Return the busy items, and whether they say all: an empty list proves nothing."""
    if not isinstance(payload, list):
        return (), False
    found, are_read = [], bool(payload)
    for item in payload:
        try:
            # An unknown status counts as busy: unknown is not free.
            status = _BUSY.get(str(item.get("status")).lower(), BusyStatus.BUSY)
            if status is None:
                continue
            given = read_span(item.get("start"), item.get("end"))
            if not given.is_empty:  # an entry of zero minutes takes no time
                found += [BusySpan(span, status) for span in _readings(item, given, hours)]
        except (CalendarUnavailable, KeyError, TypeError, ValueError, AttributeError):
            are_read = False
    return tuple(found), are_read


def _readings(
    item: Mapping[str, Any], given: TimeSpan, hours: WorkingHours | None
) -> Iterable[TimeSpan]:
    """Return the time of *item*; if it goes from midnight to midnight, also the days it may mean.

    getSchedule has been seen to give the true instants of an all-day entry, but it is documented
    nowhere, there is no mark of such an entry, and events show it as midnight to midnight in any
    zone. So such an item is taken both ways: as it is given, and as days in the mailbox's zone.
    Source: https://github.com/microsoftgraph/microsoft-graph-explorer-v4/issues/578
    """
    try:
        dates = read_dates(item["start"], item["end"])
        zone = hours.zone if hours else None
        days = dates.span_in(zone) if zone else dates.span_anywhere()
    except (CalendarUnavailable, OverflowError):
        return [given]  # it has hours
    return dict.fromkeys((given, days))
