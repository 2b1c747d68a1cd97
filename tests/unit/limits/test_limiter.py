"""What callers may do at a time: counted on every instance, refused with the time to wait."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import LimitReached, StoreUnavailable
from shared.ids import Mailbox
from shared.limits.limiter import CallLimiter
from shared.limits.model import Budget, Limits, Spending
from shared.organizations.model import ActingUser, Caller
from tests.builders import a_mailbox, an_organization
from tests.fakes import FakeClock, InMemoryUsages

LIMITS = Limits(
    participant={Spending.CHANGES: Budget(10, 25), Spending.READS: Budget(20)},
    organization={Spending.CHANGES: Budget(40, 100), Spending.READS: Budget(60)},
    unanswered=30,
)
MINUTE = timedelta(minutes=1)


class Deployment:
    """Some instances of the app, with one storage and one clock."""

    def __init__(self, instances: int = 1, limits: Limits = LIMITS) -> None:
        self.clock, self.usages = FakeClock(), InMemoryUsages()
        self.instances = [CallLimiter(limits, self.usages, self.clock) for _ in range(instances)]
        self.organization = an_organization()
        self.me = self.somebody()
        self.unanswered = 0
        self.counts = 0

    @property
    def one(self) -> CallLimiter:
        return self.instances[0]

    def somebody(self, mailbox: Mailbox | None = None) -> Caller:
        return Caller(self.organization, ActingUser(mailbox or a_mailbox()))

    async def count(self, most: int) -> int:
        self.counts += 1
        return min(most, self.unanswered)

    async def invite(self, dates: int = 1) -> None:
        await self.one.admit_change(self.me, dates, count_unanswered=self.count)


async def changes_until_refused(deployment: Deployment, caller: Caller) -> tuple[int, LimitReached]:
    """Make changes of one date by turns on every instance; return how many were admitted."""
    for admitted in range(1_000):
        limiter = deployment.instances[admitted % len(deployment.instances)]
        try:
            await limiter.admit_change(caller, 1)
        except LimitReached as reached:
            return admitted, reached
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize("instances", [1, 7])
async def test_a_participant_makes_so_many_changes_a_minute(instances: int) -> None:
    deployment = Deployment(instances)
    deployment.clock.advance(timedelta(seconds=20))
    admitted, reached = await changes_until_refused(deployment, deployment.me)
    assert admitted == 10
    assert reached.retry_after_seconds == 40
    assert "10 dates within a minute" in str(reached)
    assert await changes_until_refused(deployment, deployment.somebody())  # others go on
    deployment.clock.advance(timedelta(seconds=40))
    assert (await changes_until_refused(deployment, deployment.me))[0] == 10


async def test_a_participant_makes_so_many_changes_a_day() -> None:
    deployment = Deployment()
    admitted = 0
    for _ in range(3):
        made, reached = await changes_until_refused(deployment, deployment.me)
        admitted += made
        deployment.clock.advance(MINUTE)
    assert admitted == 25
    assert "25 dates within a day" in str(reached)
    assert reached.retry_after_seconds > 3600
    deployment.clock.advance(timedelta(days=1))
    await deployment.one.admit_change(deployment.me, 1)


async def test_a_series_counts_by_its_dates_and_is_never_too_large() -> None:
    deployment = Deployment()
    await deployment.one.admit_change(deployment.me, 52)
    with pytest.raises(LimitReached):
        await deployment.one.admit_change(deployment.me, 1)


async def test_a_retry_is_counted_once_also_when_nothing_is_left() -> None:
    deployment = Deployment(3)
    for limiter in deployment.instances * 5:
        await limiter.admit_change(deployment.me, 9, key="the same")
    await deployment.one.admit_change(deployment.me, 1, key="another")
    with pytest.raises(LimitReached):
        await deployment.one.admit_change(deployment.me, 1, key="a third")
    for limiter in deployment.instances:
        await limiter.admit_change(deployment.me, 9, key="the same")


async def test_requests_at_once_are_counted_each() -> None:
    deployment = Deployment(4)
    outcomes = await asyncio.gather(
        *(
            limiter.admit_change(deployment.me, 1)
            for limiter in deployment.instances
            for _ in range(10)
        ),
        return_exceptions=True,
    )
    assert sum(outcome is None for outcome in outcomes) == 10


async def test_all_of_an_organization_make_so_many_changes() -> None:
    deployment = Deployment(3)
    admitted = 0
    for _ in range(20):
        made, reached = await changes_until_refused(deployment, deployment.somebody())
        admitted += made
        if "organization" in str(reached):
            break
    # Each instance reports every two dates, and may admit one more before it knows.
    assert 40 <= admitted <= 40 + 2 * 3
    assert reached.retry_after_seconds == 60


async def test_who_is_refused_uses_up_nothing_of_the_others() -> None:
    deployment = Deployment(2)
    first, second = deployment.instances
    await first.admit_change(deployment.me, 10)
    for _ in range(2):
        burst = [second.admit_change(deployment.me, 52) for _ in range(40)]
        refused = await asyncio.gather(*burst, return_exceptions=True)
        assert {type(each) for each in refused} == {LimitReached}
    for limiter in (first, second):
        for _ in range(10):
            await limiter.admit_change(deployment.somebody(), 1)
    deployment.clock.advance(MINUTE)
    admitted = 0
    while admitted < 60:
        made, reached = await changes_until_refused(deployment, deployment.somebody())
        admitted += made
        if "organization" in str(reached):
            break
    # Nothing is given back that was never spent; each instance reports every two dates.
    assert 40 - 2 * 2 <= admitted <= 40 + 2 * 2


async def test_an_instance_that_has_refused_somebody_knows_it() -> None:
    deployment = Deployment(2)
    first, second = deployment.instances
    await first.admit_change(deployment.me, 10)
    with pytest.raises(LimitReached):
        await second.admit_change(deployment.me, 1)
    known = deployment.usages.updates
    with pytest.raises(LimitReached):
        await second.admit_read(deployment.me, before="a change")
    assert deployment.usages.updates == known


async def test_a_retry_with_more_dates_counts_what_is_more() -> None:
    deployment = Deployment()
    await deployment.one.admit_change(deployment.me, 2, key="k", count_unanswered=deployment.count)
    await deployment.one.admit_change(deployment.me, 8, key="k", count_unanswered=deployment.count)
    await deployment.one.admit_change(deployment.me, 3, key="k", count_unanswered=deployment.count)
    await deployment.one.admit_change(deployment.me, 2, key="another")
    with pytest.raises(LimitReached):
        await deployment.one.admit_change(deployment.me, 9, key="k")


async def test_reads_are_counted_in_parts_on_every_instance() -> None:
    deployment = Deployment(5)
    for turn in range(20):
        await deployment.instances[turn % 5].admit_read(deployment.me)
    # Each instance reports every read at its next one, and then knows of the others'.
    outcomes = await asyncio.gather(
        *(limiter.admit_read(deployment.me) for limiter in deployment.instances * 2),
        return_exceptions=True,
    )
    assert sum(outcome is None for outcome in outcomes) <= 5
    for limiter in deployment.instances:
        with pytest.raises(LimitReached, match="read calendars 20 times within a minute"):
            await limiter.admit_read(deployment.me)
    deployment.clock.advance(MINUTE)
    await deployment.one.admit_read(deployment.me)


async def test_an_instance_that_knows_does_not_ask_the_store() -> None:
    deployment = Deployment(limits=replace(LIMITS, participant={Spending.READS: Budget(200)}))
    for _ in range(60):
        await deployment.one.admit_read(deployment.somebody(deployment.me.mailbox))
    # The first reads the rows; after that every tenth, and of the organization every third.
    assert deployment.usages.updates <= 2 + 60 // 10 + 60 // 3
    with pytest.raises(LimitReached):
        await deployment.one.admit_read(deployment.me)
    known = deployment.usages.updates
    for _ in range(50):
        with pytest.raises(LimitReached):
            await deployment.one.admit_read(deployment.me)
    assert deployment.usages.updates == known


async def test_invitations_without_an_answer_are_limited() -> None:
    deployment = Deployment(limits=replace(LIMITS, participant={}, organization={}))
    await deployment.invite(29)
    await deployment.invite(2)
    assert deployment.counts == 0  # no more than 31 can be unanswered: nothing was read for that
    deployment.unanswered = 12
    await deployment.invite(10)
    assert deployment.counts == 1
    deployment.unanswered = 30
    await deployment.invite(8)
    with pytest.raises(LimitReached, match="30 or more of your invitations") as reached:
        await deployment.invite()
    assert reached.value.retry_after_seconds == 600
    with pytest.raises(LimitReached):
        await deployment.invite()
    assert deployment.counts == 2
    await deployment.one.admit_change(deployment.me, 1)  # what invites nobody goes on
    deployment.unanswered = 29
    deployment.clock.advance(timedelta(minutes=10))
    await deployment.invite()


async def test_without_the_store_calendars_are_read_and_nothing_is_changed() -> None:
    deployment = Deployment()
    deployment.usages.is_down = True
    await deployment.one.admit_read(deployment.me)
    with pytest.raises(StoreUnavailable):
        await deployment.one.admit_change(deployment.me, 1)
    deployment.usages.is_down = False
    for _ in range(10):
        await deployment.one.admit_change(deployment.me, 1)


async def test_what_is_not_limited_costs_nothing() -> None:
    deployment = Deployment(limits=Limits())
    for _ in range(10):
        await deployment.one.admit_read(deployment.me)
        await deployment.one.admit_change(deployment.me, 52, key="k")
        await deployment.invite()
    assert deployment.usages.updates == 0
