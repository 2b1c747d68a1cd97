"""In-memory stand-ins for the stores and queues. The contract tests hold them to the real ones.

Each method lets others run once before it acts, then acts at once: so tests see calls interleave,
and what the real stores do in one transaction happens undivided here too.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count

from shared.adapters.tables.keys import NUMBER_DIGITS
from shared.adapters.tables.values import cursor as opaque
from shared.adapters.tables.values import read_cursor
from shared.changes.model import Change
from shared.changes.ports import Delivery
from shared.due import DueItem, DueKind
from shared.errors import Conflict, Invalid, NotFound, SlotTaken, StaleRow
from shared.ids import (
    EventId,
    Mailbox,
    ObjectId,
    OrganizationId,
    PairingId,
    SeriesId,
    SessionId,
    TenantId,
)
from shared.notifications.model import MailboxChanges
from shared.organizations.model import Organization
from shared.pairings.model import Pairing
from shared.sessions.holding import (
    colliding,
    held_days,
    holds_besides,
    holds_of,
    holds_settled,
    is_confirmed,
)
from shared.sessions.model import Hold, Session, SessionState
from shared.sessions.ports import Job
from shared.sessions.series import Series
from shared.subscriptions.model import Subscription
from shared.timespan import TimeSpan

_versions = count(1)


class FakeClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime = datetime(2026, 3, 2, 8, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Let *by* pass."""
        self._now += by

    async def pause(self, seconds: float) -> None:
        """Let somebody wait, without waiting."""
        self.advance(timedelta(seconds=seconds))
        await _turn()


@dataclass(slots=True)
class _Known:
    """What one mailbox knows of one session."""

    organizer: Mailbox
    start: datetime
    settled_at: datetime | None = None
    session: Session | None = None
    """In the organizer's mailbox."""


@dataclass(slots=True)
class _Partition:
    """One mailbox."""

    known: dict[SessionId, _Known] = field(default_factory=dict)
    events: dict[EventId, SessionId] = field(default_factory=dict)
    days: dict[date, list[Hold]] = field(default_factory=dict)
    series: dict[SeriesId, Series] = field(default_factory=dict)

    def held(self, days: Iterable[date]) -> set[Hold]:
        return {hold for day in days for hold in self.days.get(day, ())}

    def ensure_free(self, wanted: Hold, now: datetime) -> None:
        if colliding(self.held(held_days([wanted.span])), wanted.span, wanted.session_id, now):
            raise SlotTaken("Another session holds this time.")

    def rewrite(self, session_id: SessionId, wanted: Sequence[Hold]) -> int:
        """Let the session hold *wanted* alone; return how many days nobody holds any more."""
        emptied = 0
        for day, holds in list(self.days.items()):
            self.days[day] = [hold for hold in holds if hold.session_id != session_id]
        for hold in wanted:
            for day in held_days([hold.span]):
                self.days.setdefault(day, []).append(hold)
        for day in [day for day, holds in self.days.items() if not holds]:
            del self.days[day]
            emptied += 1
        return emptied


