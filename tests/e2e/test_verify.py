"""`scripts.verify` against the local cloud: each check that it can run, and faults."""

import asyncio
import json
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest

from local.entra.tokens import Forgery
from local.graph.faults import FaultRule
from scripts.verify.document import read_checks
from tests.e2e.packaged import APP_DIR
from tests.e2e.verifying import (
    ALIAS,
    Operator,
    Verified,
    an_operator,
    graph_token,
    reconcile,
)

BY_HAND = {number for number, check in read_checks().items() if check.by_hand}


def package_of(folder: Path, digest: str | None) -> str:
    """Return a package that says it has *digest*."""
    path = folder / f"{digest}.zip"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("build.json", json.dumps({"package": digest}))
    return str(path)


def runs() -> str | None:
    """Return the digest of the package that runs in this test; None: the sources do."""
    if APP_DIR is None:
        return None
    return str(json.loads((APP_DIR / "build.json").read_text())["package"])


def acts_as_ben(operator: Operator) -> None:
    """Do in the simulated Outlook what the script asks a person for. Time passes at once."""
    app, asked = operator.app, list[Any]()

    async def hear(line: str) -> None:
        if "delete the meeting" in line:
            when = line.partition("delete the meeting of ")[2].partition(" in ")[0]
            asked.append(await operator.session_at(when))
            app.cloud.graph.outlook.delete("ben", asked[0]["id"], send=False)
            await app.settled()
            await reconcile(app, asked[0])
        elif "restore it" in line:
            app.cloud.graph.outlook.restore("ben", asked[0]["id"])
            await reconcile(app, asked[0])

    operator.on_line = hear


def names_nobody(operator: Operator, done: Verified) -> None:
    """Check that the report has no tokens, addresses, names or ids of people."""
    for person in operator.app.cloud.world.people():
        for word in (person.address, person.name, person.object_id, *person.aliases):
            assert word not in done.text
    for token in operator.tokens.values():
        assert token not in done.text + done.said
    assert "contoso" not in done.text.lower()


async def test_each_check_that_can_be_run_is_ok_and_nothing_is_left(tmp_path: Path) -> None:
    async with an_operator(tmp_path, settings={}) as operator:
        acts_as_ben(operator)
        done = await operator.run(
            *("--json", "--cold", "--alias", ALIAS, "--by-hand", "5"),
            *("--package", package_of(tmp_path, runs())),
        )
        wrong = [each for each in done.report["checks"] if each["outcome"] == "wrong"]
        assert (done.status, wrong) == (0, [])
        assert done.outcomes() == {
            number: "by hand" if number in BY_HAND else "ok" for number in read_checks()
        }
        names_nobody(operator, done)
        assert await operator.upcoming() == []


