"""Access lost and given back, over hours of simulated time: said once, looked at slowly, mended."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from local.graph.faults import FaultRule
from local.graph.outlook import NoSuchEvent
from local.seed import CONTOSO_ID
from local.world import MailboxKind
from shared.changes.model import Change, ChangeKind
from shared.errors import CalendarUnavailable
from shared.organizations.model import ActingUser, Caller, ConsentState
from shared.pairings.model import Pairing
from shared.sessions.booking import book
from shared.sessions.model import Session, SessionState
from shared.sessions.recurrence import Frequency, Repeat
from shared.sessions.requests import BookingRequest, session_id_for
from tests.faults import seed_to_use
from tests.sync_testbed import MINUTE, MONDAY, SyncTestbed, a_rig, logged_exceptions

HOUR = timedelta(hours=1)
HOURS = 7
"""How long access is lost: past every rhythm of reconciliation."""
FOUND_WITHIN = timedelta(hours=1, minutes=15)
"""A look an hour, and the ticks for the look and for the reading."""


@dataclass(frozen=True)
class Loss:
    """A way of losing access, and what is to be seen of it."""

    take: Callable[[SyncTestbed, str], None]
    give_back: Callable[[SyncTestbed, str], None]
    detail: str
    of_mailbox: bool
    """One organizer's mailbox alone, not the whole tenant's."""


def _revoke(rig: SyncTestbed, _: str) -> None:
    app = rig.cloud.entra.app_in(CONTOSO_ID)
    app.application -= {name for name in app.application if name.startswith("Calendars.")}
    rig.start_anew()  # a token issued before keeps its rights


def _grant(rig: SyncTestbed, _: str) -> None:
    rig.cloud.entra.grant(CONTOSO_ID)


def _withdraw(rig: SyncTestbed, _: str) -> None:
    rig.cloud.entra.withdraw(CONTOSO_ID)
    rig.start_anew()


def _scope(rig: SyncTestbed, owner: str, *, is_in: bool) -> None:
    rig.cloud.graph.switches.access_policy = [CONTOSO_ID]
    rig.cloud.world.person(owner).in_scope = is_in


def _narrow(rig: SyncTestbed, owner: str) -> None:
    """Let Exchange's roles alone admit the app, to everybody but *owner*."""
    _revoke(rig, owner)
    rig.cloud.graph.switches.rbac = {CONTOSO_ID: ["Calendars.Read", "Calendars.ReadWrite"]}
    rig.cloud.world.person(owner).in_scope = False


def _widen(rig: SyncTestbed, owner: str) -> None:
    rig.cloud.world.person(owner).in_scope = True


def _mailbox(rig: SyncTestbed, owner: str, kind: MailboxKind) -> None:
    rig.cloud.world.person(owner).kind = kind


LOSSES = {
    "permission revoked": Loss(_revoke, _grant, "permission_missing", of_mailbox=False),
    "consent removed": Loss(_withdraw, _grant, "consent_withdrawn", of_mailbox=False),
    "access policy": Loss(
        lambda rig, owner: _scope(rig, owner, is_in=False),
        lambda rig, owner: _scope(rig, owner, is_in=True),
        "access_policy",
        of_mailbox=True,
    ),
    "out of scope": Loss(_narrow, _widen, "out_of_scope", of_mailbox=True),
    "mailbox closed": Loss(
        lambda rig, owner: _mailbox(rig, owner, MailboxKind.UNLICENSED),
        lambda rig, owner: _mailbox(rig, owner, MailboxKind.ONLINE),
        "mailbox_not_hosted",
        of_mailbox=True,
    ),
}


