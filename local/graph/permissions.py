"""The permission that each kind of call needs, delegated and application.

Source: https://learn.microsoft.com/graph/permissions-reference
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

Refusal = Literal["outlook", "directory", "subscription"]
"""The service that refuses: each has its own words."""


@dataclass(frozen=True, slots=True)
class RequiredPermission:
    """Any one of these is enough. Application permissions are named as they are granted."""

    delegated: frozenset[str]
    application: frozenset[str]
    refusal: Refusal = "outlook"


def _need(delegated: str, application: str, refusal: Refusal = "outlook") -> RequiredPermission:
    return RequiredPermission(frozenset(delegated.split()), frozenset(application.split()), refusal)


CALENDAR_BASIC: Final = _need(
    "Calendars.ReadBasic Calendars.Read Calendars.ReadWrite",
    "Calendars.ReadBasic.All Calendars.Read Calendars.ReadWrite",
)
"""Lists, views and getSchedule; without bodies, extensions and extended properties."""
CALENDAR_READ: Final = _need(
    "Calendars.Read Calendars.ReadWrite", "Calendars.Read Calendars.ReadWrite"
)
CALENDAR_WRITE: Final = _need("Calendars.ReadWrite", "Calendars.ReadWrite")
SUBSCRIBE: Final = _need("Calendars.Read", "Calendars.Read", "subscription")
"""The write permission is not enough: Graph refuses an app that holds only that.

Source: https://learn.microsoft.com/graph/api/subscription-post-subscriptions
"""
SETTINGS: Final = _need(
    "MailboxSettings.Read MailboxSettings.ReadWrite",
    "MailboxSettings.Read MailboxSettings.ReadWrite",
)
ME: Final = _need(
    "User.Read User.ReadBasic.All User.Read.All User.ReadWrite Directory.Read.All", "", "directory"
)
USERS: Final = _need(
    "User.ReadBasic.All User.Read.All User.ReadWrite.All Directory.Read.All",
    "User.ReadBasic.All User.Read.All User.ReadWrite.All Directory.Read.All",
    "directory",
)
USERS_FULL: Final = _need(
    "User.Read.All User.ReadWrite.All Directory.Read.All",
    "User.Read.All User.ReadWrite.All Directory.Read.All",
    "directory",
)
"""For ``assignedPlans``, ``onPremisesSyncEnabled`` and ``accountEnabled``."""
LICENSES: Final = _need(
    "LicenseAssignment.Read.All User.Read User.Read.All Directory.Read.All",
    "LicenseAssignment.Read.All User.Read.All Directory.Read.All",
    "directory",
)
ORGANIZATION: Final = _need(
    "User.Read Organization.Read.All User.Read.All Directory.Read.All",
    "Organization.Read.All User.Read.All Directory.Read.All",
    "directory",
)
ORGANIZATION_BY_ID: Final = _need("User.Read.All", "User.Read.All", "directory")
APPLICATIONS: Final = _need(
    "Application.Read.All Directory.Read.All",
    "Application.Read.All Directory.Read.All",
    "directory",
)
GRANTS: Final = _need("Directory.Read.All", "Directory.Read.All", "directory")
TRANSLATE: Final = _need(
    "User.ReadBasic.All User.Read User.Read.All", "User.Read.All User.ReadWrite.All"
)
TIME_ZONES: Final = _need(
    "User.Read User.ReadBasic.All User.Read.All", "User.ReadBasic.All User.Read.All"
)


def reads_bodies(granted: Collection[str]) -> bool:
    """Whether event bodies and extended properties may be shown."""
    return bool(CALENDAR_READ.delegated & set(granted))
