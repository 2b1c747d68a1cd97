"""Subscriptions over days, on simulated time."""

import random
from datetime import timedelta
from pathlib import Path

from shared.subscriptions.model import RENEWAL_INTERVAL
from tests.sync_testbed import a_rig


async def test_subscriptions_are_renewed_at_half_of_their_life_in_one_batch(
    tmp_path: Path,
) -> None:
    async with a_rig(tmp_path) as rig:
        await rig.book(6, random.Random(3))
        await rig.pass_time(timedelta(minutes=5))
        made = {s.id: s.expires_at for s in rig.cloud.graph.backend.subscriptions.all()}
        assert made
        rig.cloud.graph.requests.reset()
        await rig.pass_time(RENEWAL_INTERVAL + timedelta(minutes=30))
        renewed = {s.id: s.expires_at for s in rig.cloud.graph.backend.subscriptions.all()}
        assert renewed.keys() <= made.keys()
        assert renewed
        assert all(expires_at > made[key] for key, expires_at in renewed.items())
        assert rig.cloud.graph.requests.count("POST", "subscriptions") == 0
        in_batch = [e.in_batch for e in rig.cloud.graph.requests.entries if e.method == "PATCH"]
        assert in_batch == [True] * len(renewed)
        assert rig.failures == []


async def test_a_subscription_that_graph_has_lost_is_made_anew_and_nothing_is_missed(
    tmp_path: Path,
) -> None:
    async with a_rig(tmp_path) as rig:
        await rig.book(3, random.Random(3))
        await rig.pass_time(timedelta(minutes=5))
        kept = rig.cloud.graph.backend.subscriptions
        lost = {s.mailbox_id: s for s in kept.all()}
        for subscription in lost.values():
            kept.remove(subscription)
        rig.cloud.graph.requests.reset()
        await rig.pass_time(RENEWAL_INTERVAL + timedelta(minutes=30))
        anew = {s.mailbox_id: s.id for s in kept.all()}
        refused = {
            (e.status, e.in_batch) for e in rig.cloud.graph.requests.entries if e.method == "PATCH"
        }
        assert refused == {(404, True)}
        assert anew
        assert anew.keys() <= lost.keys()
        assert all(lost[mailbox].id != found for mailbox, found in anew.items())
        assert rig.failures == []


async def test_a_removal_that_graph_tells_is_repaired_at_once(tmp_path: Path) -> None:
    async with a_rig(tmp_path) as rig:
        await rig.book(1, random.Random(3))
        await rig.pass_time(timedelta(minutes=5))
        kept = rig.cloud.graph.backend.subscriptions
        removed = list(kept.all())
        assert removed
        for subscription in removed:
            rig.cloud.graph.backend.notifier.end(subscription, tell=True)
        await rig.pass_time(timedelta(minutes=1))
        assert {s.mailbox_id for s in kept.all()} == {s.mailbox_id for s in removed}
        assert rig.failures == []


async def test_what_changed_before_a_reauthorization_is_read_after_it(tmp_path: Path) -> None:
    async with a_rig(tmp_path) as rig:
        await rig.book(1, random.Random(3))
        await rig.pass_time(timedelta(minutes=5))
        kept = rig.cloud.graph.backend.subscriptions
        for subscription in kept.all():
            rig.cloud.graph.backend.notifier.require_reauthorization(subscription)
        ((session, mentee, _),) = rig.booked
        moved_to = session.span.start + timedelta(hours=1)
        rig.cloud.graph.outlook.move(mentee, session.id, moved_to)
        await rig.pass_time(timedelta(minutes=1))
        assert not any(s.is_paused for s in kept.all())
        seen = await rig.sessions.get(session.organizer, session.id)
        assert seen.span.start == moved_to
        assert rig.failures == []
