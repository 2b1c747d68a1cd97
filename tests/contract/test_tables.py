"""Edge cases of the table adapters that no port shows: outages, crashes, missing tables."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import pytest
from aiohttp import web
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables.aio import TableServiceClient

from benchmarks.shared_world import World
from local.serving import serving, take_address
from shared.adapters.tables import keys
from shared.adapters.tables.changes import TableChanges
from shared.adapters.tables.client import Put, Remove, Tables, Write, table_service
from shared.adapters.tables.due import TableDue
from shared.adapters.tables.keys import MAILBOXES, ORGANIZATIONS, PAIRINGS, TABLES, Key
from shared.adapters.tables.organizations import TableOrganizations
from shared.adapters.tables.pairings import TablePairings
from shared.adapters.tables.retry import UNSURE_TRIES
from shared.adapters.tables.sessions import TableSessions
from shared.adapters.tables.subscriptions import TableSubscriptions
from shared.adapters.tables.values import SCHEMA, present
from shared.errors import Conflict, Misconfigured, StaleRow, StoreUnavailable
from shared.ids import Mailbox
from shared.jobs import DueKind
from shared.organizations.model import Organization
from shared.sessions import reservations
from shared.sessions.holds import Hold
from shared.sessions.model import HOLD_TTL, SessionState
from shared.timespan import TimeSpan
from tests.builders import (
    NOW,
    a_change,
    a_due_item,
    a_hold,
    a_mailbox,
    a_pairing,
    a_session,
    a_subscription,
    an_event_id,
    an_organization,
    at,
)
from tests.contract.conftest import KEY

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
WEEK = TimeSpan(at(0), at(0, day=7))


def stored_in(tables: Tables) -> TableSessions:
    return TableSessions(tables, TableChanges(tables))


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[Tables]:
    """Yield tables whose requests *handler* answers instead of a storage account."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    address = take_address()
    async with (
        serving(app, address),
        table_service(f"{address.url}/devstoreaccount1", KEY) as service,
    ):
        yield Tables(service)


# --- missing tables


async def test_every_store_makes_its_tables(tables: Tables, service: TableServiceClient) -> None:
    async def drop() -> None:
        for name in TABLES:
            with suppress(ResourceNotFoundError):
                await service.delete_table(name)

    organization = an_organization()
    uses: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: reservations.create(stored_in(tables), a_session(), NOW),
        lambda: stored_in(tables).holds(a_mailbox(), WEEK, NOW),
        lambda: TableOrganizations(tables).create(organization),
        lambda: TableOrganizations(tables).list(),
        lambda: TableOrganizations(tables).delete(organization.id),
        lambda: TablePairings(tables).put(a_pairing()),
        lambda: TableSubscriptions(tables).get(a_mailbox()),
        lambda: TableSubscriptions(tables).delete(a_mailbox()),
        lambda: TableDue(tables).put([a_due_item()]),
        lambda: TableDue(tables).remove([a_due_item()]),
        lambda: TableDue(tables).oldest(DueKind.RENEWAL),
        lambda: TableChanges(tables).append([a_change(organization.id)]),
        lambda: TableChanges(tables).after(organization.id, None, 1),
        tables.ping,
    )
    for use in uses:
        await drop()
        await use()


async def test_many_may_miss_a_table_at_once(tables: Tables, service: TableServiceClient) -> None:
    with suppress(ResourceNotFoundError):
        await service.delete_table(MAILBOXES)
    saved = await asyncio.gather(
        *(TableSubscriptions(tables).save(a_subscription()) for _ in range(10))
    )
    assert all(subscription.version for subscription in saved)


# --- outages


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
async def test_a_refusal_that_passes_is_unavailable(status: int) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async with answering(refuse) as tables:
        for use in (tables.ping(), TableSubscriptions(tables).save(a_subscription())):
            with pytest.raises(StoreUnavailable):
                await use


async def test_a_mistake_of_ours_is_no_outage() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=400)

    async with answering(refuse) as tables:
        with pytest.raises(HttpResponseError):
            await tables.ping()


async def test_storage_that_does_not_listen_is_unavailable() -> None:
    async with table_service("http://localhost:9/devstoreaccount1", KEY) as service:
        with pytest.raises(StoreUnavailable):
            await Tables(service).ping()


async def test_a_passing_error_on_reading_is_tried_again() -> None:
    answers = iter((503, 500))

    async def recover(_: web.Request) -> web.Response:
        if status := next(answers, None):
            return web.Response(status=status)
        return web.json_response({"PartitionKey": "p", "RowKey": "r", "value": 7})

    async with answering(recover) as tables:
        row = await tables.get(MAILBOXES, Key("p", "r"))
    assert row is not None
    assert row.values["value"] == 7


