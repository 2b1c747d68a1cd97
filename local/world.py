"""The people of the simulated Office 365: tenants, people, peculiarities of their mailboxes.

The simulators of Entra and Graph share one `World`. Each keeps its own state (tokens, events).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from local.clock import CloudClock


class DirectoryRole(StrEnum):
    """Entra's directory roles, by the ids of their templates, as tokens name them in `wids`.

    Source: https://learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference
    """

    GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
    PRIVILEGED_ROLE_ADMINISTRATOR = "e8611ab8-c189-46e8-94e1-60213ab1f814"
    APPLICATION_ADMINISTRATOR = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
    CLOUD_APPLICATION_ADMINISTRATOR = "158c047a-c907-4556-b7ef-446551a6b5f7"
    USER = "b79fbf4d-3ef9-4689-8143-76b194e85509"
    """The role of every user."""


CONSENTING_ROLES: Final = frozenset(
    {DirectoryRole.GLOBAL_ADMINISTRATOR, DirectoryRole.PRIVILEGED_ROLE_ADMINISTRATOR}
)
"""The roles that may grant application permissions of Graph."""
DELEGATING_ROLES: Final = CONSENTING_ROLES | {
    DirectoryRole.APPLICATION_ADMINISTRATOR,
    DirectoryRole.CLOUD_APPLICATION_ADMINISTRATOR,
}
"""The roles that may grant delegated permissions, and so sign in to an app that is new.

Source: https://learn.microsoft.com/entra/identity/enterprise-apps/grant-admin-consent
"""


class MailboxKind(StrEnum):
    """The kind of a person's mailbox, which decides Graph's answers for it."""

    ONLINE = "online"
    ON_PREMISES = "on-premises"
    UNLICENSED = "unlicensed"
    SHARED = "shared"
    ABSENT = "absent"
    """A guest: in the directory, without a mailbox in this tenant."""


@dataclass(slots=True)
class WorkingHours:
    """The working hours of mailboxSettings. Times are wall-clock ``HH:MM`` or ``HH:MM:SS``."""

    days: tuple[str, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday")
    start: str = "08:00"
    end: str = "17:00"


@dataclass(slots=True)
class CustomZone:
    """A `customTimeZone` as the live service sends it: UTC = local + bias (+ daylight_bias).

    *standard* and *daylight* are (month, day_occurrence, day_of_week, time) of the yearly changes.
    """

    bias: int
    daylight_bias: int
    standard: tuple[int, int, str, str]
    daylight: tuple[int, int, str, str]


@dataclass(slots=True)
class Person:
    """A user of a tenant, with a mailbox of some kind."""

    key: str
    """Short name for the command line: ``ada``."""
    object_id: str
    tenant_id: str
    name: str
    address: str
    """SMTP address, and user principal name."""
    aliases: list[str] = field(default_factory=list)
    """Further addresses whose mail the mailbox gets."""
    zone: str = "W. Europe Standard Time"
    """Zone of the mailbox: a Windows name, as nearly always, or an IANA one."""
    custom_zone: CustomZone | None = None
    """If set, working hours have this instead of *zone*."""
    hours_zone: str | None = None
    """If set, working hours name this zone instead of *zone*, also one that does not exist."""
    hours: WorkingHours = field(default_factory=WorkingHours)
    kind: MailboxKind = MailboxKind.ONLINE
    teams: bool = True
    """Licensed for Teams: whether the calendar allows `teamsForBusiness`."""
    assigned: bool = True
    """In the group that may use the app; matters where the tenant requires assignment."""
    in_scope: bool = True
    """Inside the Exchange scope (RBAC) or access policy of the app; matters for app-only calls."""
    about: str = ""
    """Their peculiarity, in a line."""
    directory_roles: frozenset[DirectoryRole] = frozenset()

    @property
    def admin(self) -> bool:
        """May approve this app for the whole tenant."""
        return bool(self.directory_roles & CONSENTING_ROLES)

    @property
    def may_delegate(self) -> bool:
        """May let this app act for signed-in people, as whoever signs in first does."""
        return bool(self.directory_roles & DELEGATING_ROLES)


@dataclass(slots=True)
class Tenant:
    """A customer's (or the platform's own) Entra tenant."""

    tenant_id: str
    name: str
    domain: str
    people: list[Person] = field(default_factory=list)


@dataclass(slots=True)
class World:
    """The shared state of the simulators."""

    clock: CloudClock
    tenants: dict[str, Tenant]
    client_id: str
    """The app registration's client id, one for all tenants."""
    home_tenant_id: str
    """The tenant of the app registration and the platform."""
    platform_client_id: str
    """The platform's backend: a service principal of the home tenant with `Platform.Manage`."""

    def people(self) -> Iterator[Person]:
        """Yield all people, tenant by tenant."""
        for tenant in self.tenants.values():
            yield from tenant.people

    def person(self, who: str) -> Person:
        """Find a person by key, address (any case) or object id. KeyError if there is none."""
        for person in self.people():
            if who in (person.key, person.object_id) or who.casefold() == person.address.casefold():
                return person
        raise KeyError(who)
