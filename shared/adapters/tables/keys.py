r"""The keys of every row: the only place that makes them, so what a table holds is read here.

Table keys forbid ``/ \ # ?`` and control characters, and clients decode ``%`` once too often:
whatever comes from outside is escaped with ``=``. Instants are of fixed width, so that keys sort by
time.

Source: https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
"""

import hashlib
from base64 import urlsafe_b64encode
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import quote

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
from shared.jobs import DueItem, DueKind

ORGANIZATIONS: Final = "Organizations"
PAIRINGS: Final = "Pairings"
MAILBOXES: Final = "Mailboxes"
DUE: Final = "Due"
CHANGES: Final = "Changes"
NUMBER_DIGITS: Final = 18
"""Width of the numbers of changes in keys."""
TABLES: Final[tuple[str, ...]] = (ORGANIZATIONS, PAIRINGS, MAILBOXES, DUE, CHANGES)


class Key(NamedTuple):
    """Where a row is."""

    partition: str
    row: str


class Rows(NamedTuple):
    """The rows of one partition between *after* and *before*, both exclusive."""

    partition: str
    after: str
    before: str


def organization(organization_id: OrganizationId) -> Key:
    """Return the key of an organization."""
    return Key(_safe(organization_id), "organization")


def tenant_claim(tenant_id: TenantId) -> Key:
    """Return the key of the row that says which organization a tenant belongs to."""
    return Key("tenant", _safe(tenant_id))


def pairing(organization_id: OrganizationId, pairing_id: PairingId) -> Key:
    """Return the key of a pairing."""
    return Key(_safe(organization_id), _safe(pairing_id))


def pairings(organization_id: OrganizationId, *, after: str = "") -> Rows:
    """Return where an organization's pairings are, by id."""
    return Rows(_safe(organization_id), _safe(after), _END)


def mailbox(box: Mailbox) -> str:
    """Return the partition of everything about one mailbox."""
    return f"{_safe(box.tenant_id)};{_safe(box.object_id)}"


def mailboxes(tenant_id: TenantId) -> "Buckets":
    """Return the partitions of all mailboxes of a tenant."""
    return Buckets(f"{_safe(tenant_id)};", f"{_safe(tenant_id)};{_END}")


def parse_mailbox(key: Key) -> Mailbox:
    """Return whose partition a row of `MAILBOXES` is in: ids are GUIDs, nothing is escaped."""
    tenant_id, _, object_id = key.partition.partition(";")
    return Mailbox(TenantId(tenant_id), ObjectId(object_id))


def pairing_of(box: Mailbox, pairing_id: PairingId) -> Key:
    """Return the key of the row that says that *box* is in a pairing."""
    return Key(mailbox(box), f"pairing;{_safe(pairing_id)}")


def pairings_of(box: Mailbox, *, after: str = "") -> Rows:
    """Return where the rows of *box*'s pairings are, by id."""
    return Rows(mailbox(box), f"pairing;{_safe(after)}", f"pairing;{_END}")


def session(box: Mailbox, session_id: SessionId) -> Key:
    """Return the key of a session, or of the pointer to it."""
    return Key(mailbox(box), f"session;{_safe(session_id)}")


def series(box: Mailbox, series_id: SeriesId) -> Key:
    """Return the key of a recurring booking."""
    return Key(mailbox(box), f"series;{_safe(series_id)}")


def event(box: Mailbox, event_id: EventId) -> Key:
    """Return the key of the row that says which session, or which series, an event is.

    Hashed: event ids are long, case-sensitive and hold characters that keys forbid.
    """
    digest = urlsafe_b64encode(hashlib.sha256(event_id.encode()).digest()).decode().rstrip("=")
    return Key(mailbox(box), f"event;{digest}")


def day(box: Mailbox, on: date) -> Key:
    """Return the key of the row that says which sessions hold time on a UTC day."""
    return Key(mailbox(box), f"day;{on.isoformat()}")


