"""Working hours and mailbox settings as Graph writes them."""

from local.graph.errors import Json
from local.world import CustomZone, Person


def working_hours_json(person: Person) -> Json:
    """Write ``workingHours``, with a customTimeZone where the mailbox has one."""
    hours = person.hours
    return {
        "daysOfWeek": list(hours.days),
        "startTime": _full(hours.start),
        "endTime": _full(hours.end),
        "timeZone": _zone(person),
    }


def _zone(person: Person) -> Json:
    if person.hours_zone is not None:
        return {"name": person.hours_zone}
    return _custom(person.custom_zone) if person.custom_zone else {"name": person.zone}


def _custom(zone: CustomZone) -> Json:
    """Write the zone with the sign the live service uses: UTC = local + bias."""
    return {
        "@odata.type": "#microsoft.graph.customTimeZone",
        "bias": zone.bias,
        "name": "Customized Time Zone",
        "standardOffset": _change(zone.standard),
        "daylightOffset": {"daylightBias": zone.daylight_bias} | _change(zone.daylight),
    }


def _change(change: tuple[int, int, str, str]) -> Json:
    month, occurrence, weekday, time = change
    return {
        "time": _full(time),
        "dayOccurrence": occurrence,
        "dayOfWeek": weekday,
        "month": month,
        "year": 0,
    }


def _full(time: str) -> str:
    """Write ``HH:MM`` or ``HH:MM:SS`` with seconds and seven digits."""
    return {5: f"{time}:00.0000000", 8: f"{time}.0000000"}.get(len(time), time)
