"""The life of an organization: consent, narrowing, faults, withdrawal, offboarding."""

import asyncio
import json
import os
import re

import pytest

from local.cloud import PLATFORM_SECRET
from local.entra.tokens import Forgery
from local.seed import CONTOSO_ID, NORTHWIND_ID
from shared.adapters.tables.keys import TABLES
from tests.e2e.conftest import AppUnderTest, wiring_of
from tests.e2e.packaged import ROOT
from tests.e2e.platform import Platform
from tests.e2e.test_series import book, evening, local_date

ORGANIZATION = "contoso"


@pytest.fixture
def platform(stage: AppUnderTest) -> Platform:
    return Platform(stage)


async def test_a_customer_is_taken_on_with_one_link(
    stage: AppUnderTest, platform: Platform
) -> None:
    made = await platform.answer("POST", "organizations", 201, json={})
    organization_id = made["id"]
    link = await platform.link(organization_id)

    declined = await platform.visit(link, "refuse", "vera")
    assert "Nothing was approved" in declined.text
    shown = await platform.answer("GET", f"organizations/{organization_id}")
    assert shown["consent"] == "declined"

    page = await platform.visit(link, "grant", "vera")
    assert page.status_code == 200
    assert "Your organization is connected" in page.text
    assert "script" not in page.text
    shown = await platform.answer("GET", f"organizations/{organization_id}")
    assert (shown["consent"], shown["tenant_id"]) == ("granted", NORTHWIND_ID)
    again = await platform.visit(link, "grant", "vera")
    assert "nothing more to do" in again.text

    nils, noor = stage.cloud.world.person("nils"), stage.cloud.world.person("noor")
    await platform.answer(
        "PUT",
        f"organizations/{organization_id}/pairings/first",
        json={
            "participants": [
                {"role": "mentor", "address": nils.address},
                {"role": "mentee", "object_id": noor.object_id},
            ]
        },
    )
    me = (await stage.call("noor", "GET", "me")).json()
    assert me["mailbox"]["usable"], me
    session = await stage.book("noor", "first")
    assert session["state"] == "scheduled"
    assert await platform.issues(organization_id, nils.address) == {
        "token": "works",
        "profiles": "works",
        "read_events": "works",
        "schedule": "works",
        "subscribe": "works",
        "write_as_user": "needs_person",
    }


async def test_a_tenant_that_is_connected_already_is_not_taken(
    stage: AppUnderTest, platform: Platform
) -> None:
    unnamed = await platform.answer("POST", "organizations", 201, json={})
    taken = await platform.visit(await platform.link(unnamed["id"]), "grant", "ines")
    assert taken.status_code == 409
    assert "connected already" in taken.text
    assert (await stage.call("ben", "GET", "pairings")).status_code == 200


async def test_a_withdrawal_is_noticed_shown_and_stops_calls(
    stage: AppUnderTest, platform: Platform
) -> None:
    session = await stage.book()
    await stage.settled()
    stage.cloud.entra.withdraw(CONTOSO_ID)
    refused = await stage.call("ben", "POST", f"sessions/{session['id']}/cancel", json={})
    assert refused.status_code in {401, 403, 502}, refused.text
    shown = await platform.answer("GET", f"organizations/{ORGANIZATION}")
    if shown["consent"] != "withdrawn":
        # The user's token was still valid for the call; the app's own check decides.
        assert (await platform.issues(ORGANIZATION))["token"] == "app_gone"
        shown = await platform.answer("GET", f"organizations/{ORGANIZATION}")
    assert shown["consent"] == "withdrawn"
    feed = await platform.answer("GET", f"organizations/{ORGANIZATION}/changes")
    assert feed["items"][-1]["detail"] == "consent_withdrawn"

    asked = len(stage.cloud.entra.requests)
    me = (await stage.call("ben", "GET", "me")).json()
    assert me["mailbox"]["findings"][0]["issue"] == "consent_withdrawn"
    assert (await stage.call("ben", "GET", "pairings")).status_code == 403
    assert len(stage.cloud.entra.requests) == asked

    page = await platform.visit(await platform.link(ORGANIZATION), "grant", "ines")
    assert "Your organization is connected" in page.text
    assert (await stage.call("ben", "GET", "pairings")).status_code == 200


