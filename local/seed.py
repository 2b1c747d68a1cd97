"""The seeded world: three customers, the platform's own tenant, people with busy weeks, pairings.

All ids are derived from names, so they are the same on every machine and after every start.
"""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import win_tz

from local.clock import CloudClock
from local.entra.managed_identity import ManagedIdentity
from local.world import CustomZone, DirectoryRole, MailboxKind, Person, Tenant, WorkingHours, World

_NAMESPACE: Final = uuid.UUID("6b8f1f0e-5d0a-4c55-9b5e-3f0a6a2d7c11")


def seeded_id(name: str) -> str:
    """Return the GUID that stands for *name* in the seed."""
    return str(uuid.uuid5(_NAMESPACE, name))


CLIENT_ID: Final = seeded_id("app registration")
PLATFORM_CLIENT_ID: Final = seeded_id("platform backend")
HOME_TENANT_ID: Final = seeded_id("tenant platform.example")
CONTOSO_ID: Final = seeded_id("tenant contoso.example")
FABRIKAM_ID: Final = seeded_id("tenant fabrikam.example")
NORTHWIND_ID: Final = seeded_id("tenant northwind.example")
IDENTITY: Final = ManagedIdentity(
    client_id=seeded_id("managed identity client"), principal_id=seeded_id("managed identity")
)


def seeded_world(clock: CloudClock | None = None) -> World:
    """Return the world that a local cloud starts with."""
    tenants = [_contoso(), _fabrikam(), _northwind(), _home()]
    return World(
        clock=clock or CloudClock(),
        tenants={tenant.tenant_id: tenant for tenant in tenants},
        client_id=CLIENT_ID,
        home_tenant_id=HOME_TENANT_ID,
        platform_client_id=PLATFORM_CLIENT_ID,
    )


_ADMIN: Final = frozenset({DirectoryRole.GLOBAL_ADMINISTRATOR})

CONSENTED: Final = (CONTOSO_ID, FABRIKAM_ID)
"""Tenants whose admin has approved the app already. The third tenant is for onboarding."""


def _contoso() -> Tenant:
    tenant = Tenant(CONTOSO_ID, "Contoso", "contoso.example")
    add = _adder(tenant)
    add("ada", "Ada Lindqvist", about="busy mentor")
    add("ben", "Ben Adeyemi", about="mentee, same zone as Ada")
    add("priya", "Priya Raman", zone="India Standard Time", about="mentee, UTC+5:30")
    add("tashi", "Tashi Gurung", zone="Nepal Standard Time", about="mentee, UTC+5:45")
    add(
        "dana",
        "Dana Whitfield",
        zone="Eastern Standard Time",
        # Eastern time in the form that Exchange uses for a zone without a name.
        custom_zone=CustomZone(
            bias=300,
            daylight_bias=-60,
            standard=(11, 1, "sunday", "02:00:00"),
            daylight=(3, 2, "sunday", "02:00:00"),
        ),
        hours=WorkingHours(start="09:00", end="17:30"),
        about="mentor in New York, working hours in a custom time zone",
    )
    add("layla", "ليلى حدّاد", zone="Arab Standard Time", hours=_SUNDAY_WEEK, about="mentor, Riyadh")
    add("misaki", "佐藤 美咲", zone="Tokyo Standard Time", about="mentee, Tokyo")
    add(
        "oskar",
        "Oskar Brandt",
        kind=MailboxKind.ON_PREMISES,
        teams=False,
        about="mentor, mailbox still on premises",
    )
    add("lena", "Lena Novak", kind=MailboxKind.UNLICENSED, teams=False, about="without a licence")
    add(
        "ruth",
        "Ruth Castellanos",
        assigned=False,
        in_scope=False,
        about="outside the group that may use the app",
    )
    add(
        "gil",
        "Gil Perrin",
        address="gil.perrin@partner.example",
        kind=MailboxKind.ABSENT,
        teams=False,
        assigned=False,
        in_scope=False,
        about="guest from outside",
    )
    add(
        "ines",
        "Inês Carvalho",
        zone="GMT Standard Time",
        directory_roles=_ADMIN,
        about="administrator",
    )
    return tenant


