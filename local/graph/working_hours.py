"""Working hours and mailbox settings as Graph writes them."""

from local.graph.errors import Json
from local.world import CustomZone, Person


def working_hours_json(person: Person) -> Json:
    """Write ``workingHours``, with a customTimeZone where the mailbox has one."""
    hours = person.hours
    return {
        "daysOfWeek": list(hours.days),
        "startTime": f"{hours.start}:00.0000000",
        "endTime": f"{hours.end}:00.0000000",
        "timeZone": _custom(person.custom_zone) if person.custom_zone else {"name": person.zone},
    }


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
    full = {5: f"{time}:00.0000000", 8: f"{time}.0000000"}.get(len(time), time)
    return {
        "time": full,
        "dayOccurrence": occurrence,
        "dayOfWeek": weekday,
        "month": month,
        "year": 0,
    }
