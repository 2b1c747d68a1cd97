"""In-memory stand-ins for the stores and queues. The contract tests hold them to the real ones.

Each method yields to the loop once, then acts at once. So tests see calls interleave, and a
transaction of the real stores is atomic here too.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from shared.adapters.tables.keys import NUMBER_DIGITS, instant
from shared.adapters.tables.values import cursor as opaque
from shared.adapters.tables.values import read_cursor
from shared.changes.model import Change
from shared.changes.ports import ChangeStore, Delivery
from shared.errors import Conflict, Invalid, NotFound, StaleRow, StoreUnavailable
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
from shared.jobs import DueItem, DueKind, Job
from shared.limits.model import Spender, Usage
from shared.notifications.model import MailboxChanges
from shared.organizations.lost_mailboxes import LostMailbox
from shared.organizations.model import Organization
from shared.pairings.model import Pairing
from shared.sessions.holds import Hold, active_holds
from shared.sessions.ledger import (
    Decide,
    LedgerChange,
    MailboxLedger,
    Pointer,
    SeriesKey,
    stamped,
)
from shared.sessions.model import Session
from shared.sessions.series import Series
from shared.subscriptions.model import Subscription
from shared.timespan import TimeSpan

_versions = count(1)


class FakeClock:
    """A clock that stands still until `advance`."""

    def __init__(self, now: datetime = datetime(2026, 3, 2, 8, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        """Return the present instant in UTC."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Let *by* pass."""
        self._now += by

    async def pause(self, seconds: float) -> None:
        """Return at once instead of waiting."""
        self.advance(timedelta(seconds=seconds))
        await _turn()


class Ledgers(dict[Mailbox, MailboxLedger]):
    """Ledgers by mailbox; every other mailbox has an empty one."""

    def __missing__(self, mailbox: Mailbox) -> MailboxLedger:
        return MailboxLedger(mailbox)