def _fabrikam() -> Tenant:
    tenant = Tenant(FABRIKAM_ID, "Fabrikam", "fabrikam.example")
    add = _adder(tenant, zone="Pacific Standard Time")
    add("faye", "Faye Donovan", about="mentor at another customer")
    add("hugo", "Hugo Marsh", about="mentee at another customer")
    add("rosa", "Rosa Delgado", directory_roles=_ADMIN, about="administrator of another customer")
    return tenant


def _northwind() -> Tenant:
    tenant = Tenant(NORTHWIND_ID, "Northwind", "northwind.example")
    add = _adder(tenant, zone="Romance Standard Time")
    add("nils", "Nils Ekberg", about="mentor; his company has not approved the app")
    add("noor", "Noor Haddad", about="mentee of the same company")
    add(
        "vera",
        "Vera Lang",
        directory_roles=_ADMIN,
        about="administrator who has not approved the app",
    )
    add(
        "arne",
        "Arne Holm",
        directory_roles=frozenset({DirectoryRole.APPLICATION_ADMINISTRATOR}),
        about="Application Administrator, who cannot approve the app",
    )
    add(
        "cleo",
        "Cleo Marin",
        directory_roles=frozenset({DirectoryRole.CLOUD_APPLICATION_ADMINISTRATOR}),
        about="Cloud Application Administrator, who cannot either",
    )
    return tenant


def _home() -> Tenant:
    return Tenant(HOME_TENANT_ID, "The mentoring platform", "platform.example")


_SUNDAY_WEEK: Final = WorkingHours(days=("sunday", "monday", "tuesday", "wednesday", "thursday"))


def _adder(tenant: Tenant, **defaults: Any) -> Any:  # noqa: ANN401 - keywords of Person
    def add(key: str, name: str, **facts: Any) -> None:  # noqa: ANN401 - the same
        given = {"address": f"{key}@{tenant.domain}"} | defaults | facts
        object_id = seeded_id(f"person {key}")
        tenant.people.append(
            Person(key=key, name=name, object_id=object_id, tenant_id=tenant.tenant_id, **given)
        )

    return add


# --- pairings


@dataclass(frozen=True, slots=True)
class SeededParticipant:
    """A participant. *object_id* is None for a person outside the tenant."""

    role: str
    """``mentor`` or ``mentee``."""
    object_id: str | None
    address: str


@dataclass(frozen=True, slots=True)
class SeededPairing:
    """A pairing to be written into the app's tables."""

    id: str
    organization_id: str
    tenant_id: str
    participants: tuple[SeededParticipant, ...]


@dataclass(frozen=True, slots=True)
class SeededOrganization:
    """A customer to be written into the app's tables."""

    id: str
    tenant_id: str | None
    name: str
    has_consented: bool


ORGANIZATIONS: Final = (
    SeededOrganization("contoso", CONTOSO_ID, "Contoso", has_consented=True),
    SeededOrganization("fabrikam", FABRIKAM_ID, "Fabrikam", has_consented=True),
)

_PAIRS: Final[tuple[tuple[str, str, str, tuple[str, ...]], ...]] = (
    ("ada-ben", "contoso", "ada", ("ben",)),
    ("ada-priya", "contoso", "ada", ("priya",)),
    ("dana-tashi", "contoso", "dana", ("tashi",)),
    ("layla-misaki", "contoso", "layla", ("misaki",)),
    ("oskar-ben", "contoso", "oskar", ("ben",)),
    ("ada-lena", "contoso", "ada", ("lena",)),
    ("ada-ruth", "contoso", "ada", ("ruth",)),
    ("ada-gil", "contoso", "ada", ("gil",)),
    ("ada-circle", "contoso", "ada", ("ben", "priya", "misaki")),
    ("faye-hugo", "fabrikam", "faye", ("hugo",)),
)


def seeded_pairings(world: World) -> list[SeededPairing]:
    """Return the pairings, in the order of the list above."""
    tenant_of = {each.id: each.tenant_id for each in ORGANIZATIONS}
    return [
        SeededPairing(
            id=pairing_id,
            organization_id=organization_id,
            tenant_id=str(tenant_of[organization_id]),
            participants=(
                _participant("mentor", world.person(mentor)),
                *(_participant("mentee", world.person(mentee)) for mentee in mentees),
            ),
        )
        for pairing_id, organization_id, mentor, mentees in _PAIRS
    ]