class InMemorySessions:
    """A `SessionStore`."""

    def __init__(self) -> None:
        self._partitions: dict[Mailbox, _Partition] = defaultdict(_Partition)

    async def hold(self, mailbox: Mailbox, hold: Hold, organizer: Mailbox, now: datetime) -> bool:
        await _turn()
        partition = self._partitions[mailbox]
        if is_confirmed(partition.held(held_days([hold.span])), hold):
            return True
        partition.ensure_free(hold, now)
        was_there = hold.session_id in partition.known
        partition.rewrite(hold.session_id, [hold])
        partition.known[hold.session_id] = _Known(organizer, hold.span.start)
        return was_there

    async def open(
        self, session: Session, now: datetime, *, whatever_is_held: bool = False
    ) -> Session:
        await _turn()
        partition = self._partitions[session.organizer]
        if session.id in partition.known:
            raise StaleRow("The session is there already.")
        for hold in () if whatever_is_held else holds_of(session):
            partition.ensure_free(hold, now)
        return self._write(session)

    async def save(self, session: Session) -> Session:
        await _turn()
        known = self._partitions[session.organizer].known.get(session.id)
        if known is None or known.session is None or known.session.version != session.version:
            raise StaleRow("The session changed since it was read.")
        return self._write(session)

    async def settle(self, mailbox: Mailbox, session: Session) -> None:
        await _turn()
        if mailbox == session.organizer:
            return
        partition = self._partitions[mailbox]
        known = partition.known.get(session.id)
        if known and known.settled_at and known.settled_at > session.changed_at:
            return
        held = partition.held(partition.days)
        partition.rewrite(session.id, holds_settled(session, mailbox, held))
        partition.known[session.id] = _Known(
            session.organizer, session.span.start, session.changed_at
        )

    async def move(self, mailbox: Mailbox, session: Session, to: Hold, now: datetime) -> None:
        await _turn()
        partition = self._partitions[mailbox]
        if mailbox == session.organizer:
            stored = self._stored(mailbox, session.id)
            if stored is None or stored.version != session.version:
                raise StaleRow("The session changed since it was read.")
        known = partition.known.get(session.id)
        if known and known.settled_at and known.settled_at > session.changed_at:
            raise StaleRow("The session changed since it was read.")
        partition.ensure_free(to, now)
        held = partition.held(partition.days)
        partition.rewrite(session.id, holds_besides(session, to, mailbox, held, now))
        partition.known.setdefault(session.id, _Known(session.organizer, session.span.start))

    async def take_back(self, mailbox: Mailbox, hold: Hold) -> None:
        await _turn()
        partition = self._partitions[mailbox]
        held = partition.held(partition.days)
        if hold in held:
            others = [h for h in held if h.session_id == hold.session_id and h != hold]
            partition.rewrite(hold.session_id, others)

    async def release(
        self, mailbox: Mailbox, session_id: SessionId, *, of: datetime | None = None
    ) -> None:
        await _turn()
        partition = self._partitions[mailbox]
        known = partition.known.get(session_id)
        if known and known.session and known.session.state is not SessionState.REQUESTED:
            raise StaleRow("The session was confirmed meanwhile.")
        held = {hold for hold in partition.held(partition.days) if hold.session_id == session_id}
        if of and any(hold.counts_until != of for hold in held):
            return
        self._remove(mailbox, session_id)

    async def get(self, mailbox: Mailbox, session_id: SessionId) -> Session:
        await _turn()
        known = self._partitions[mailbox].known.get(session_id)
        session = self._stored(known.organizer, session_id) if known else None
        if session is None:
            raise NotFound("There is no such session.")
        return session

    async def of_event(self, mailbox: Mailbox, event_id: EventId) -> Session | None:
        await _turn()
        session_id = self._partitions[mailbox].events.get(event_id)
        return self._stored(mailbox, session_id) if session_id else None

    async def shown_by(self, mailbox: Mailbox, event_id: EventId) -> Session | Series | None:
        known = self._partitions[mailbox].series.values()
        series = next((one for one in known if one.event_id == event_id), None)
        return series or await self.of_event(mailbox, event_id)

    async def put_series(self, series: Series) -> Series:
        await _turn()
        partition = self._partitions[series.organizer]
        known = partition.series.get(series.id)
        if (known.version if known else "") != series.version:
            raise StaleRow("The series changed since it was read.")
        partition.series[series.id] = replace(series, version=_version())
        return partition.series[series.id]

    async def get_series(self, mailbox: Mailbox, series_id: SeriesId) -> Series | None:
        await _turn()
        return self._partitions[mailbox].series.get(series_id)

    async def remove_series(self, mailbox: Mailbox, series_id: SeriesId) -> int:
        await _turn()
        gone = self._partitions[mailbox].series.pop(series_id, None)
        return 0 if gone is None else 2 if gone.event_id else 1

    async def of_mailbox(
        self,
        mailbox: Mailbox,
        *,
        since: datetime | None,
        until: datetime | None,
        after: str | None,
        limit: int,
    ) -> tuple[Sequence[Session], str | None]:
        await _turn()
        last = read_cursor(after) if after else ""
        rows = sorted(
            (f"{known.start:%Y-%m-%dT%H:%M:%S.%f};{session_id}", known.organizer, session_id)
            for session_id, known in self._partitions[mailbox].known.items()
            if _within(known.start, since, until)
        )
        found = [row for row in rows if row[0] > last]
        page = found[:limit]
        sessions = [self._stored(organizer, session_id) for _, organizer, session_id in page]
        return (
            sorted(
                (s for s in sessions if s is not None and _within(s.span.start, since, until)),
                key=lambda session: (session.span.start, session.id),
            ),
            opaque(page[-1][0]) if len(found) > limit else None,
        )

    async def holds(self, mailbox: Mailbox, window: TimeSpan, now: datetime) -> list[Hold]:
        await _turn()
        return sorted(
            (
                hold
                for hold in self._partitions[mailbox].held(window.days())
                if hold.counts_at(now) and hold.span.overlaps(window)
            ),
            key=lambda hold: (hold.span, hold.session_id),
        )

    async def purge(self, session: Session) -> int:
        await _turn()
        return sum(self._remove(mailbox, session.id) for mailbox in session.holders)

    def _stored(self, organizer: Mailbox, session_id: SessionId) -> Session | None:
        known = self._partitions[organizer].known.get(session_id)
        return known.session if known else None

    def _write(self, session: Session) -> Session:
        partition = self._partitions[session.organizer]
        stored = replace(session, version=_version())
        partition.rewrite(session.id, holds_of(session))
        self._forget_events(partition, session.id)
        if session.event_id:
            partition.events[session.event_id] = session.id
        partition.known[session.id] = _Known(session.organizer, session.span.start, session=stored)
        return stored

    def _remove(self, mailbox: Mailbox, session_id: SessionId) -> int:
        partition = self._partitions[mailbox]
        if partition.known.pop(session_id, None) is None:
            return 0
        # Its own row, the time index, the event index, the days.
        return 2 + self._forget_events(partition, session_id) + partition.rewrite(session_id, [])

    @staticmethod
    def _forget_events(partition: _Partition, session_id: SessionId) -> int:
        gone = [event for event, shown in partition.events.items() if shown == session_id]
        for event in gone:
            del partition.events[event]
        return len(gone)


