"""The serialization and parsing of queue messages."""

import json
import subprocess
import sys
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.queues import (
    MESSAGE_BYTES,
    job_message,
    notification_messages,
    parse_job,
    parse_notifications,
    trace_of,
)
from shared.errors import Invalid
from shared.ids import EventId, Mailbox, ObjectId, OrganizationId, SubscriptionId, TenantId
from shared.jobs import Job, JobKind
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.tracing import traced, traceparent
from tests.builders import NOW, a_mailbox, a_session_id

AT = "2026-03-02T08:00:00Z"

texts = st.text(min_size=1, max_size=600)
events = st.builds(ChangedEvent, texts.map(EventId), st.none() | texts, deleted=st.booleans())
changes = st.builds(
    MailboxChanges,
    st.builds(Mailbox, texts.map(TenantId), texts.map(ObjectId)),
    texts.map(SubscriptionId),
    st.lists(events, max_size=30).map(tuple),
    st.lists(st.sampled_from(["missed", "subscriptionRemoved"]), max_size=2).map(tuple),
)


@given(st.lists(changes, max_size=8), st.text(max_size=40))
def test_queue_messages_round_trip(written: list[MailboxChanges], received_at: str) -> None:
    messages = notification_messages(written, received_at)
    assert all(len(message) <= MESSAGE_BYTES for message in messages)
    read = [change for message in messages for change in parse_notifications(message)[0]]
    assert {parse_notifications(message)[1] for message in messages} <= {received_at}
    assert flat(read) == flat(written)


def flat(changes: list[MailboxChanges]) -> list[object]:
    """Return each event and lifecycle event with its mailbox, in order of mailboxes."""
    return [
        (change.mailbox, change.subscription_id, said)
        for change in changes
        for said in (*change.lifecycle, *change.events)
    ]


def test_a_hundred_notifications_are_one_message() -> None:
    """One delivery of Graph has up to this many notifications."""
    delivery = [
        MailboxChanges(
            a_mailbox(),
            SubscriptionId("7f105c7d-2dc5-4530-97cd-4e7ae6534c07"),
            (ChangedEvent(EventId("A" * 152), 'W/"DwAAABYAAACVlMwVKJJ0QKHmJJHHeb9EAAAAABNe"'),),
        )
        for _ in range(100)
    ]
    assert len(notification_messages(delivery, AT)) == 1


def test_a_mailbox_too_large_for_a_message_is_spread() -> None:
    change = MailboxChanges(
        a_mailbox(),
        SubscriptionId("s"),
        tuple(ChangedEvent(EventId(f"{n}{'A' * 150}"), None) for n in range(1000)),
        ("missed",),
    )
    messages = notification_messages([change], AT)
    assert len(messages) > 3
    read = [change for message in messages for change in parse_notifications(message)[0]]
    assert tuple(event for part in read for event in part.events) == change.events
    assert [word for part in read for word in part.lifecycle] == ["missed"]


def test_no_name_at_the_top_hides_the_hosts_own() -> None:
    """Input: a top-level `id` or `dequeueCount` would replace the message's metadata."""
    job = Job(JobKind.VERIFY, OrganizationId("o"), (a_mailbox(),))
    [notification] = notification_messages(
        [MailboxChanges(a_mailbox(), SubscriptionId("s"), lifecycle=("missed",))], AT
    )
    assert set(json.loads(job_message(job))) == {"v", "trace", "job"}
    assert set(json.loads(notification)) == {"v", "trace", "at", "n"}


def test_a_message_carries_the_trace_it_was_sent_in() -> None:
    job = Job(JobKind.VERIFY, OrganizationId("o"), (a_mailbox(),))
    change = MailboxChanges(a_mailbox(), SubscriptionId("s"), lifecycle=("missed",))
    with traced("it"):
        here = traceparent()
        messages = [job_message(job), *notification_messages([change], AT)]
    assert [trace_of(message) for message in messages] == [here, here]
    assert [trace_of(each) for each in (job_message(job), b"{", b'{"v":1,"trace":7}')] == [None] * 3


@pytest.mark.parametrize("kind", list(JobKind))
def test_a_job_is_read_as_it_was_written(kind: JobKind) -> None:
    job = Job(
        kind,
        OrganizationId("o"),
        (a_mailbox(), a_mailbox()),
        (a_session_id(), a_session_id()),
        due_ats=(NOW, NOW + timedelta(microseconds=1)),
        attempt=3,
    )
    assert parse_job(job_message(job)) == job


GARBAGE = (
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"v":2,"n":[],"at":""}',
    b'{"v":1}',
    b'{"v":1,"n":7,"at":""}',
    b'{"v":1,"n":[],"at":7}',
    b'{"v":1,"n":[[]],"at":""}',
    b'{"v":1,"n":[["t","o","s",[["e"]],[]]],"at":""}',
    b'{"v":1,"n":[["t","o","s",[[1,null,false]],[]]],"at":""}',
    b'{"v":1,"n":[["t",null,"s",[],[]]],"at":""}',
    b'{"v":1,"job":null}',
    b'{"v":1,"job":{"kind":"dance"}}',
    job_message(Job(JobKind.VERIFY, OrganizationId("o"), ())).replace(b"[]", b'[["t"]]', 1),
    job_message(Job(JobKind.VERIFY, OrganizationId("o"), ())).replace(b"[]", b'["soon"]'),
    b"[" * 100_000,
)


@pytest.mark.parametrize("message", GARBAGE, ids=range(len(GARBAGE)))
def test_foreign_message_is_invalid(message: bytes) -> None:
    for parse in (parse_notifications, parse_job):
        with pytest.raises(Invalid) as caught:
            parse(message)
        assert message.decode(errors="replace")[:20] not in str(caught.value) or not message


def test_importing_the_queues_loads_no_sdk() -> None:
    """The webhook imports the queues on every cold start."""
    script = (
        "import sys, shared.adapters.queues\n"
        "print([m for m in sys.modules if m.split('.')[0] in {'azure', 'aiohttp', 'msgraph'}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