async def test_narrowing_by_assignment_stops_only_those_outside(
    stage: AppUnderTest, platform: Platform
) -> None:
    stage.cloud.entra.app_in(CONTOSO_ID).assignment_required = True
    ruth = (await stage.call("ruth", "GET", "me")).json()["mailbox"]
    ben = (await stage.call("ben", "GET", "me")).json()["mailbox"]
    assert not ruth["usable"]
    assert {f["issue"] for f in ruth["findings"]} == {"not_assigned"}
    assert ben["usable"]
    shown = await platform.answer("GET", f"organizations/{ORGANIZATION}")
    assert shown["consent"] == "granted"
    # The organization's own view says that people must be assigned, though not who is.
    address = stage.cloud.world.person("ruth").address
    for named in ("", address):
        issues = await platform.issues(ORGANIZATION, named)
        assert issues["write_as_user"] == "assignment_required"
    assert (await stage.book())["state"] == "scheduled"


async def test_narrowing_in_exchange_stops_only_those_outside(
    stage: AppUnderTest, platform: Platform
) -> None:
    stage.cloud.entra.app_in(CONTOSO_ID).application = {"User.ReadBasic.All"}
    stage.cloud.graph.switches.rbac = {CONTOSO_ID: ["Calendars.Read"]}
    ada, ruth = (stage.cloud.world.person(who) for who in ("ada", "ruth"))
    assert (await platform.issues(ORGANIZATION, ada.address))["read_events"] == "works"
    assert (await platform.issues(ORGANIZATION, ruth.address))["read_events"] == "out_of_scope"
    session = await stage.book()
    await stage.settled()
    stage.cloud.graph.outlook.accept("ada", session["id"])
    await stage.settled()
    seen = (await stage.call("ben", "GET", f"sessions/{session['id']}")).json()
    assert seen["attendees"][0]["response"] == "accepted"
    shown = await platform.answer("GET", f"organizations/{ORGANIZATION}")
    assert shown["consent"] == "granted"


async def test_in_application_mode_the_platform_names_the_acting_participant(
    stage: AppUnderTest, platform: Platform
) -> None:
    ben, faye = (stage.cloud.world.person(who) for who in ("ben", "faye"))
    as_ben = {"acting-participant": f"{ORGANIZATION}/{ben.object_id}"}
    assert (await platform.call("GET", "pairings", headers=as_ben)).status_code == 403
    stage.cloud.entra.registration.application.add("Calendars.ReadWrite")
    asked = await platform.change(ORGANIZATION, access_mode="application")
    assert asked["pending_settings"]["access_mode"] == "application"
    assert (await platform.call("GET", "pairings", headers=as_ben)).status_code == 403
    page = await platform.visit(await platform.link(ORGANIZATION), "grant", "ines")
    assert "Your organization is connected" in page.text
    listed = await platform.answer("GET", "pairings", headers=as_ben)
    assert "ada-ben" in {pairing["id"] for pairing in listed["items"]}
    me = await platform.answer("GET", "me", headers=as_ben)
    assert me["mailbox"]["usable"], me
    slot = (await stage.slots("ben"))[0]
    body = {"start": slot["start"], "duration_minutes": 30, "time_zone": "Europe/Berlin"}
    booked = await platform.answer(
        "POST",
        "pairings/ada-ben/sessions",
        201,
        json=body,
        headers=as_ben | {"idempotency-key": "one"},
    )
    assert booked["organizer_id"] == ben.object_id
    assert (await platform.call("GET", "me")).status_code == 401
    for stranger in (faye.object_id, "0f0f0f0f-0000-4000-8000-000000000000"):
        named = {"acting-participant": f"{ORGANIZATION}/{stranger}"}
        assert (await platform.call("GET", "pairings", headers=named)).status_code == 404
    assert (await stage.call("ben", "GET", "me", headers=as_ben)).status_code == 403


FORGERIES = [forgery for forgery in Forgery if forgery is not Forgery.NONE]


async def test_the_documented_request_gets_a_token_for_the_platform(stage: AppUnderTest) -> None:
    document = (ROOT / "docs/deploy.md").read_text()
    (command,) = re.findall(r"```sh\n(curl [^`]*client_credentials[^`]*)```", document)
    cloud = stage.cloud
    environment = {
        "PATH": os.environ["PATH"],
        "CURL_CA_BUNDLE": str(cloud.certificate.trust),
        "LOGIN_URL": cloud.entra.root_url,
        "PLATFORM_TENANT_ID": cloud.world.home_tenant_id,
        "BACKEND_CLIENT_ID": cloud.world.platform_client_id,
        "BACKEND_SECRET": PLATFORM_SECRET,
        "APP_CLIENT_ID": cloud.entra.registration.client_id,
    }
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, env=environment, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    assert process.returncode == 0
    bearer = {"authorization": f"Bearer {json.loads(answer)['access_token']}"}
    assert (await stage.http.get("/api/organizations", headers=bearer)).status_code == 200