class InMemoryOrganizations:
    """An `OrganizationStore`."""

    def __init__(self) -> None:
        self._organizations: dict[OrganizationId, Organization] = {}

    async def get(self, organization_id: OrganizationId) -> Organization:
        await _turn()
        if organization_id not in self._organizations:
            raise NotFound("There is no such organization.")
        return self._organizations[organization_id]

    async def of_tenant(self, tenant_id: TenantId) -> Organization | None:
        await _turn()
        return self._claimant(tenant_id)

    async def create(self, organization: Organization) -> Organization:
        await _turn()
        if organization.id in self._organizations:
            raise Conflict("There is an organization with this id already.")
        return self._write(organization)

    async def save(self, organization: Organization) -> Organization:
        await _turn()
        known = self._organizations.get(organization.id)
        if known is None or known.version != organization.version:
            raise StaleRow("The organization changed since it was read.")
        return self._write(organization)

    async def list(
        self, *, after: str | None = None, limit: int = 50
    ) -> tuple[Sequence[Organization], str | None]:
        await _turn()
        last = read_cursor(after) if after else ""
        found = sorted(id_ for id_ in self._organizations if id_ > last)
        page = found[:limit]
        return (
            [self._organizations[id_] for id_ in page],
            opaque(page[-1]) if len(found) > limit else None,
        )

    async def delete(self, organization_id: OrganizationId) -> None:
        await _turn()
        self._organizations.pop(organization_id, None)

    def _claimant(self, tenant_id: TenantId | None) -> Organization | None:
        return next(
            (each for each in self._organizations.values() if each.tenant_id == tenant_id), None
        )

    def _write(self, organization: Organization) -> Organization:
        claimant = self._claimant(organization.tenant_id) if organization.tenant_id else None
        if claimant and claimant.id != organization.id:
            raise Conflict("The tenant belongs to another organization.")
        stored = replace(organization, version=_version())
        self._organizations[organization.id] = stored
        return stored


