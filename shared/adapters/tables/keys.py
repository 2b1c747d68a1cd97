r"""Builds the keys of all rows. No other module does, so this one shows what each table has.

Keys must not contain ``/ \ # ?`` or control characters, and some clients decode ``%`` twice, so
external text is escaped with ``=``. Instants have a fixed width, so that keys sort by time.

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
ORGANIZATION: Final = "organization"
"""The row key of each organization, beside the claims of tenants."""
SUBSCRIPTION: Final = "subscription"
"""The row key of each mailbox's subscription."""
CHANGE_COUNTER: Final = "counter"
"""The row key of each feed's counter."""
NUMBER_DIGITS: Final = 18
"""Digits of a change's number in its key."""
TABLES: Final[tuple[str, ...]] = (ORGANIZATIONS, PAIRINGS, MAILBOXES, DUE, CHANGES)


class Key(NamedTuple):
    """The PartitionKey and RowKey of a row."""

    partition: str
    row: str


class Rows(NamedTuple):
    """The range of rows of one partition between *after* and *before*, both exclusive."""

    partition: str
    after: str
    before: str


def organization(organization_id: OrganizationId) -> Key:
    """Return the key of an organization."""
    return Key(_safe(organization_id), ORGANIZATION)


def tenant_claim(tenant_id: TenantId) -> Key:
    """Return the key of the claim that binds a tenant to an organization."""
    return Key("tenant", _safe(tenant_id))


def pairing(organization_id: OrganizationId, pairing_id: PairingId) -> Key:
    """Return the key of a pairing."""
    return Key(_safe(organization_id), _safe(pairing_id))


def pairings(organization_id: OrganizationId, *, after: str = "") -> Rows:
    """Return the range of an organization's pairings, by id."""
    return Rows(_safe(organization_id), _safe(after), _END)


def mailbox(box: Mailbox) -> str:
    """Return the PartitionKey of all rows of one mailbox."""
    return f"{_safe(box.tenant_id)};{_safe(box.object_id)}"


def mailboxes(tenant_id: TenantId) -> "Buckets":
    """Return the range of partitions of all mailboxes of a tenant."""
    return Buckets(f"{_safe(tenant_id)};", f"{_safe(tenant_id)};{_END}")


def parse_mailbox(key: Key) -> Mailbox:
    """Return the mailbox of a row of `MAILBOXES`. Its ids are GUIDs, so nothing is escaped."""
    tenant_id, _, object_id = key.partition.partition(";")
    return Mailbox(TenantId(tenant_id), ObjectId(object_id))


def pairing_of(box: Mailbox, pairing_id: PairingId) -> Key:
    """Return the key of the index row of *box* for a pairing."""
    return Key(mailbox(box), f"pairing;{_safe(pairing_id)}")


def pairings_of(box: Mailbox, *, after: str = "") -> Rows:
    """Return the range of the index rows of *box*'s pairings, by id."""
    return Rows(mailbox(box), f"pairing;{_safe(after)}", f"pairing;{_END}")


def session(box: Mailbox, session_id: SessionId) -> Key:
    """Return the key of a session, or of the pointer to it."""
    return Key(mailbox(box), f"session;{_safe(session_id)}")


def series(box: Mailbox, series_id: SeriesId) -> Key:
    """Return the key of a series."""
    return Key(mailbox(box), f"series;{_safe(series_id)}")


def event(box: Mailbox, event_id: EventId) -> Key:
    """Return the key of the event index's row, which has the session or series of an event.

    The event id is hashed, because it is long, case-sensitive and has characters that keys forbid.
    """
    digest = urlsafe_b64encode(hashlib.sha256(event_id.encode()).digest()).decode().rstrip("=")
    return Key(mailbox(box), f"event;{digest}")


def day(box: Mailbox, on: date) -> Key:
    """Return the key of the row with the holds of a UTC day."""
    return Key(mailbox(box), f"day;{on.isoformat()}")


def days(box: Mailbox, first: date, last: date) -> Rows:
    """Return the range of the days from *first* to *last*, both inclusive."""
    before = first - timedelta(days=1)
    return Rows(mailbox(box), f"day;{before.isoformat()}", f"day;{last.isoformat()};")


def time_index_key(box: Mailbox, start: datetime, session_id: SessionId) -> Key:
    """Return the key of the time index's row, by which a session is found by its start."""
    return Key(mailbox(box), f"at;{instant(start)};{_safe(session_id)}")


