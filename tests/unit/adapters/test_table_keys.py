"""The keys of rows."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.tables import keys
from shared.adapters.tables.keys import Key, Rows
from shared.ids import EventId, Mailbox, ObjectId, OrganizationId, PairingId, SessionId, TenantId
from shared.jobs import DueKind
from tests.builders import NOW, a_due_item, a_mailbox

FORBIDDEN = set("/\\#?%") | {chr(n) for n in (*range(0x20), *range(0x7F, 0xA0))}
instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds the zone


def is_within(key: Key, rows: Rows) -> bool:
    """Return whether the query of `Tables.between` selects the key."""
    return key.partition == rows.partition and rows.after < key.row < rows.before


def every_key(text: str) -> list[Key]:
    box = Mailbox(TenantId(text), ObjectId(text))
    return [
        keys.organization(OrganizationId(text)),
        keys.tenant_claim(TenantId(text)),
        keys.pairing(OrganizationId(text), PairingId(text)),
        keys.pairing_of(box, PairingId(text)),
        keys.session(box, SessionId(text)),
        keys.event(box, EventId(text)),
        keys.time_index_key(box, NOW, SessionId(text)),
        keys.due(a_due_item(mailbox=box, key=text)),
        keys.change(OrganizationId(text), 7),
        keys.change_counter(OrganizationId(text)),
    ]


@given(st.text(max_size=60))
def test_any_outside_text_makes_a_valid_key(text: str) -> None:
    for key in every_key(text):
        assert not FORBIDDEN & set(key.partition + key.row)


@given(st.text("abcXYZ019_.-", min_size=64, max_size=64))
def test_the_longest_ids_that_are_let_in_make_keys_that_are_not_too_long(text: str) -> None:
    # 64 ASCII characters is the limit in functions/_http.py. A key has at most 1 KiB.
    assert all(len(key.row.encode("utf-16-le")) <= 1024 for key in every_key(text))
    assert all(len(key.partition.encode("utf-16-le")) <= 1024 for key in every_key(text))


@given(st.text(max_size=20), st.text(max_size=20))
def test_different_names_make_different_keys(one: str, other: str) -> None:
    boxes = (
        Mailbox(TenantId(one), ObjectId(other)),
        Mailbox(TenantId(other), ObjectId(one)),
    )
    assert (keys.mailbox(boxes[0]) == keys.mailbox(boxes[1])) is (one == other)
    pairings = [keys.pairing(OrganizationId("o"), PairingId(text)) for text in (one, other)]
    assert (pairings[0] == pairings[1]) is (one == other)


@given(instants, instants, instants)
def test_the_time_index_is_cut_half_open(start: datetime, since: datetime, until: datetime) -> None:
    box = a_mailbox()
    found = is_within(
        keys.time_index_key(box, start, SessionId("s")), keys.time_index_range(box, since, until)
    )
    assert found is (since <= start < until)


@given(instants, instants)
def test_the_time_index_sorts_by_start(one: datetime, other: datetime) -> None:
    box = a_mailbox()
    rows = [keys.time_index_key(box, start, SessionId("s")).row for start in (one, other)]
    assert (rows[0] < rows[1]) is (one < other)


def test_the_time_index_without_bounds_finds_all_of_it_and_nothing_else() -> None:
    box = a_mailbox()
    rows = keys.time_index_range(box, None, None)
    assert is_within(keys.time_index_key(box, NOW, SessionId("s")), rows)
    for other in (
        keys.day(box, NOW.date()),
        keys.session(box, SessionId("s")),
        keys.event(box, EventId("e")),
        keys.subscription(box),
        keys.pairing_of(box, PairingId("p")),
        keys.time_index_key(a_mailbox(), NOW, SessionId("s")),
    ):
        assert not is_within(other, rows)


def test_a_page_goes_on_after_the_last_row_but_never_before_the_window() -> None:
    box = a_mailbox()
    first = keys.time_index_key(box, NOW, SessionId("a"))
    second = keys.time_index_key(box, NOW, SessionId("b"))
    rows = keys.time_index_range(box, None, None, after=first.row)
    assert not is_within(first, rows)
    assert is_within(second, rows)
    forged = keys.time_index_range(box, NOW + timedelta(days=1), None, after="a")
    assert not is_within(second, forged)


@given(instants, st.integers(-3, 3))
def test_days_are_found_with_both_ends(at: datetime, offset: int) -> None:
    box = a_mailbox()
    day = at.date() + timedelta(days=offset)
    rows = keys.days(box, at.date() - timedelta(days=1), at.date() + timedelta(days=1))
    assert is_within(keys.day(box, day), rows) is (abs(offset) <= 1)


@given(instants, instants)
def test_due_range_is_exact(due_at: datetime, now: datetime) -> None:
    key = keys.due(a_due_item(due_at))
    bounds = keys.due_until(DueKind.RENEWAL, now)
    found = bounds.first < key.partition < bounds.bucket or (
        key.partition == bounds.bucket and key.row < bounds.before
    )
    assert found is (due_at <= now)
    kind = keys.due_kind(DueKind.RENEWAL)
    assert kind.first < key.partition < kind.last
    other = keys.due_kind(DueKind.RECONCILIATION)
    assert not other.first < key.partition < other.last


def test_an_instant_is_the_same_in_every_zone() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert keys.instant(elsewhere) == keys.instant(NOW) == "2026-03-02T08:00:00.000000Z"


def test_event_ids_differ_by_case() -> None:
    box = a_mailbox()
    assert keys.event(box, EventId("AAMkA")) != keys.event(box, EventId("AAMka"))


def test_changes_sort_by_number() -> None:
    rows = [keys.change(OrganizationId("o"), number).row for number in (1, 9, 10, 10**17)]
    assert rows == sorted(rows)
    assert keys.change_number(keys.change(OrganizationId("o"), 42)) == 42
