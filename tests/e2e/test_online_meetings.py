"""Online meetings over HTTP: every request with every kind of calendar, late and missing links."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared.changes.model import ChangeKind
from shared.sessions.online_meeting import (
    MeetingProvider,
    OnlineMeeting,
    OnlineMeetingReason,
    OnlineMeetingState,
)
from tests.e2e.conftest import AppUnderTest
from tests.sync_testbed import SyncTestbed, a_rig
from tests.today import today

CASES: tuple[tuple[str, str, dict[str, Any], bool, str, tuple[Any, ...]], ...] = (
    # who, pairing, switches, has Teams, wanted → state, provider, reason
    ("ben", "ada-ben", {}, True, "auto", ("ready", "teams", None)),
    ("ada", "ada-ben", {}, True, "none", ("none", None, None)),
    ("priya", "ada-priya", {}, True, "skype", ("ready", "teams", "skype_retired")),
    ("dana", "dana-tashi", {}, False, "teams", ("unavailable", None, "not_offered")),
    (
        "tashi",
        "dana-tashi",
        {"skype_still_listed": True, "skype_still_works": True},
        True,
        "skype",
        ("ready", "skype", None),
    ),
    (
        "layla",
        "layla-misaki",
        {"skype_still_listed": True, "skype_still_works": True},
        False,
        "auto",
        ("ready", "skype", None),
    ),
    (
        "misaki",
        "layla-misaki",
        {
            "skype_still_listed": True,
            "skype_still_works": True,
            "refuse_unlisted_provider": True,
        },
        False,
        "teams",
        ("ready", "skype", "teams_not_offered"),
    ),
    (
        "faye",
        "faye-hugo",
        {"teams": "swapped", "skype_still_works": True},
        True,
        "teams",
        ("ready", "skype", "teams_not_offered"),
    ),
    ("hugo", "faye-hugo", {"teams": "never"}, True, "teams", ("unavailable", None, "not_created")),
)


def switch(stage: AppUnderTest, **switches: Any) -> None:
    for name, value in switches.items():
        stage.cloud.graph.switches.set(name, value)


async def test_every_requested_meeting_is_made_or_its_substitute_is_explained(
    stage: AppUnderTest,
) -> None:
    kind = {"skype_still_listed": False, "skype_still_works": False}
    kind |= {"refuse_unlisted_provider": False}
    for number, (who, pairing, switches, has_teams, wanted, expected) in enumerate(CASES):
        switch(stage, **(kind | {"teams": "at once"} | switches))
        stage.cloud.world.person(who).teams = has_teams
        session = await booked(stage, who, pairing, wanted, 6 + number)
        link = session["online_meeting"]
        assert (link["state"], link["provider"], link["reason"]) == expected, (who, link)
        assert link["wanted"] == wanted
        assert (link["join_url"] is not None) == (link["state"] == "ready")
        assert (link["detail"] is not None) == (link["reason"] is not None)
        event = stage.cloud.graph.outlook.get(stage.cloud.graph.outlook.find(who, session["id"]))
        assert event["isOnlineMeeting"] == (link["state"] == "ready")
        assert (event["onlineMeeting"] or {}).get("joinUrl") == link["join_url"]


async def booked(stage: AppUnderTest, who: str, pairing: str, wanted: str, hour: int) -> Any:
    """Book next Saturday, when all seeded people are free."""
    saturday = today() + timedelta(days=(5 - today().weekday()) % 7 or 7)
    body = {
        "start": saturday.replace(hour=hour).isoformat(),
        "duration_minutes": 30,
        "time_zone": "Europe/Berlin",
        "online_meeting": wanted,
    }
    path, headers = f"pairings/{pairing}/sessions", {"idempotency-key": f"{who}-{wanted}"}
    reply = await stage.call(who, "POST", path, json=body, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()


async def meeting_of_the_session(rig: SyncTestbed) -> OnlineMeeting:
    (session, _, _) = rig.booked[0]
    return (await rig.sessions.get(session.organizer, session.id)).online_meeting


async def test_a_late_link_is_fetched_without_a_notification(tmp_path: Path) -> None:
    async with a_rig(tmp_path) as rig:
        switches = rig.cloud.graph.switches
        switches.teams, switches.teams_delay_seconds = "late", 30.0
        switches.drop_share, switches.tell_missed = 1.0, False
        await rig.book(1, random.Random(1))
        assert (await meeting_of_the_session(rig)).state is OnlineMeetingState.PENDING
        await rig.pass_time(timedelta(minutes=2))
        link = await meeting_of_the_session(rig)
        assert (link.state, link.provider) == (OnlineMeetingState.READY, MeetingProvider.TEAMS)
        feed, _ = await rig.changes.after(rig.organization.id, None, 100)
        assert [c.kind for c in feed] == [ChangeKind.SCHEDULED, ChangeKind.ONLINE_MEETING]


async def test_a_link_that_never_comes_is_said_and_one_after_that_is_shown(tmp_path: Path) -> None:
    async with a_rig(tmp_path) as rig:
        switches = rig.cloud.graph.switches
        switches.teams, switches.teams_delay_seconds = "late", 8 * 60.0
        await rig.book(1, random.Random(1))
        await rig.pass_time(timedelta(minutes=5))
        assert (await meeting_of_the_session(rig)).state is OnlineMeetingState.PENDING
        await rig.pass_time(timedelta(minutes=2))
        link = await meeting_of_the_session(rig)
        assert link.state is OnlineMeetingState.UNAVAILABLE
        assert link.reason is OnlineMeetingReason.LINK_OVERDUE
        await rig.pass_time(timedelta(minutes=3))
        link = await meeting_of_the_session(rig)
        assert (link.state, link.reason) == (OnlineMeetingState.READY, None)
        assert rig.failures == []