def days(box: Mailbox, first: date, last: date) -> Rows:
    """Return where the days from *first* to *last* are, both included."""
    before = first - timedelta(days=1)
    return Rows(mailbox(box), f"day;{before.isoformat()}", f"day;{last.isoformat()};")


def time_index_key(box: Mailbox, start: datetime, session_id: SessionId) -> Key:
    """Return the key of the row that finds a session by its start."""
    return Key(mailbox(box), f"at;{instant(start)};{_safe(session_id)}")


def time_index_range(
    box: Mailbox, since: datetime | None, until: datetime | None, *, after: str | None = None
) -> Rows:
    """Return where the sessions that start in [since, until) are found.

    *after*: the row key of the last one of the page before.
    """
    # Exclusive bounds: a start's row key is longer than, and so after, the bare instant.
    first = f"at;{instant(since)}" if since else "at;"
    return Rows(
        mailbox(box), max(first, after or ""), f"at;{instant(until)}" if until else f"at;{_END}"
    )


def kind(key: Key) -> str:
    """Return what kind of row of a mailbox it is: ``session``, ``day`` and so on."""
    return key.row.partition(";")[0]


def day_of(key: Key) -> date:
    """Return the day that `day` made *key* of."""
    return date.fromisoformat(key.row.removeprefix("day;"))


def start_of(key: Key) -> datetime:
    """Return the start that `starts_at` made *key* of."""
    return datetime.fromisoformat(key.row.split(";")[1])


def subscription(box: Mailbox) -> Key:
    """Return the key of the subscription of a mailbox."""
    return Key(mailbox(box), "subscription")


def due(item: DueItem) -> Key:
    """Return the key of something that comes due: equal items have the same."""
    row = ";".join(
        (
            instant(item.due_at),
            _safe(item.mailbox.tenant_id),
            _safe(item.mailbox.object_id),
            _safe(item.key),
        )
    )
    return Key(due_bucket(item.kind, item.due_at), row)


class DueUntil(NamedTuple):
    """What is due: the buckets between *first* and *bucket*; of *bucket*, what is before *before*.

    All bounds are exclusive.
    """

    first: str
    bucket: str
    before: str


class Buckets(NamedTuple):
    """The partitions between *first* and *last*, both exclusive."""

    first: str
    last: str


def due_bucket(kind: DueKind, at: datetime) -> str:
    """Return the partition of what comes due in the hour of *at*."""
    return f"{kind};{at.astimezone(UTC):%Y-%m-%dT%H}"


def due_until(kind: DueKind, now: datetime) -> DueUntil:
    """Return where what is due at *now* lies."""
    return DueUntil(f"{kind};", due_bucket(kind, now), f"{instant(now)};{_END}")


def due_kind(kind: DueKind) -> Buckets:
    """Return where everything of *kind* lies."""
    return Buckets(f"{kind};", f"{kind};{_END}")


def changes_after(organization_id: OrganizationId, number: int) -> Rows:
    """Return where the changes after *number* are, in order."""
    after = change(organization_id, number)
    return Rows(after.partition, after.row, f"change;{_END}")


def change(organization_id: OrganizationId, number: int) -> Key:
    """Return the key of one change; they sort by *number*."""
    return Key(_safe(organization_id), f"change;{number:0{NUMBER_DIGITS}d}")


def change_number(key: Key) -> int:
    """Return the number in the key of a change."""
    return int(key.row.rpartition(";")[2])


def change_counter(organization_id: OrganizationId) -> Key:
    """Return the key of the row that knows the last number of a feed."""
    return Key(_safe(organization_id), "counter")


def delivery(organization_id: OrganizationId) -> Key:
    """Return the key of the row that knows how far a feed was told to the platform."""
    return Key(_safe(organization_id), "delivery")


def instant(at: datetime) -> str:
    """Return *at* as text of fixed width that sorts by time."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


_END: Final = "~"
"""Sorts after everything that `_safe` returns."""


def _safe(text: str) -> str:
    # quote() keeps letters, digits and _.-~ as they are; ~ is the end of every range.
    return quote(text, safe="").replace("~", "=7E").replace("%", "=")