def time_index_range(
    box: Mailbox, since: datetime | None, until: datetime | None, *, after: str | None = None
) -> Rows:
    """Return the range of the time index for sessions that start in [since, until).

    *after*: the RowKey of the last row of the previous page.
    """
    # The bounds are exclusive, and a RowKey is longer than the bare instant, so it sorts after it.
    first = f"at;{instant(since)}" if since else "at;"
    return Rows(
        mailbox(box), max(first, after or ""), f"at;{instant(until)}" if until else f"at;{_END}"
    )


def kind(key: Key) -> str:
    """Return the kind of a mailbox's row: ``session``, ``day`` and so on."""
    return key.row.partition(";")[0]


def day_of(key: Key) -> date:
    """Return the day of a key that `day` built."""
    return date.fromisoformat(key.row.removeprefix("day;"))


def start_of(key: Key) -> datetime:
    """Return the start of a key that `time_index_key` built."""
    return datetime.fromisoformat(key.row.split(";")[1])


def subscription(box: Mailbox) -> Key:
    """Return the key of a mailbox's subscription."""
    return Key(mailbox(box), SUBSCRIPTION)


def lost_mailbox(box: Mailbox) -> Key:
    """Return the key of the row that exists while the app cannot read a mailbox."""
    return Key(mailbox(box), "lost")


def usage(box: Mailbox, spending: str) -> Key:
    """Return the key of the row with what the owner of *box* has spent of one kind."""
    return Key(mailbox(box), f"usage;{_safe(spending)}")


def usage_of_organization(organization_id: OrganizationId, spending: str) -> Key:
    """Return the key of the row with what a whole organization has spent of one kind."""
    return Key(_safe(organization_id), f"usage;{_safe(spending)}")


def due(item: DueItem) -> Key:
    """Return the key of a due item; equal items have the same key."""
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
    """The ranges of due items, with exclusive bounds.

    They are the partitions between *first* and *bucket*, and the rows of *bucket* below *before*.
    """

    first: str
    bucket: str
    before: str


class Buckets(NamedTuple):
    """The range of partitions between *first* and *last*, both exclusive."""

    first: str
    last: str


def due_bucket(kind: DueKind, at: datetime) -> str:
    """Return the PartitionKey of the items of *kind* that come due in the hour of *at*."""
    return f"{kind};{at.astimezone(UTC):%Y-%m-%dT%H}"


def kind_of_due(key: Key) -> DueKind:
    """Return the kind of the due item with *key*."""
    return DueKind(key.partition.partition(";")[0])


def due_until(kind: DueKind, now: datetime) -> DueUntil:
    """Return the ranges of the items of *kind* that are due at *now*."""
    return DueUntil(f"{kind};", due_bucket(kind, now), f"{instant(now)};{_END}")


def due_kind(kind: DueKind) -> Buckets:
    """Return the range of partitions of all items of *kind*."""
    return Buckets(f"{kind};", f"{kind};{_END}")


def changes_after(organization_id: OrganizationId, number: int) -> Rows:
    """Return the range of the changes after *number*, in order."""
    after = change(organization_id, number)
    return Rows(after.partition, after.row, f"change;{_END}")


def change(organization_id: OrganizationId, number: int) -> Key:
    """Return the key of a change; keys sort by *number*."""
    return Key(_safe(organization_id), f"change;{number:0{NUMBER_DIGITS}d}")


def change_number(key: Key) -> int:
    """Return the number of a change's key."""
    return int(key.row.rpartition(";")[2])


def change_id(organization_id: OrganizationId, id_: str) -> Key:
    """Return the key of the row that exists if the feed has a change of this id."""
    return Key(_safe(organization_id), f"id;{_safe(id_)}")


def change_counter(organization_id: OrganizationId) -> Key:
    """Return the key of the counter row, which has the last number of a feed."""
    return Key(_safe(organization_id), CHANGE_COUNTER)


def delivery(organization_id: OrganizationId) -> Key:
    """Return the key of the row with a feed's delivery state."""
    return Key(_safe(organization_id), "delivery")


def instant(at: datetime) -> str:
    """Return *at* as text of fixed width that sorts by time."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


_END: Final = "~"
"""Sorts after everything that `_safe` returns."""


def _safe(text: str) -> str:
    # quote() keeps letters, digits and _.-~ as they are; ~ is the end of every range.
    return quote(text, safe="").replace("~", "=7E").replace("%", "=")