class InMemoryPairings:
    """A `PairingStore`."""

    def __init__(self) -> None:
        self._pairings: dict[tuple[OrganizationId, PairingId], Pairing] = {}

    async def get(self, organization_id: OrganizationId, pairing_id: PairingId) -> Pairing:
        await _turn()
        try:
            return self._pairings[organization_id, pairing_id]
        except KeyError:
            raise NotFound("There is no such pairing.") from None

    async def put(self, pairing: Pairing) -> Pairing:
        await _turn()
        key = (pairing.organization_id, pairing.id)
        known = self._pairings.get(key)
        if pairing.version and (known is None or known.version != pairing.version):
            raise StaleRow("The pairing changed since it was read.")
        self._pairings[key] = replace(pairing, version=_version())
        return self._pairings[key]

    async def of_mailbox(
        self, organization_id: OrganizationId, mailbox: Mailbox, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        await _turn()
        found = [
            pairing
            for pairing in self._of(organization_id)
            if pairing.tenant_id == mailbox.tenant_id and pairing.participant(mailbox.object_id)
        ]
        return _page_by_id(found, after, limit)

    async def of_organization(
        self, organization_id: OrganizationId, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        await _turn()
        return _page_by_id(self._of(organization_id), after, limit)

    async def delete(self, organization_id: OrganizationId, pairing_id: PairingId) -> None:
        await _turn()
        self._pairings.pop((organization_id, pairing_id), None)

    def _of(self, organization_id: OrganizationId) -> list[Pairing]:
        return [
            pairing for (owner, _), pairing in self._pairings.items() if owner == organization_id
        ]


class InMemorySubscriptions:
    """A `SubscriptionStore`."""

    def __init__(self) -> None:
        self._subscriptions: dict[Mailbox, Subscription] = {}

    async def get(self, mailbox: Mailbox) -> Subscription | None:
        await _turn()
        return self._subscriptions.get(mailbox)

    async def save(self, subscription: Subscription) -> Subscription:
        await _turn()
        known = self._subscriptions.get(subscription.mailbox)
        if (known.version if known else "") != subscription.version:
            raise StaleRow("The subscription changed since it was read.")
        stored = replace(subscription, version=_version())
        self._subscriptions[subscription.mailbox] = stored
        return stored

    async def delete(self, mailbox: Mailbox) -> None:
        await _turn()
        self._subscriptions.pop(mailbox, None)

    async def of_tenant(self, tenant_id: TenantId) -> AsyncIterator[list[Subscription]]:
        await _turn()
        found = [
            subscription
            for mailbox, subscription in sorted(self._subscriptions.items())
            if mailbox.tenant_id == tenant_id
        ]
        if found:
            yield found


class InMemoryDeliveries:
    """A `Deliveries`."""

    def __init__(self) -> None:
        self._deliveries: dict[OrganizationId, Delivery] = {}

    async def get(self, organization_id: OrganizationId) -> Delivery:
        await _turn()
        return self._deliveries.get(organization_id, Delivery())

    async def save(self, organization_id: OrganizationId, delivery: Delivery) -> Delivery:
        await _turn()
        known = self._deliveries.get(organization_id, Delivery())
        if known.version != delivery.version:
            raise StaleRow("The delivery changed since it was read.")
        stored = replace(delivery, version=_version())
        self._deliveries[organization_id] = stored
        return stored


class InMemoryDue:
    """A `DueStore`."""

    def __init__(self) -> None:
        self._items: set[DueItem] = set()

    async def put(self, items: Iterable[DueItem]) -> None:
        await _turn()
        self._items |= set(items)

    async def due(
        self, kind: DueKind, now: datetime, *, page: int = 100
    ) -> AsyncIterator[list[DueItem]]:
        await _turn()
        found = sorted(item for item in self._items if item.kind is kind and item.due_at <= now)
        for start in range(0, len(found), page):
            yield found[start : start + page]

    async def done(self, items: Iterable[DueItem]) -> None:
        await _turn()
        self._items -= set(items)

    async def oldest(self, kind: DueKind) -> DueItem | None:
        await _turn()
        return min((item for item in self._items if item.kind is kind), default=None)


class InMemoryChanges:
    """A `ChangeStore`."""

    def __init__(self) -> None:
        self._feeds: dict[OrganizationId, dict[int, Change]] = defaultdict(dict)
        self._last: dict[OrganizationId, int] = defaultdict(int)

    async def append(self, changes: Iterable[Change]) -> None:
        await _turn()
        for change in changes:
            self._last[change.organization_id] += 1
            feed = self._feeds[change.organization_id]
            feed[self._last[change.organization_id]] = change

    async def after(
        self, organization_id: OrganizationId, cursor: str | None, limit: int
    ) -> tuple[Sequence[Change], str | None]:
        await _turn()
        last = _number(cursor) if cursor else 0
        feed = self._feeds[organization_id]
        page = [number for number in feed if number > last][:limit]
        return [feed[n] for n in page], opaque(str(page[-1])) if page else cursor

    async def recent(self, organization_id: OrganizationId, limit: int) -> Sequence[Change]:
        await _turn()
        return list(self._feeds[organization_id].values())[-limit:]

    async def forget(
        self, organization_id: OrganizationId, *, before: datetime | None = None
    ) -> int:
        await _turn()
        feed = self._feeds[organization_id]
        removed = 0
        for number, change in list(feed.items()):
            if before is not None and change.at >= before:
                break
            del feed[number]
            removed += 1
        if before is None:
            self._last.pop(organization_id, None)
        return removed


class FakeClientStates:
    """`ClientStates` without a secret."""

    async def make(self, mailbox: Mailbox, nonce: str) -> str:
        return f"v1.{mailbox.object_id}.{nonce}.fake"

    async def verify(self, tenant_id: str, client_state: str) -> Mailbox | None:
        version, _, rest = client_state.partition(".")
        object_id, _, tail = rest.partition(".")
        is_ours = version == "v1" and tail.endswith(".fake")
        return Mailbox(TenantId(tenant_id), ObjectId(object_id)) if is_ours else None

    async def ping(self) -> None:
        """Be there."""


class InMemoryJobs:
    """A `Jobs` queue that shows what was put: each job and its delay."""

    def __init__(self) -> None:
        self.put_jobs: list[tuple[Job, timedelta]] = []

    async def put(self, job: Job, *, delay: timedelta = timedelta()) -> None:
        await _turn()
        self.put_jobs.append((job, delay))


class InMemoryOutbox:
    """An `Outbox` that shows what was put."""

    def __init__(self) -> None:
        self.put_changes: list[tuple[MailboxChanges, str]] = []
        self.delays: list[timedelta] = []

    async def put(
        self,
        changes: Sequence[MailboxChanges],
        received_at: str,
        *,
        delay: timedelta = timedelta(),
    ) -> int:
        await _turn()
        self.put_changes += [(change, received_at) for change in changes]
        self.delays += [delay] * len(changes)
        return 1 if changes else 0


async def _turn() -> None:
    await asyncio.sleep(0)


def _version() -> str:
    return f'W/"{next(_versions)}"'


def _number(cursor: str) -> int:
    text = read_cursor(cursor)
    if not text.isdigit() or len(text) > NUMBER_DIGITS:
        raise Invalid("query.cursor", "This cursor was not given out here.")
    return int(text)


def _within(start: datetime, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or start >= since) and (until is None or start < until)


def _page_by_id(
    pairings: Iterable[Pairing], after: str | None, limit: int
) -> tuple[list[Pairing], str | None]:
    last = read_cursor(after) if after else ""
    found = sorted(
        (pairing for pairing in pairings if pairing.id > last), key=lambda pairing: pairing.id
    )
    page = found[:limit]
    return page, opaque(page[-1].id) if len(found) > limit else None
