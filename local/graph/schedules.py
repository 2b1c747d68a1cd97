"""HTTP: getSchedule, the free/busy of up to twenty mailboxes.

Source: https://learn.microsoft.com/graph/api/calendar-getschedule
"""

import math
from datetime import datetime, timedelta
from typing import Final

from local.graph.backend import GraphBackend
from local.graph.errors import GraphError, Json, bad_request, invalid_property
from local.graph.http import GraphReply, GraphRequest
from local.graph.mailbox import Event, Mailbox
from local.graph.times import Moment
from local.graph.working_hours import working_hours_json
from local.world import MailboxKind, Person

_MOST_MAILBOXES: Final = 20
_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 5, 1440
_DIGITS: Final = {"tentative": 1, "busy": 2, "oof": 3}
_OPEN_SENSITIVITIES: Final = {"normal", "personal"}


async def get_schedule(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST getSchedule: 200 also if single mailboxes could not be read."""
    body = call.json()
    addresses = body.get("schedules")
    if not isinstance(addresses, list) or not all(isinstance(a, str) for a in addresses):
        raise invalid_property("schedules")
    if not 1 <= len(addresses) <= _MOST_MAILBOXES:
        raise bad_request(
            f"From 1 to {_MOST_MAILBOXES} schedules can be asked for at once.",
            "ErrorInvalidRequest",
        )
    start, end = _window(backend, body)
    minutes = _interval(body.get("availabilityViewInterval"), start, end)
    zone = call.time_zone
    value = [_schedule(backend, call, one, start, end, minutes, zone) for one in addresses]
    context = f"{call.root}/$metadata#Collection(microsoft.graph.scheduleInformation)"
    return GraphReply(200, {"@odata.context": context, "value": value})


def availability_view(
    events: list[Event],
    start: datetime,
    end: datetime,
    interval: timedelta,
    *,
    all_day_as_dates: bool = False,
) -> str:
    """Return a digit per interval: the strongest status that touches it wins."""
    digits = [0] * math.ceil((end - start) / interval)
    for event in events:
        if event.start_at == event.end_at:
            continue
        strength = _DIGITS.get(event.show_as, 0)
        begins, ends = (at.instant for at in _times(event, all_day_as_dates=all_day_as_dates))
        first = max((begins - start) // interval, 0)
        last = min(-(-(ends - start) // interval), len(digits))
        for place in range(first, last):
            digits[place] = max(digits[place], strength)
    return "".join(map(str, digits))


def _window(backend: GraphBackend, body: Json) -> tuple[datetime, datetime]:
    start = Moment.parse(body.get("startTime"), "startTime").instant
    end = Moment.parse(body.get("endTime"), "endTime").instant
    if end <= start:
        raise bad_request(
            "The end of the time window is not after its start.", "ErrorInvalidTimeInterval"
        )
    longest = timedelta(days=backend.switches.schedule_window_days)
    if end - start >= longest:
        raise bad_request(
            f"The requested time window must be under {longest.days} days.",
            "ErrorTimeIntervalTooBig",
        )
    return start, end


def _interval(value: object, start: datetime, end: datetime) -> int:
    # A captured sample sends it as a string.
    is_number = isinstance(value, int | str) and not isinstance(value, bool)
    if value is not None and not (is_number and str(value).isdecimal()):
        raise invalid_property("availabilityViewInterval")
    minutes = 30 if value is None else int(str(value))
    if not _SHORTEST_INTERVAL <= minutes <= _LONGEST_INTERVAL or (
        timedelta(minutes=minutes) > end - start
    ):
        raise bad_request(
            "The interval must be from 5 to 1440 minutes and no longer than the window.",
            "ErrorInvalidMergedFreeBusyInterval",
        )
    return minutes


def _schedule(
    backend: GraphBackend,
    call: GraphRequest,
    address: str,
    start: datetime,
    end: datetime,
    minutes: int,
    zone: str | None,
) -> Json:
    person = backend.people.find(call.caller.tenant_id, address)
    error = _error(backend, person, address)
    if error or person is None:
        return {"scheduleId": address, "scheduleItems": [], "error": error}
    mailbox = backend.store.mailbox(person)
    events = mailbox.view(start, end)
    too_many = len(events) > backend.switches.schedule_entries_limit
    if too_many or backend.switches.schedule_too_many_entries:
        return _too_many(backend, address, len(events))
    answer: Json = {"scheduleId": address}
    as_dates = backend.switches.schedule_all_day_as_dates
    if not _listed(address, backend.switches.schedule_without_view):
        interval = timedelta(minutes=minutes)
        view = availability_view(events, start, end, interval, all_day_as_dates=as_dates)
        answer["availabilityView"] = _odd_view(backend, address, view, start, minutes)
    if _listed(address, backend.switches.schedule_first_item_only):
        events = events[:1]
    if not _listed(address, backend.switches.schedule_without_items):
        # Whole items, also if they begin before or end after the window.
        answer["scheduleItems"] = [
            _item(event, call, mailbox, zone, as_dates=as_dates) for event in events
        ]
    return answer | {"workingHours": working_hours_json(person)}


def _odd_view(backend: GraphBackend, address: str, view: str, start: datetime, minutes: int) -> str:
    """Return *view* with the oddities that switches give the one of *address*."""
    switches = backend.switches
    if _listed(address, switches.schedule_free_view):
        view = "0" * len(view)
    for name, (first, last) in switches.schedule_no_data.items():
        if _listed(address, [name]):
            view = "".join(
                "5" if first <= (start + place * timedelta(minutes=minutes)).hour < last else digit
                for place, digit in enumerate(view)
            )
    for name, more in switches.schedule_digits.items():
        if _listed(address, [name]):
            view = view + "0" * more if more > 0 else view[: len(view) + more]
    return view


def _error(backend: GraphBackend, person: Person | None, address: str) -> Json | None:
    switched = {a.casefold(): code for a, code in backend.switches.schedule_errors.items()}
    if address.casefold() in switched:
        code = switched[address.casefold()]
        return {"message": f"The free/busy of {address} could not be read.", "responseCode": code}
    if person is None or person.kind in {MailboxKind.UNLICENSED, MailboxKind.ABSENT}:
        return {
            "message": f"Unable to resolve e-mail address <>SMTP:{address} to an Active "
            "Directory object.",
            "responseCode": "ErrorMailRecipientNotFound",
        }
    if person.kind is MailboxKind.ON_PREMISES and not backend.switches.schedule_on_premises_answers:
        return {
            "message": "Proxy web request failed.",
            "responseCode": "ErrorProxyRequestProcessingFailed",
        }
    return None


def _too_many(backend: GraphBackend, address: str, number: int) -> Json:
    limit = backend.switches.schedule_entries_limit
    message = (
        "The result set contains too many calendar entries. "
        f"The allowed size = {limit}; the actual size = {max(number, limit + 1)}."
    )
    if backend.switches.schedule_too_many_answers == "call":
        raise GraphError(400, "5006", message)
    error = {"message": message, "responseCode": "5006"}
    return {"scheduleId": address, "scheduleItems": [], "error": error}


def _times(event: Event, *, all_day_as_dates: bool) -> tuple[Moment, Moment]:
    """Return start and end: of an all-day event its true instants, unless they are *dates*."""
    start, end = event.details.start, event.details.end
    if event.details.is_all_day and all_day_as_dates:
        return Moment(start.wall, "UTC"), Moment(end.wall, "UTC")
    return start, end


def _item(
    event: Event, call: GraphRequest, mailbox: Mailbox, zone: str | None, *, as_dates: bool
) -> Json:
    start, end = _times(event, all_day_as_dates=as_dates)
    item: Json = {
        "status": event.show_as,
        "start": start.as_json(zone),
        "end": end.as_json(zone),
    }
    # By default an organization shares only times; the owner alone sees subjects.
    is_open = event.details.sensitivity in _OPEN_SENSITIVITIES
    if mailbox.id == call.caller.user_id and is_open:
        locations = event.details.locations
        item["isPrivate"] = False
        item["subject"] = event.details.subject
        item["location"] = locations[0]["displayName"] if locations else ""
    return item


def _listed(address: str, addresses: list[str]) -> bool:
    return address.casefold() in {one.casefold() for one in addresses}
