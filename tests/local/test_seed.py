"""The seed: the same every time, with a person of every kind."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from local.commands import list_people
from local.seed import (
    CONTOSO_ID,
    ORGANIZATIONS,
    busy_weeks,
    seeded_pairings,
    seeded_world,
    zone_of,
)
from local.world import MailboxKind
from shared.ids import OrganizationId, PairingId, TenantId
from shared.pairings.model import Pairing, Participant, ParticipantRole

MONDAY = date(2026, 3, 2)


def test_two_worlds_have_the_same_people() -> None:
    assert list(seeded_world().people()) == list(seeded_world().people())


def test_keys_and_addresses_are_unique() -> None:
    people = list(seeded_world().people())
    assert len({each.key for each in people}) == len(people)
    assert len({each.address for each in people}) == len(people)
    assert len({each.object_id for each in people}) == len(people)


def test_there_is_a_person_of_every_kind() -> None:
    people = seeded_world().tenants[CONTOSO_ID].people
    assert {each.kind for each in people} >= {
        MailboxKind.ONLINE,
        MailboxKind.ON_PREMISES,
        MailboxKind.UNLICENSED,
        MailboxKind.ABSENT,
    }
    assert any(not each.assigned and not each.in_scope for each in people)
    assert any(each.custom_zone for each in people)
    assert any(each.admin for each in people)
    offsets = {datetime(2026, 3, 2, tzinfo=zone_of(each)).utcoffset() for each in people}
    assert {timedelta(hours=5, minutes=30), timedelta(hours=5, minutes=45)} <= offsets


def test_pairings_are_such_as_the_app_takes() -> None:
    for seeded in seeded_pairings(seeded_world()):
        Pairing(
            id=PairingId(seeded.id),
            organization_id=OrganizationId(seeded.organization_id),
            tenant_id=TenantId(seeded.tenant_id),
            participants=tuple(
                Participant(ParticipantRole(each.role), each.address)
                for each in seeded.participants
            ),
        )
        assert seeded.organization_id in {each.id for each in ORGANIZATIONS}


def test_busy_weeks_are_the_same_on_every_start_day() -> None:
    ada = seeded_world().person("ada")
    weeks = list(busy_weeks(ada, MONDAY, 2))
    assert weeks == list(busy_weeks(ada, MONDAY + timedelta(days=3), 2))
    assert weeks[-1] == list(busy_weeks(ada, MONDAY + timedelta(days=7), 1))[-1]


@pytest.mark.parametrize("key", ["ada", "priya", "tashi", "misaki", "faye"])
def test_meetings_are_in_the_persons_own_days_and_sorted(key: str) -> None:
    person = seeded_world().person(key)
    meetings = list(busy_weeks(person, MONDAY, 8))
    assert len(meetings) > 8 * 5
    starts = [each.start for each in meetings]
    assert starts == sorted(starts)
    for meeting in meetings:
        local = meeting.start.astimezone(zone_of(person))
        assert meeting.start.tzinfo is UTC
        assert local.minute % 15 == 0
        assert 8 <= local.hour < 18 or meeting.show_as == "oof"
        assert meeting.end > meeting.start


def test_meetings_keep_their_wall_time_when_clocks_change() -> None:
    ada = seeded_world().person("ada")
    standups = {
        each.start.astimezone(ZoneInfo("Europe/Berlin")).time().isoformat()
        for each in busy_weeks(ada, MONDAY, 8)
        if each.subject == "Stand-up"
    }
    assert standups == {"09:15:00"}


def test_people_are_listed_with_their_peculiarity() -> None:
    listed = list_people()
    for each in seeded_world().people():
        assert each.address in listed
        assert each.about in listed
    assert "ada-ben" in listed