@pytest.mark.parametrize("name", LOSSES)
async def test_lost_access_is_told_once_read_slowly_and_recovers_by_itself(
    name: str, tmp_path: Path
) -> None:
    loss, rng = LOSSES[name], random.Random(seed_to_use(11))
    async with a_rig(tmp_path, strangers=4) as rig:
        owner = await _many_sessions(rig, rng)
        whole, rig.booked = rig.booked, [each for each in rig.booked if each[1] != owner]
        theirs = [each for each in whole if each[1] == owner]
        organizers = len({organizer for _, organizer, _ in whole})
        told = len(await _feed(rig))
        requests = rig.cloud.graph.requests
        with logged_exceptions() as exceptions:
            loss.take(rig, owner)
            hourly = []
            for _ in range(HOURS):
                requests.reset()
                await rig.pass_time(HOUR, then=lambda: _edit_something(rig, theirs, rng))
                hourly.append(_requests_for(rig, owner) if loss.of_mailbox else requests.count())
            moved_to = MONDAY + timedelta(days=20, hours=3)
            rig.cloud.graph.outlook.move(owner, theirs[0][0].id, moved_to)
            (trouble,) = [c for c in (await _feed(rig))[told:] if c.kind is ChangeKind.TROUBLE]
            assert trouble.detail == loss.detail
            assert trouble.remedy
            assert trouble.session_id is None
            mailbox = theirs[0][0].organizer
            assert trouble.object_id == (mailbox.object_id if loss.of_mailbox else None)
            # Once each, not for each session; then a look, the renewal that Graph asks for, and the
            # check of the consent after a denial.
            assert hourly[0] <= (12 if loss.of_mailbox else 10 * organizers)
            assert max(hourly[1:]) <= (4 if loss.of_mailbox else 4 * organizers)
            if name != "consent removed":
                assert await _unreadable(rig, theirs) == len(theirs)
            loss.give_back(rig, owner)
            await rig.pass_time(FOUND_WITHIN)
        assert await _unreadable(rig, whole) == 0
        stored = await rig.sessions.get(mailbox, theirs[0][0].id)
        assert stored.span.start == moved_to
        (over,) = [c for c in await _feed(rig) if c.kind is ChangeKind.RECOVERED]
        assert (over.detail, over.object_id) == (trouble.detail, trouble.object_id)
        assert (await rig.organizations.get(rig.organization.id)).denied_since is None
        # Everything is followed again, by push.
        rig.cloud.graph.outlook.accept(theirs[1][2], theirs[1][0].id)
        await rig.pass_time(2 * MINUTE)
        answered = await rig.sessions.get(mailbox, theirs[1][0].id)
        assert answered.attendees[0].response.state == "accepted"
        assert (exceptions, rig.failures, rig.queues.poison) == ([], [], [])
        states = [(await rig.sessions.get(s.organizer, s.id)).state for s, _, _ in whole]
        assert set(states) == {SessionState.SCHEDULED}
        assert await rig.differences() == []


async def test_what_waits_for_a_lost_mailbox_is_finished_when_it_is_back(tmp_path: Path) -> None:
    rng = random.Random(seed_to_use(11))
    async with a_rig(tmp_path, strangers=2) as rig:
        await rig.book(4, rng)
        caller, pairing, owner, mentor = _caller(rig)
        series = _request(
            "series", MONDAY + timedelta(days=1, hours=11), Repeat(Frequency.WEEKLY, count=5)
        )
        await book(caller, pairing, series, ports=rig.wiring.session_ports)
        for rule in (
            FaultRule("POST", "/events$", behaviour="lost", count=1),
            FaultRule("GET", "/events", status=503),
        ):
            rig.cloud.graph.faults.add(rule)
        interrupted = _request("interrupted", MONDAY + timedelta(days=2, hours=12))
        with pytest.raises(CalendarUnavailable):
            await book(caller, pairing, interrupted, ports=rig.wiring.session_ports)
        rig.cloud.graph.faults.clear()
        _scope(rig, owner, is_in=False)
        session_id = session_id_for(caller, pairing.id, "interrupted")
        with logged_exceptions() as exceptions:
            await rig.pass_time(3 * HOUR)
            waiting = await rig.sessions.get(caller.mailbox, session_id)
            assert waiting.state is SessionState.REQUESTED
            _scope(rig, owner, is_in=True)
            await rig.pass_time(FOUND_WITHIN)
        assert (exceptions, rig.failures, rig.queues.poison) == ([], [], [])
        finished = await rig.sessions.get(caller.mailbox, session_id)
        assert finished.state is SessionState.SCHEDULED
        rig.booked.append((finished, owner, mentor))
        assert await rig.differences() == []


