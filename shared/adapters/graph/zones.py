"""The time zones by all the names that mailboxes and events have for them."""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import available_timezones

from tzlocal.windows_tz import win_tz

from shared.availability.working_hours import zone_of

UTC_NAMES: Final = frozenset({"UTC", "tzone://Microsoft/Utc", "Etc/UTC", "Etc/GMT"})
_OTHER_NAMES: Final = {
    "Coordinated Universal Time": "UTC",
    "Armenian Standard Time": "Asia/Yerevan",
    "Jerusalem Standard Time": "Asia/Jerusalem",
    "Kamchatka Standard Time": "Asia/Kamchatka",
    "Malay Peninsula Standard Time": "Asia/Singapore",
    "Mexico Standard Time": "America/Mexico_City",
    "Mexico Standard Time 2": "America/Chihuahua",
    "Mid-Atlantic Standard Time": "Etc/GMT+2",
    "Russia TZ 1 Standard Time": "Europe/Kaliningrad",
    "Russia TZ 2 Standard Time": "Europe/Moscow",
    "Russia TZ 3 Standard Time": "Europe/Samara",
    "Russia TZ 4 Standard Time": "Asia/Yekaterinburg",
    "Russia TZ 5 Standard Time": "Asia/Novosibirsk",
    "Russia TZ 6 Standard Time": "Asia/Krasnoyarsk",
    "Russia TZ 7 Standard Time": "Asia/Irkutsk",
    "Russia TZ 8 Standard Time": "Asia/Yakutsk",
    "Russia TZ 9 Standard Time": "Asia/Vladivostok",
    "Russia TZ 10 Standard Time": "Asia/Srednekolymsk",
    "Russia TZ 11 Standard Time": "Asia/Kamchatka",
}
"""Names that CLDR's table does not have: retired ones, and those that Windows shows."""


def zone_named(name: object) -> tzinfo | None:
    """Return the zone called *name*, in any letter case; None for the name of no known zone.

    ``tzone://Microsoft/Custom`` and ``Customized Time Zone`` stand for rules that Graph does not
    tell. Source: https://learn.microsoft.com/graph/api/resources/event (originalStartTimeZone)
    """
    return _zone_named(name) if isinstance(name, str) else None


@lru_cache(maxsize=1024)
def _zone_named(name: str) -> tzinfo | None:
    if name in UTC_NAMES:
        return UTC
    for known in (name, _names().get(name.casefold(), "")):
        if known in UTC_NAMES:
            return UTC
        try:
            return zone_of(known)
        except ValueError:
            continue
    return None


@lru_cache(maxsize=1)
def _names() -> Mapping[str, str]:
    """Return the known names by their lower case."""
    named = {name.casefold(): name for name in (*available_timezones(), *win_tz, *UTC_NAMES)}
    return named | {name.casefold(): key for name, key in _OTHER_NAMES.items()}