class InMemorySessions:
    """A `SessionStore`: a ledger for each mailbox."""

    def __init__(self, changes: ChangeStore | None = None) -> None:
        self.ledgers = Ledgers()
        self.changes = changes or InMemoryChanges()

    async def change(
        self,
        mailbox: Mailbox,
        key: SessionId | SeriesKey,
        spans: Iterable[TimeSpan],
        decide: Decide,
        *,
        expects_new: bool = False,
    ) -> LedgerChange:
        await _turn()
        before = self.ledgers[mailbox]
        after = stamped(LedgerChange(before, decide(before)), lambda _: _version())
        self.ledgers[mailbox] = after
        return LedgerChange(before, after)

    async def publish(self, sessions: Sequence[Session]) -> list[Session]:
        await _turn()
        if any(session.outbox for session in sessions):
            await self.changes.append(news for session in sessions for news in session.outbox)
        return [self._emptied(session) if session.outbox else session for session in sessions]

    async def get(self, mailbox: Mailbox, session_id: SessionId) -> Session:
        await _turn()
        if session := self.find(mailbox, session_id):
            return (await self.publish([session]))[0]
        raise NotFound("There is no such session.")

    async def find_by_event(self, mailbox: Mailbox, event_id: EventId) -> Session | Series | None:
        await _turn()
        shown = self.ledgers[mailbox].events.get(event_id)
        if isinstance(shown, SeriesKey):
            return self.ledgers[mailbox].series[shown.id]
        found = self.find(mailbox, shown) if shown else None
        return (await self.publish([found]))[0] if found else None

    async def get_series(self, mailbox: Mailbox, series_id: SeriesId) -> Series | None:
        await _turn()
        return self.ledgers[mailbox].series.get(series_id)

    async def list_by_mailbox(
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
        listed = self.ledgers[mailbox].listings.values()
        rows = {f"{instant(x.start)};{x.id}": x for x in listed if _within(x.start, since, until)}
        found = sorted(row for row in rows if row > last)
        page = [self.find(mailbox, rows[row].id) for row in found[:limit]]
        shown = [s for s in page if s and _within(s.span.start, since, until)]
        cursor = opaque(found[limit - 1]) if len(found) > limit else None
        return sorted(shown, key=lambda session: (session.span.start, session.id)), cursor

    async def holds(self, mailbox: Mailbox, window: TimeSpan, now: datetime) -> list[Hold]:
        await _turn()
        return active_holds(self.ledgers[mailbox].holds_on(window.days()), window, now)

    def _emptied(self, session: Session) -> Session:
        ledger = self.ledgers[session.organizer]
        known = ledger.sessions.get(session.id)
        if not isinstance(known, Session) or known.version != session.version:
            return session
        emptied = replace(session, outbox=(), version=_version())
        sessions = {**ledger.sessions, session.id: emptied}
        self.ledgers[session.organizer] = replace(ledger, sessions=sessions)
        return emptied

    def find(self, mailbox: Mailbox, session_id: SessionId) -> Session | None:
        entry = self.ledgers[mailbox].sessions.get(session_id)
        if isinstance(entry, Pointer):
            entry = self.ledgers[entry.organizer].sessions.get(session_id)
        return entry if isinstance(entry, Session) else None


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

    async def list_by_mailbox(
        self, organization_id: OrganizationId, mailbox: Mailbox, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        await _turn()
        found = [
            pairing
            for pairing in self._of(organization_id)
            if pairing.tenant_id == mailbox.tenant_id and pairing.participant(mailbox.object_id)
        ]
        return _page_by_id(found, after, limit)

    async def list_by_organization(
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
    """A `DeliveryStore`."""

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


class InMemoryLostMailboxes:
    """A `LostMailboxStore`."""

    def __init__(self) -> None:
        self._lost: dict[Mailbox, LostMailbox] = {}

    async def get(self, mailbox: Mailbox) -> LostMailbox | None:
        await _turn()
        return self._lost.get(mailbox)

    async def save(self, lost: LostMailbox) -> LostMailbox:
        await _turn()
        known = self._lost.get(lost.mailbox)
        if (known.version if known else "") != lost.version:
            raise StaleRow("The row changed since it was read.")
        self._lost[lost.mailbox] = replace(lost, version=_version())
        return self._lost[lost.mailbox]

    async def delete(self, mailbox: Mailbox) -> None:
        await _turn()
        self._lost.pop(mailbox, None)

    async def of_tenant(self, tenant_id: TenantId) -> AsyncIterator[list[LostMailbox]]:
        await _turn()
        found = [lost for box, lost in sorted(self._lost.items()) if box.tenant_id == tenant_id]
        if found:
            yield found


class InMemoryUsages:
    """A `UsageStore`."""

    def __init__(self) -> None:
        self.stored: dict[Spender, Usage] = {}
        self.is_down = False
        self.updates = 0

    async def update(self, spender: Spender, change: Callable[[Usage], Usage]) -> Usage:
        self.updates += 1
        await _turn()
        if self.is_down:
            raise StoreUnavailable("The tables do not answer.")
        known = self.stored.get(spender, Usage())
        changed = change(known)
        if changed != known:
            self.stored[spender] = changed
        return changed


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

    async def remove(self, items: Iterable[DueItem]) -> None:
        await _turn()
        self._items -= set(items)

    async def of_organization(
        self, organization_id: OrganizationId
    ) -> AsyncIterator[list[DueItem]]:
        await _turn()
        found = sorted(item for item in self._items if item.organization_id == organization_id)
        for start in range(0, len(found), 1_000):
            yield found[start : start + 1_000]

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
            if any(change.id == told.id for told in self._feeds[change.organization_id].values()):
                continue
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

    async def delete(
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
    """`ClientStateSigner` without a secret."""

    async def create(self, mailbox: Mailbox, nonce: str) -> str:
        return f"v1.{mailbox.object_id}.{nonce}.{mailbox.tenant_id}"

    async def verify(self, tenant_id: str, client_state: str) -> Mailbox | None:
        version, _, rest = client_state.partition(".")
        object_id, _, tail = rest.partition(".")
        is_ours = version == "v1" and tail.endswith(f".{tenant_id}")
        return Mailbox(TenantId(tenant_id), ObjectId(object_id)) if is_ours else None

    async def ping(self) -> None:
        """Answer."""


class InMemoryJobs:
    """A `JobQueue` that keeps each job with its delay."""

    def __init__(self) -> None:
        self.put_jobs: list[tuple[Job, timedelta]] = []

    async def put(self, job: Job, *, delay: timedelta = timedelta()) -> None:
        await _turn()
        self.put_jobs.append((job, delay))


class InMemoryNotificationQueue:
    """A `NotificationQueue` that keeps its messages."""

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