async def test_workers_that_die_and_work_twice_tell_a_loss_once(tmp_path: Path) -> None:
    rng = random.Random(seed_to_use(11))
    async with a_rig(tmp_path, strangers=2) as rig:
        owner = await _many_sessions(rig, rng)
        theirs = [each for each in rig.booked if each[1] == owner]
        rig.twice, rig.trouble.dies_with = True, 0.3
        _scope(rig, owner, is_in=False)
        await rig.pass_time(3 * HOUR)
        _scope(rig, owner, is_in=True)
        await rig.pass_time(FOUND_WITHIN)
        rig.trouble.dies_with = 0.0
        # A worker may have died on the way; what it left is found at the next look or reading.
        await rig.pass_time(7 * HOUR)
        kinds = [c.kind for c in await _feed(rig) if c.kind.startswith("organization.")]
        assert kinds == [ChangeKind.TROUBLE, ChangeKind.RECOVERED]
        assert await _unreadable(rig, theirs) == 0
        assert rig.failures == []
        assert await rig.differences() == []


async def test_consent_that_is_given_back_elsewhere_is_found(tmp_path: Path) -> None:
    rng = random.Random(seed_to_use(11))
    async with a_rig(tmp_path) as rig:
        await rig.book(6, rng)
        await rig.pass_time(5 * MINUTE)
        _withdraw(rig, "")
        await rig.pass_time(7 * HOUR)
        stored = await rig.organizations.get(rig.organization.id)
        assert stored.consent is ConsentState.WITHDRAWN
        rig.cloud.entra.grant(CONTOSO_ID)  # in the Entra admin center: without our link
        await rig.pass_time(20 * MINUTE)
        stored = await rig.organizations.get(rig.organization.id)
        assert stored.consent is ConsentState.GRANTED


async def _many_sessions(rig: SyncTestbed, rng: random.Random) -> str:
    """Book sessions of several people, most of one; return that one's key."""
    await rig.book(25, rng)
    caller, pairing, owner, mentor = _caller(rig)
    for number in range(24):
        start = MONDAY + timedelta(days=2 + number // 4, hours=12 + number % 4)
        single = _request(f"single-{number}", start)
        booked = await book(caller, pairing, single, ports=rig.wiring.session_ports)
        rig.booked.append((booked.sessions[0], owner, mentor))
    start = MONDAY + timedelta(days=1, hours=11)
    series = _request("series", start, Repeat(Frequency.WEEKLY, count=10))
    await book(caller, pairing, series, ports=rig.wiring.session_ports)
    await rig.pass_time(5 * MINUTE)
    return owner


def _caller(rig: SyncTestbed) -> tuple[Caller, Pairing, str, str]:
    """Return the mentee of the last pair as a caller, the pairing, and both keys."""
    pairing, owner, mentor = rig.pairs[-1]
    mailbox = pairing.mailbox(pairing.participants[1])
    assert mailbox
    acting = ActingUser(mailbox, rig.cloud.entra.token_for(rig.cloud.world.person(owner)))
    return Caller(rig.organization, acting), pairing, owner, mentor


def _request(key: str, start: datetime, repeat: Repeat | None = None) -> BookingRequest:
    half_an_hour = timedelta(minutes=30)
    return BookingRequest(key, key, start, half_an_hour, "UTC", repeat=repeat)


def _edit_something(
    rig: SyncTestbed, theirs: list[tuple[Session, str, str]], rng: random.Random
) -> None:
    """Have Graph go on notifying about the mailbox, and twice about its subscription."""
    now = rig.clock.now()
    if now.minute % 10 == 0 and now.second < 10:
        session, owner, _ = rng.choice(theirs)
        if now.hour % 3 == 0 and now.minute == 0:
            for subscription in rig.cloud.graph.backend.subscriptions.all():
                rig.cloud.graph.backend.notifier.require_reauthorization(subscription)
        try:
            rig.cloud.graph.outlook.edit(owner, session.id, subject=str(now))
        except NoSuchEvent:
            return


def _requests_for(rig: SyncTestbed, who: str) -> int:
    """Return the requests about the mailbox of *who*, those in batches included."""
    object_id = rig.cloud.world.person(who).object_id
    return sum(object_id in entry.path for entry in rig.cloud.graph.requests.entries)


async def _feed(rig: SyncTestbed) -> list[Change]:
    feed, _ = await rig.changes.after(rig.organization.id, None, 100_000)
    return list(feed)


async def _unreadable(rig: SyncTestbed, booked: list[tuple[Session, str, str]]) -> int:
    rows = [await rig.sessions.get(s.organizer, s.id) for s, _, _ in booked]
    return sum(row.unreadable_since is not None for row in rows)