async def test_a_transaction_is_never_sent_twice() -> None:
    """The write may be stored: a retry would be refused, or be applied twice."""
    seen = 0

    async def die(_: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        return web.Response(status=500)

    async with answering(die) as tables:
        with pytest.raises(StoreUnavailable):
            await tables.transact(MAILBOXES, [Put(Key("p", "r"), {})])
    assert seen == 1


async def test_attempt_against_silent_storage_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.tables.client._CALL_SECONDS", 0.05)
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with answering(hang) as tables:
        with pytest.raises(StoreUnavailable):
            await tables.ping()
        released.set()


# --- rows of another release


async def test_rows_of_a_later_release_are_not_touched(tables: Tables) -> None:
    subscription = a_subscription()
    key = keys.subscription(subscription.mailbox)
    await tables.put(MAILBOXES, Put(key, {"schema": SCHEMA + 1}))
    with pytest.raises(Misconfigured):
        await TableSubscriptions(tables).get(subscription.mailbox)


# --- rows left by a crash


async def claim(tables: Tables, organization: Organization) -> None:
    """Crash after the write of the claim, before that of the organization."""
    assert organization.tenant_id is not None
    values = present({"organization_id": organization.id})
    await tables.put(ORGANIZATIONS, Put(keys.tenant_claim(organization.tenant_id), values))


async def test_a_claim_without_an_organization_is_taken_over(tables: Tables) -> None:
    organizations, dead = TableOrganizations(tables), an_organization()
    assert dead.tenant_id is not None
    await claim(tables, dead)
    assert await organizations.of_tenant(dead.tenant_id) is None
    heir = await organizations.create(an_organization(tenant_id=dead.tenant_id))
    assert await organizations.of_tenant(dead.tenant_id) == heir


async def test_the_same_organization_goes_on_from_its_claim(tables: Tables) -> None:
    organizations, dead = TableOrganizations(tables), an_organization()
    assert dead.tenant_id is not None
    await claim(tables, dead)
    created = await organizations.create(dead)
    assert await organizations.of_tenant(dead.tenant_id) == created


class SlowTables(Tables):
    """Runs another writer just before an organization's row is written."""

    def __init__(
        self, service: TableServiceClient, rival: TableOrganizations, *, is_changed: bool
    ) -> None:
        super().__init__(service)
        self._rival = rival
        self._is_changed = is_changed
        self.other: Organization | None = None

    async def put(self, table: str, change: Put) -> str:
        if change.key.row == "organization" and self.other is None:
            self.other = await self._rival.create(
                an_organization(tenant_id=change.values["tenant_id"])
            )
            version = await super().put(table, change)
            if self._is_changed:
                await super().put(table, replace(change, etag=version))  # by somebody else
            return version
        return await super().put(table, change)


@pytest.mark.parametrize("is_changed", [False, True], ids=["alone", "changed meanwhile"])
@pytest.mark.parametrize("is_new", [True, False])
async def test_slow_writer_undoes_its_rows(
    tables: Tables, service: TableServiceClient, *, is_new: bool, is_changed: bool
) -> None:
    rival = TableOrganizations(tables)
    slow = SlowTables(service, rival, is_changed=is_changed)
    wanted = an_organization()
    before = None if is_new else await rival.create(replace(wanted, tenant_id=None))
    act = TableOrganizations(slow)
    with pytest.raises(Conflict):
        await (
            act.save(replace(before, tenant_id=wanted.tenant_id)) if before else act.create(wanted)
        )
    assert wanted.tenant_id is not None
    assert await rival.of_tenant(wanted.tenant_id) == slow.other
    if before:
        stored = await rival.get(wanted.id)
        assert stored == replace(before, version=stored.version)
    else:
        found, _ = await rival.list(limit=1000)
        assert wanted.id not in [organization.id for organization in found]


async def test_an_index_row_alone_shows_a_pairing_to_nobody(tables: Tables) -> None:
    pairings, stranger = TablePairings(tables), a_mailbox()
    pairing = await pairings.put(a_pairing())
    for pairing_id in (pairing.id, a_pairing().id):
        values = present({"pairing_id": pairing_id, "organization_id": pairing.organization_id})
        await tables.put(MAILBOXES, Put(keys.pairing_of(stranger, pairing_id), values))
    found = await pairings.list_by_mailbox(pairing.organization_id, stranger, after=None, limit=10)
    assert found == ([], None)


async def test_a_deletion_that_died_is_finished_by_the_next(tables: Tables) -> None:
    pairings = TablePairings(tables)
    pairing = await pairings.put(a_pairing())
    mailbox = pairing.mailbox(pairing.participants[0])
    assert mailbox is not None
    await tables.remove(MAILBOXES, keys.pairing_of(mailbox, pairing.id))
    await pairings.delete(pairing.organization_id, pairing.id)
    assert await tables.get(PAIRINGS, keys.pairing(pairing.organization_id, pairing.id)) is None


async def test_a_pointer_to_nothing_is_purged_with_its_session(tables: Tables) -> None:
    sessions, session = stored_in(tables), a_session()
    hold = Hold(session.id, session.span, NOW + HOLD_TTL)
    await reservations.place_hold(sessions, session.mailboxes[0], hold, session.organizer, NOW)
    assert await reservations.purge(sessions, session) == 3
    assert await partition(tables, session.mailboxes[0]) == []


async def test_a_whole_life_leaves_no_row(tables: Tables) -> None:
    """Book, move over midnight, move back, change the event, cancel, purge."""
    sessions, session = stored_in(tables), a_session()
    attendee = session.mailboxes[0]
    hold = Hold(session.id, session.span, NOW + HOLD_TTL)
    await reservations.place_hold(sessions, attendee, hold, session.organizer, NOW)
    opened = await reservations.create(sessions, session, NOW)
    current = await reservations.save(
        sessions,
        replace(opened, state=SessionState.SCHEDULED, event_id=an_event_id(), held_until=None),
    )
    for start in (at(23, 45, day=4), at(9, day=2)):
        to = Hold(session.id, TimeSpan.lasting(start, session.span.duration), NOW + HOLD_TTL)
        for mailbox in session.mailboxes:
            await reservations.hold_new_time(sessions, mailbox, current, to, NOW)
        current = await reservations.save(
            sessions, replace(current, span=to.span, event_id=an_event_id())
        )
        await reservations.sync_mailbox(sessions, attendee, current)
    current = await reservations.save(sessions, replace(current, state=SessionState.CANCELLED))
    await reservations.sync_mailbox(sessions, attendee, current)
    # The row and the time index in each mailbox; the organizer's event index.
    assert await reservations.purge(sessions, current) == 5
    for mailbox in session.mailboxes:
        assert await partition(tables, mailbox) == []


async def test_holds_that_ran_out_are_swept_when_their_day_is_written(tables: Tables) -> None:
    sessions, mentor = stored_in(tables), a_mailbox()
    first, second = a_hold(), a_hold(expires_at=NOW + 2 * HOLD_TTL)
    organizer = a_mailbox(mentor.tenant_id)
    await reservations.place_hold(sessions, mentor, first, organizer, NOW)
    await reservations.place_hold(sessions, mentor, second, organizer, NOW + HOLD_TTL)
    [day] = [row for key, row in await rows(tables, mentor) if key.startswith("day;")]
    assert first.session_id not in str(day)
    assert second.session_id in str(day)


async def test_a_session_whose_index_is_torn_is_an_outage_not_a_guess(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.adapters.tables.retry.TRIES", 2)
    sessions, session = stored_in(tables), a_session()
    await reservations.create(sessions, session, NOW)
    await tables.remove(
        MAILBOXES, keys.time_index_key(session.organizer, session.span.start, session.id)
    )
    with pytest.raises(StoreUnavailable):
        await reservations.release(sessions, session.organizer, session.id)


# --- stored rows


async def test_every_row_says_its_schema_and_no_name_or_address_but_attendees(
    tables: Tables,
) -> None:
    sessions, session = stored_in(tables), a_session()
    hold = Hold(session.id, session.span, NOW + HOLD_TTL)
    await reservations.place_hold(sessions, session.mailboxes[0], hold, session.organizer, NOW)
    opened = await reservations.create(sessions, session, NOW)
    await reservations.save(sessions, replace(opened, event_id=an_event_id()))
    stored = [row for box in session.mailboxes for _, row in await rows(tables, box)]
    assert len(stored) == 3 + 4
    assert all(row["schema"] == SCHEMA for row in stored)
    assert all("@" not in str({**row, "attendees": ""}) for row in stored)


async def test_a_transaction_tells_the_etag_of_each_change(tables: Tables) -> None:
    box, world = a_mailbox().object_id, World({})
    one, two, three = (Key(box, f"day;{each}") for each in "123")
    for store in (tables.transact, partial(_in_world, world)):
        first = await store(MAILBOXES, [Put(one, present({})), Put(two, present({}))])
        put, removed = Put(two, present({}), first[1]), Remove(one, first[0])
        etags = await store(MAILBOXES, [removed, Put(three, present({})), put])
        assert etags[0] == ""
        # Rows of one transaction may share an ETag; a row's next version has another one.
        assert etags[2] != first[1]
        # Each ETag is that of its own row, as the next writes are conditional on them.
        await store(MAILBOXES, [Remove(three, etags[1]), Remove(two, etags[2])])


async def _in_world(world: World, table: str, changes: Sequence[Write]) -> list[str]:
    return world.transact(table, changes)


async def test_a_transaction_is_all_or_nothing(tables: Tables) -> None:
    box = keys.mailbox(a_mailbox())
    await tables.put(MAILBOXES, Put(Key(box, "b"), {}))
    with pytest.raises(StaleRow):
        await tables.transact(MAILBOXES, [Put(Key(box, "a"), {}), Put(Key(box, "b"), {})])
    assert await tables.get(MAILBOXES, Key(box, "a")) is None
    assert await tables.transact(MAILBOXES, []) == []


async def rows(tables: Tables, mailbox: Mailbox) -> list[tuple[str, dict[str, object]]]:
    found = await tables.first(
        MAILBOXES,
        "PartitionKey eq @partition",
        {"partition": keys.mailbox(mailbox)},
        1000,
    )
    return [(row.key.row, dict(row.values)) for row in found]


async def partition(tables: Tables, mailbox: Mailbox) -> list[str]:
    return [key for key, _ in await rows(tables, mailbox)]


# --- writes with an unknown outcome


class NoReplyTables(Tables):
    """Loses the answer to the next transaction of several rows, stored or not."""

    def __init__(self, service: TableServiceClient, *, happens: bool, times: int = 1) -> None:
        super().__init__(service)
        self._happens = happens
        self.times = times

    async def transact(self, table: str, changes: Sequence[Write]) -> list[str]:
        if self.times == 0:
            return await super().transact(table, changes)
        self.times -= 1
        if self._happens:
            await super().transact(table, changes)
        raise StoreUnavailable("No answer.")


@pytest.mark.parametrize("happens", [True, False])
async def test_a_booking_survives_lost_answers(
    tables: Tables, service: TableServiceClient, *, happens: bool
) -> None:
    deaf = NoReplyTables(service, happens=happens)
    sessions, session = stored_in(deaf), a_session()
    hold = Hold(session.id, session.span, NOW + HOLD_TTL)
    await reservations.place_hold(sessions, session.mailboxes[0], hold, session.organizer, NOW)
    deaf.times = 1
    opened = await reservations.create(sessions, session, NOW)
    deaf.times = 1
    saved = await reservations.save(
        sessions, replace(opened, state=SessionState.SCHEDULED, event_id=an_event_id())
    )
    deaf.times = 1
    await reservations.sync_mailbox(sessions, session.mailboxes[0], saved)
    deaf.times = 1
    answered = await reservations.save(sessions, replace(saved, sequence=1))
    assert deaf.times == 0
    seen = stored_in(tables)
    for mailbox in session.mailboxes:
        assert await seen.get(mailbox, session.id) == answered
        assert await seen.holds(mailbox, WEEK, NOW) == [Hold(session.id, session.span)]


async def test_a_change_with_a_lost_answer_is_appended_once(service: TableServiceClient) -> None:
    deaf = NoReplyTables(service, happens=True)
    changes, organization = TableChanges(deaf), an_organization()
    written = [a_change(organization.id) for _ in range(3)]
    await changes.append(written[:2])
    await changes.append(written[2:])
    assert (await changes.after(organization.id, None, 10))[0] == written


async def test_a_save_that_somebody_else_overtook_is_stale_also_without_an_answer(
    tables: Tables, service: TableServiceClient
) -> None:
    opened = await reservations.create(stored_in(tables), a_session(), NOW)
    await reservations.save(stored_in(tables), replace(opened, sequence=1))
    deaf = NoReplyTables(service, happens=False)
    with pytest.raises(StaleRow):
        await reservations.save(stored_in(deaf), replace(opened, sequence=2))


async def test_an_outage_ends_in_unavailable(service: TableServiceClient) -> None:
    deaf = NoReplyTables(service, happens=False, times=100)
    with pytest.raises(StoreUnavailable):
        await reservations.create(stored_in(deaf), a_session(), NOW)
    assert deaf.times == 100 - UNSURE_TRIES
