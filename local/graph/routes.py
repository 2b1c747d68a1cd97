"""The table of paths, with the handler and permission of each; and the matching."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from local.graph import calendars, directory, events, schedules, subscription_routes
from local.graph.backend import Handler
from local.graph.mailbox import CALENDAR
from local.graph.permissions import (
    APPLICATIONS,
    CALENDAR_BASIC,
    CALENDAR_READ,
    CALENDAR_WRITE,
    GRANTS,
    LICENSES,
    ME,
    ORGANIZATION,
    ORGANIZATION_BY_ID,
    SETTINGS,
    SUBSCRIBE,
    TIME_ZONES,
    TRANSLATE,
    USERS,
    RequiredPermission,
)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation."""

    method: str
    pattern: str
    """Segments; ``{mailbox}`` stands for ``me`` or ``users/{id}``."""
    need: RequiredPermission
    handler: Handler
    by_handler: bool = False
    """The handler itself checks permissions, because they depend on more than the path."""


def _event_routes() -> Iterator[Route]:
    for place in ("", "calendar/", "calendars/{calendar}/"):
        base = f"{{mailbox}}/{place}events"
        one = f"{base}/{{event}}"
        yield Route("GET", base, CALENDAR_BASIC, events.list_events)
        yield Route("POST", base, CALENDAR_WRITE, events.create_event)
        yield Route("GET", one, CALENDAR_BASIC, events.show_event)
        yield Route("PATCH", one, CALENDAR_WRITE, events.update_event)
        yield Route("DELETE", one, CALENDAR_WRITE, events.delete_event)
        yield Route("GET", f"{one}/instances", CALENDAR_BASIC, events.list_instances)
        for name, handler in (
            ("cancel", events.cancel_event),
            ("accept", events.accept_event),
            ("decline", events.decline_event),
            ("tentativelyAccept", events.tentatively_accept_event),
            ("forward", events.forward_event),
        ):
            yield Route("POST", f"{one}/{name}", CALENDAR_WRITE, handler)
        yield Route("GET", f"{one}/extensions", CALENDAR_READ, events.list_extensions)
        yield Route("POST", f"{one}/extensions", CALENDAR_WRITE, events.create_extension)
        yield Route("GET", f"{one}/extensions/{{extension}}", CALENDAR_READ, events.show_extension)
        view = f"{{mailbox}}/{place}calendarView"
        yield Route("GET", view, CALENDAR_BASIC, events.list_view)
        yield Route("GET", f"{view}/delta", CALENDAR_READ, events.list_changes)
    for place in ("calendar", "calendars/{calendar}"):
        base = f"{{mailbox}}/{place}"
        yield Route("GET", base, CALENDAR_BASIC, calendars.show_calendar)
        yield Route("POST", f"{base}/getSchedule", CALENDAR_BASIC, schedules.get_schedule)


_PRINCIPAL: Final = "servicePrincipals/{id}"

ROUTES: Final = (
    *_event_routes(),
    Route("GET", "{mailbox}/calendars", CALENDAR_BASIC, calendars.list_calendars),
    Route("GET", "{mailbox}/mailboxSettings", SETTINGS, calendars.show_settings),
    Route("GET", "{mailbox}/outlook/supportedTimeZones", TIME_ZONES, calendars.list_time_zones),
    Route(
        "GET",
        "{mailbox}/outlook/supportedTimeZones({standard})",
        TIME_ZONES,
        calendars.list_time_zones_by_standard,
    ),
    Route("POST", "{mailbox}/translateExchangeIds", TRANSLATE, calendars.translate_ids),
    Route("GET", "me", ME, directory.show_me),
    Route("GET", "users", USERS, directory.list_users),
    Route("GET", "users/{id}", USERS, directory.show_user, by_handler=True),
    Route("GET", "me/licenseDetails", LICENSES, directory.list_licenses),
    Route("GET", "users/{id}/licenseDetails", LICENSES, directory.list_licenses),
    Route("GET", "organization", ORGANIZATION, directory.list_organizations),
    Route("GET", "organization/{id}", ORGANIZATION_BY_ID, directory.show_organization),
    Route("GET", "servicePrincipals", APPLICATIONS, directory.list_service_principals),
    Route("GET", _PRINCIPAL, APPLICATIONS, directory.show_service_principal),
    Route(
        "GET",
        f"{_PRINCIPAL}/appRoleAssignments",
        APPLICATIONS,
        directory.list_app_role_assignments,
    ),
    Route(
        "GET",
        f"{_PRINCIPAL}/appRoleAssignedTo",
        APPLICATIONS,
        directory.list_app_role_assigned_to,
    ),
    Route("GET", "oauth2PermissionGrants", GRANTS, directory.list_permission_grants),
    Route(
        "POST", "subscriptions", SUBSCRIBE, subscription_routes.create_subscription, by_handler=True
    ),
    Route("GET", "subscriptions", SUBSCRIBE, subscription_routes.list_subscriptions),
    Route("GET", "subscriptions/{subscription}", SUBSCRIBE, subscription_routes.show_subscription),
    Route(
        "PATCH", "subscriptions/{subscription}", SUBSCRIBE, subscription_routes.renew_subscription
    ),
    Route(
        "DELETE", "subscriptions/{subscription}", SUBSCRIBE, subscription_routes.delete_subscription
    ),
    Route(
        "POST",
        "subscriptions/{subscription}/reauthorize",
        SUBSCRIBE,
        subscription_routes.reauthorize_subscription,
    ),
)
"""Everything but ``$batch``, which calls the others."""


@dataclass(frozen=True, slots=True)
class Match:
    """A route with the parts of the path it names."""

    route: Route
    parameters: dict[str, str]
    user: str | None
    """The user of the mailbox: an id or name, ``me``, or None if the path names no mailbox."""


def match(method: str, segments: list[str]) -> Match | None:
    """Return the route of a path; literal segments compare without case."""
    for route in ROUTES:
        if route.method != method:
            continue
        parameters = _fit(_pattern(route), segments)
        if parameters is None:
            continue
        user = parameters.pop("mailbox", None)
        if "/calendar/" in f"/{route.pattern}/":
            parameters["calendar"] = CALENDAR
        return Match(route, parameters, user)
    return None


def knows(segments: list[str]) -> bool:
    """Whether any method is served at this path."""
    return any(_fit(_pattern(route), segments) is not None for route in ROUTES)


_SPLIT: Final = {route.pattern: tuple(route.pattern.split("/")) for route in ROUTES}


def _pattern(route: Route) -> tuple[str, ...]:
    return _SPLIT[route.pattern]


def _fit(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    rest = segments
    if pattern[0] == "{mailbox}":
        if rest[0].lower() == "me":
            found["mailbox"], rest = "me", rest[1:]
        elif rest[0].lower() == "users" and len(rest) > 1:
            found["mailbox"], rest = rest[1], rest[2:]
        else:
            return None
        pattern = pattern[1:]
    if len(pattern) != len(rest):
        return None
    for wanted, given in zip(pattern, rest, strict=True):
        name, bracket, _ = wanted.partition("({")
        if bracket:
            if not given.lower().startswith(name.lower() + "(timezonestandard="):
                return None
            found["standard"] = given
        elif wanted.startswith("{"):
            found[wanted.strip("{}")] = given
        elif wanted.lower() != given.lower():
            return None
    return found