async def test_no_forged_token_opens_anything(stage: AppUnderTest) -> None:
    ben = stage.cloud.world.person("ben")
    routes = [("GET", "pairings"), ("GET", "me"), ("GET", "organizations")]
    for forgery in FORGERIES:
        token = stage.cloud.entra.token_for(ben, forgery=forgery)
        for method, path in routes:
            refused = await stage.http.request(
                method, f"/api/{path}", headers={"authorization": f"Bearer {token}"}
            )
            assert refused.status_code == 401, (forgery, path, refused.text)
            assert refused.headers["www-authenticate"].startswith("Bearer "), forgery
    for headers in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer nonsense"}):
        refused = await stage.http.get("/api/pairings", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer ")


async def test_a_demand_for_another_factor_comes_back_as_a_challenge(stage: AppUnderTest) -> None:
    slot = (await stage.slots())[0]
    stage.cloud.entra.demand_claims(CONTOSO_ID)
    body = {"start": slot["start"], "duration_minutes": 30, "time_zone": "Europe/Berlin"}
    booking = {"json": body, "headers": {"idempotency-key": "one"}}
    for challenged in (
        await stage.call("ben", "GET", "me"),
        await stage.call("ben", "POST", "pairings/ada-ben/sessions", **booking),
    ):
        assert challenged.status_code == 401, challenged.text
        assert 'error="insufficient_claims"' in challenged.headers["www-authenticate"]
        assert 'claims="' in challenged.headers["www-authenticate"]


async def test_health_shows_how_changes_were_found(stage: AppUnderTest, platform: Platform) -> None:
    session = await stage.book()
    await stage.settled()
    stage.cloud.graph.outlook.accept("ada", session["id"])
    await stage.settled()
    health = await platform.answer("GET", f"organizations/{ORGANIZATION}/health")
    assert health["consent"]["state"] == "granted"
    assert health["credential"] == {"kind": "managed-identity", "expires_at": None}
    assert health["subscriptions"]["active"] == 1
    assert health["subscriptions"]["next_due_at"]
    assert health["subscriptions"]["last_push_at"]
    assert health["changes"]["push"]["count"] >= 1
    assert health["changes"]["push"]["lag_p50_ms"] is not None
    other = await platform.answer("GET", "organizations/fabrikam/health")
    assert other["subscriptions"]["active"] == 0


async def test_leaving_removes_everything_and_keeps_the_meetings(
    stage: AppUnderTest, platform: Platform
) -> None:
    texts = ("Secret title", "Secret agenda", "Secret room")
    session = await stage.book(title=texts[0], agenda=texts[1], location=texts[2])
    await stage.settled()
    series = (await book(stage))["series"]
    await stage.settled()
    day = local_date(evening(2))
    new = stage.cloud.graph.outlook.split("ben", series["id"], day, evening(2, hour=20))
    theirs = await stage.book("hugo", "faye-hugo")
    await stage.settled()
    rows = await _all_rows(stage)
    for private in (*texts, "Ada Lindqvist", "Ben Adeyemi", "Bearer"):
        assert private not in rows
    ours = [session["id"], series["id"], new.id(immutable=True)]
    assert [key for key in ours if key not in rows] == []

    removed = await platform.answer("DELETE", f"organizations/{ORGANIZATION}")
    assert removed["complete"]
    assert (removed["subscriptions"], removed["sessions"]) == (1, 5)
    assert removed["pairings"] == 9
    assert (await platform.call("GET", f"organizations/{ORGANIZATION}")).status_code == 404
    assert (await stage.call("ben", "GET", "pairings")).status_code == 401
    again = await platform.answer("DELETE", f"organizations/{ORGANIZATION}")
    assert again["complete"]
    assert again["organizations"] == 0

    left = await _all_rows(stage)
    assert [key for key in ours if key in left] == []
    assert CONTOSO_ID not in left
    assert theirs["id"] in left
    assert not stage.cloud.graph.outlook.find("ben", session["id"]).is_cancelled


async def _all_rows(stage: AppUnderTest) -> str:
    """Return all rows of the tables, as text."""
    found = []
    async with wiring_of(stage.cloud) as adapters:
        for table in TABLES:
            async for page in adapters.tables.pages(
                table, "PartitionKey ge @all", {"all": ""}, size=1000
            ):
                found += [f"{table} {row.key} {dict(row.values)}" for row in page]
    return "\n".join(found)