async def test_the_text_for_people_has_the_same(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        operator.gateway.without.add("access-control-max-age")
        operator.says_ca = False
        done = await operator.run("--only", "2,5,26")
        assert done.status == 1
        lines = done.text.splitlines()
        check = read_checks()[2]
        assert " 2  wrong    Access-Control-Max-Age: none" in lines
        assert f"             must come: {check.must_come}" in lines
        assert f"             if not: {check.if_not}" in lines
        assert f" 5  by hand  {read_checks()[5].do}" in lines
        assert "26  ok       401 /api/problems/not-authenticated" in lines
        assert lines[-1] == "1 ok, 1 wrong, 0 not run, 1 by hand"
        names_nobody(operator, done)


def spoil_health(details: Any) -> Any:
    return details | {"checks": details["checks"] | {"key_vault": "AuthorizationFailed"}}


async def test_what_something_in_front_of_the_app_spoils(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        gateway = operator.gateway

        async def wrong(number: int, *arguments: str) -> str:
            done = await operator.run("--json", "--only", str(number), *arguments)
            assert (done.status, done.of(number)["outcome"]) == (1, "wrong"), done.text
            check = read_checks()[number]
            assert done.of(number)["if_not"] == check.if_not
            names_nobody(operator, done)
            return str(done.of(number)["came"])

        assert "runs, 0123 was built" in await wrong(1, "--package", package_of(tmp_path, "0123"))
        gateway.without = {"access-control-expose-headers"}
        assert await wrong(2) == "Access-Control-Expose-Headers: none"
        gateway.without = {"access-control-allow-origin"}
        assert "no Access-Control-Allow-Origin for the page on GET" in await wrong(2)
        gateway.without = set()
        gateway.delays["graph/notifications"] = 3.1
        assert (await wrong(3)).endswith("s, warm")
        assert (await wrong(3, "--cold")).endswith("s, cold")
        gateway.delays.clear()
        gateway.statuses["graph/notifications"] = 404
        assert await wrong(3) == "the token does not come back: 404"
        gateway.statuses = {"health/details": 502}
        assert await wrong(4) == "GET health/details: 502"
        gateway.statuses.clear()
        gateway.spoiled["health/details"] = spoil_health
        assert await wrong(4) == "200; key_vault: AuthorizationFailed"
        gateway.spoiled.clear()
        gateway.statuses["no-such-route"] = 404
        assert (await wrong(25)).startswith("404 text/plain")
        gateway.statuses = {"problems/": 404}
        assert (await wrong(25)).startswith("the page of /api/problems/not-found: 404")
        gateway.statuses = {"/api/pairings": 302}
        assert (await wrong(26)).startswith("302")
        gateway.statuses.clear()
        gateway.without = {"www-authenticate"}
        assert await wrong(26) == "401 without authorization_uri in WWW-Authenticate"


async def test_a_deployment_that_is_degraded(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        operator.app.cloud.key_vault.conditions.is_down = True
        done = await operator.run("--json", "--only", "4")
        assert (done.status, done.of(4)["outcome"]) == (1, "wrong"), done.text
        assert done.of(4)["came"].startswith("503; key_vault: ")


async def test_tokens_and_grants_that_are_not_as_must_be(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        entra, world = operator.app.cloud.entra, operator.app.cloud.world
        good = dict(operator.tokens)

        async def came(number: int) -> Any:
            done = await operator.run("--json", "--only", str(number))
            names_nobody(operator, done)
            return done.of(number)["outcome"], done.of(number)["came"]

        entra.registration.issues_v1_tokens = True
        operator.tokens["BEN"] = operator.app.token("ben")
        outcome, said = await came(11)
        assert outcome == "wrong"
        assert f"$BEN has aud {entra.registration.app_id_uri} (version 1.0)" in said
        entra.registration.issues_v1_tokens = False
        forged = entra.token_for(world.person("ben"), forgery=Forgery.WRONG_AUDIENCE)
        operator.tokens = good | {"BEN": forged}
        assert (await came(11))[0] == "wrong"
        operator.tokens = good | {"PLATFORM": good["BEN"]}
        assert await came(11) == ("wrong", "$PLATFORM has idtyp None")
        operator.tokens = good | {"BEN": "garbage"}
        assert await came(11) == ("wrong", "$BEN is no token that can be decoded")
        operator.tokens = {"BEN": good["BEN"]}
        assert await came(11) == ("ok", "$BEN are as must be; no $PLATFORM")
        operator.tokens = good
        entra.withdraw(world.person("ben").tenant_id)
        outcome, said = await came(27)
        assert outcome == "wrong"
        assert "fails" in said


async def test_what_is_not_at_hand_is_not_run(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        good = dict(operator.tokens)
        operator.tokens = {}
        done = await operator.run("--json")
        assert done.status == 0
        assert {n for n, outcome in done.outcomes().items() if outcome == "ok"} == {2, 3, 25, 26}
        assert done.of(4)["came"] == "no $PLATFORM"
        assert done.of(14)["came"] == "no $BEN"
        operator.tokens = good | {"GRAPH": graph_token(operator.app, ["Calendars.Read"])}
        done = await operator.run("--json", "--only", "14")
        assert done.of(14)["came"] == "$GRAPH has no Calendars.ReadWrite"
        operator.tokens = good
        done = await operator.run("--json", "--only", "14", "--pairing", "ada-circle")
        assert done.of(14)["outcome"] == "not run"
        assert await operator.upcoming() == []


async def test_the_pairing_of_others_is_left_alone(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        session = await operator.app.book()
        done = await operator.run("--json", "--only", "28")
        assert (done.status, done.of(28)["outcome"]) == (2, "not run")
        assert "1 other sessions ahead" in done.of(28)["came"]
        assert await operator.upcoming() == [session["id"]]
        done = await operator.run("--json", "--only", "28", "--beside-others")
        assert (done.status, done.of(28)["outcome"]) == (0, "ok")
        assert await operator.upcoming() == [session["id"]]


@pytest.mark.parametrize(
    ("switch", "value", "number", "came"),
    [
        ("drop_share", 1.0, 14, "the answer did not come within 4 s"),
        ("schedule_all_day_as_dates", True, 18, "busy at UTC's midnights"),
        ("deleted_items_readable", True, 15, "200; the cancellation did not come within 4 s"),
    ],
)
async def test_an_outlook_that_behaves_otherwise(
    tmp_path: Path, switch: str, value: Any, number: int, came: str
) -> None:
    async with an_operator(tmp_path) as operator:
        switches = operator.app.cloud.graph.switches
        switches.set("tell_missed", value=False)
        switches.set(switch, value)
        done = await operator.run("--json", "--patience", "4", "--only", str(number))
        assert (done.status, done.of(number)["outcome"]) == (1, "wrong"), done.text
        assert done.of(number)["came"].startswith(came)
        assert await operator.upcoming() == []


async def test_an_alias_of_somebody_else(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        arguments = ("--alias", "stranger@elsewhere.example", "--patience", "20")
        done = await operator.run("--json", "--only", "31", *arguments)
        assert (done.status, done.of(31)["outcome"]) == (1, "wrong"), done.text
        assert "stranger" not in done.text
        assert await operator.upcoming() == []


async def test_a_booking_that_fails_is_28_and_the_others_are_not_run(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        graph = operator.app.cloud.graph
        graph.faults.add(FaultRule(method="POST", path="/events$", status=403, code="ErrorX"))
        done = await operator.run("--json", "--only", "14,28")
        assert done.of(28)["outcome"] == "wrong", done.text
        assert done.of(28)["came"].startswith("POST pairings/{}/sessions: ")
        assert done.of(14) == {
            "number": 14, "outcome": "not run", "came": "booking does not work: see 28",
        }  # fmt: skip
        assert await operator.upcoming() == []


async def test_a_run_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        heard = asyncio.Event()

        async def hear(_: str) -> None:
            heard.set()

        operator.on_line = hear
        process = await operator.start("--json", "--only", "16", "--by-hand", "5")
        ending = asyncio.create_task(operator.ended(process))
        await heard.wait()  # it has booked, and asks a person
        assert len(await operator.upcoming()) == 1
        process.send_signal(signal.SIGTERM)
        done = await ending
        assert (done.status, done.of(16)["outcome"]) == (2, "not run"), done.said
        assert await operator.upcoming() == []


async def test_what_cannot_be_cancelled_is_named(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        operator.gateway.statuses["/cancel"] = 403
        graph = operator.app.cloud.graph
        graph.faults.add(FaultRule(method="POST", path="/cancel$", status=403))
        done = await operator.run("--json", "--only", "28")
        assert (done.status, done.of(28)["outcome"]) == (1, "ok"), done.text
        assert done.report["left_behind"] == await operator.upcoming()
        assert len(done.report["left_behind"]) == 1


async def test_an_authority_that_is_not_trusted_and_words_that_are_wrong(tmp_path: Path) -> None:
    async with an_operator(tmp_path) as operator:
        done = await operator.run("--ca", str(tmp_path / "nothing"))
        assert (done.status, done.text) == (2, "")
        assert len(done.said.splitlines()) == 1
        done = await operator.run("--only", "99")
        assert done.status == 2
        assert "no check is called 99" in done.said