def _participant(role: str, person: Person) -> SeededParticipant:
    # A person without a mailbox in the tenant is registered by address alone, as platforms do.
    is_outside = person.kind is MailboxKind.ABSENT
    return SeededParticipant(role, None if is_outside else person.object_id, person.address)


# --- busy weeks


@dataclass(frozen=True, slots=True)
class Meeting:
    """An entry of a person's calendar. Instants are UTC; *show_as* is Graph's word."""

    start: datetime
    end: datetime
    show_as: str
    subject: str


@dataclass(frozen=True, slots=True)
class _Habit:
    """A weekly or occasional meeting."""

    subject: str
    start: time
    minutes: int
    weekdays: tuple[int, ...]
    show_as: str = "busy"
    likelihood: float = 1.0


_EVERY_DAY: Final = (0, 1, 2, 3, 4)
_HABITS: Final = (
    _Habit("Stand-up", time(9, 15), 15, _EVERY_DAY, likelihood=0.9),
    _Habit("Lunch", time(12, 0), 45, _EVERY_DAY, "tentative", 0.5),
    _Habit("Team meeting", time(10, 0), 60, (0,)),
    _Habit("One to one", time(14, 0), 30, (1, 3), likelihood=0.8),
    _Habit("Planning", time(13, 0), 90, (2,), likelihood=0.7),
    _Habit("Focus time", time(8, 0), 60, (1, 4), "workingElsewhere", 0.5),
    _Habit("Review", time(15, 30), 60, (4,), likelihood=0.6),
)
_NOW_AND_THEN: Final = (
    "Customer call",
    "Interview",
    "Design session",
    "Budget",
    "Training",
    "Architecture board",
    "Project status",
    "Supplier visit",
)
_LENGTHS: Final = (30, 30, 45, 60, 60, 90)
_BUSYNESS: Final = {"ada": 4, "dana": 3, "layla": 3, "faye": 3}
"""Meetings a day beside the habits; other people have one or two."""


def busy_weeks(
    person: Person, from_: date, weeks: int, rng: random.Random | None = None
) -> Iterator[Meeting]:
    """Yield the meetings of *weeks* weeks from *from_* on, by start, in *person*'s own hours.

    The same every time for the same person and Monday, unless *rng* says otherwise.
    """
    monday = from_ - timedelta(days=from_.weekday())
    zone = zone_of(person)
    for number in range(weeks):
        week = monday + timedelta(weeks=number)
        chance = rng or random.Random(f"{person.key} {week}")
        meetings = [*_habits(week, zone, chance), *_others(person, week, zone, chance)]
        yield from sorted(meetings, key=lambda each: (each.start, each.end, each.subject))


def zone_of(person: Person) -> ZoneInfo:
    """Return the zone of the mailbox, whose name is Windows' or the IANA one."""
    return ZoneInfo(win_tz.get(person.zone, person.zone))


def _habits(week: date, zone: ZoneInfo, chance: random.Random) -> Iterator[Meeting]:
    for habit in _HABITS:
        for weekday in habit.weekdays:
            if chance.random() < habit.likelihood:
                day = week + timedelta(days=weekday)
                yield _meeting(day, habit.start, habit.minutes, zone, habit.show_as, habit.subject)


def _others(person: Person, week: date, zone: ZoneInfo, chance: random.Random) -> Iterator[Meeting]:
    count = _BUSYNESS.get(person.key, 1)
    opens, closes = (int(each.split(":")[0]) for each in (person.hours.start, person.hours.end))
    if chance.random() < 0.08:
        day = week + timedelta(days=chance.choice(_EVERY_DAY))
        yield _meeting(day, time(0, 0), 24 * 60, zone, "oof", "Away")
    for weekday in _EVERY_DAY:
        for _ in range(chance.randint(count - 1, count)):
            start = time(chance.randint(opens, closes - 2), chance.choice((0, 0, 15, 30, 30, 45)))
            show_as = chance.choices(("busy", "tentative"), (6, 1))[0]
            day, subject = week + timedelta(days=weekday), chance.choice(_NOW_AND_THEN)
            yield _meeting(day, start, chance.choice(_LENGTHS), zone, show_as, subject)


def _meeting(
    day: date, start: time, minutes: int, zone: ZoneInfo, show_as: str, subject: str
) -> Meeting:
    begins = datetime.combine(day, start, zone).astimezone(UTC)
    return Meeting(begins, begins + timedelta(minutes=minutes), show_as, subject)
