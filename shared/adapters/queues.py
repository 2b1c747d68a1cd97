"""The two queues: what Graph said, and work for later.

On the webhook's path, so importing this imports no SDK; the first message does. A message is JSON
inside base64, the host's default. Its payload lies one level down: a top-level ``id`` or
``dequeueCount`` would replace the host's own metadata (Azure/azure-webjobs-sdk-extensions#882).
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from shared.errors import Invalid, StoreUnavailable
from shared.ids import (
    EventId,
    Mailbox,
    ObjectId,
    OrganizationId,
    SessionId,
    SubscriptionId,
    TenantId,
)
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.sessions.ports import Job, JobKind

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AsyncHttpTransport
    from azure.storage.queue.aio import QueueServiceClient

NOTIFICATIONS: Final = "notifications"
JOBS: Final = "jobs"
QUEUES: Final[tuple[str, ...]] = (NOTIFICATIONS, JOBS)

MESSAGE_BYTES: Final = 48 * 1024
"""A message holds 64 KiB, of which base64 leaves three quarters."""
_VERSION: Final = 1
_CALL_SECONDS: Final = 6.0
"""Longest wait for a queue, a retry included: Graph wants its answer within ten seconds."""
_MAX_DELAY: Final = timedelta(days=6)
"""A message lives seven days and must be seen before it dies."""

QueueServices = Callable[[], "QueueServiceClient"]
"""Returns the client of the process, which it makes the first time."""


def queue_service(
    url: str,
    credential: "AsyncTokenCredential | AzureNamedKeyCredential",
    transport: "AsyncHttpTransport[Any, Any] | None" = None,
) -> "QueueServiceClient":
    """Return the client of one process and loop; whoever asked closes it.

    *transport* lends it the connections of the process; without, it makes its own. Loads the SDK.
    """
    from azure.storage.queue.aio import QueueServiceClient

    options: dict[str, Any] = {"transport": transport} if transport else {}
    return QueueServiceClient(
        url,
        credential=credential,
        # One more try, up to two seconds later.
        retry_total=1,
        initial_backoff=0,
        increment_base=1,
        random_jitter_range=1,
        **options,
    )


class StorageOutbox:
    """Implements `Outbox` on Queue Storage."""

    def __init__(self, services: QueueServices) -> None:
        self._queue = _Queue(NOTIFICATIONS, services)

    async def put(self, changes: Sequence[MailboxChanges], received_at: str) -> int:
        """Queue *changes* as few messages within the size limit; return how many messages."""
        messages = notification_messages(changes, received_at)
        for message in messages:
            await self._queue.send(message)
        return len(messages)


class StorageJobs:
    """Implements `Jobs` on Queue Storage."""

    def __init__(self, services: QueueServices) -> None:
        self._queue = _Queue(JOBS, services)

    async def put(self, job: Job, *, delay: timedelta = timedelta()) -> None:
        """Queue *job*, to be seen after *delay*: at most six days."""
        await self._queue.send(job_message(job), min(delay, _MAX_DELAY))


def notification_messages(changes: Iterable[MailboxChanges], received_at: str) -> list[bytes]:
    """Return *changes* as messages: as few as hold them in their order, none over the limit."""
    messages: list[bytes] = []
    frame = len(_envelope(received_at, []))
    parts: list[bytes] = []
    size = frame
    for part in _parts(changes, MESSAGE_BYTES - frame):
        if parts and size + 1 + len(part) > MESSAGE_BYTES:
            messages.append(_envelope(received_at, parts))
            parts, size = [], frame
        size += len(part) + bool(parts)
        parts.append(part)
    if parts:
        messages.append(_envelope(received_at, parts))
    return messages


def parse_notifications(message: bytes) -> tuple[list[MailboxChanges], str]:
    """Return what `notification_messages` wrote, and when it was received.

    Raises Invalid if the message is not one of ours.
    """
    body = _body(message)
    try:
        return [_changes(entry) for entry in body["n"]], _text(body["at"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_ours() from error


def job_message(job: Job) -> bytes:
    """Return *job* as a message."""
    return _compact(
        {
            "v": _VERSION,
            "job": {
                "kind": job.kind.value,
                "organization": job.organization_id,
                "mailboxes": [[box.tenant_id, box.object_id] for box in job.mailboxes],
                "sessions": job.session_ids,
                "due": [at.isoformat() for at in job.due_ats],
                "attempt": job.attempt,
            },
        }
    )


def parse_job(message: bytes) -> Job:
    """Return the job that `job_message` wrote. Raises Invalid if the message is not one of ours."""
    body = _body(message)
    try:
        job = body["job"]
        return Job(
            kind=JobKind(job["kind"]),
            organization_id=OrganizationId(_text(job["organization"])),
            mailboxes=tuple(_mailbox(*pair) for pair in job["mailboxes"]),
            session_ids=tuple(SessionId(_text(one)) for one in job["sessions"]),
            due_ats=tuple(datetime.fromisoformat(at) for at in job["due"]),
            attempt=int(job["attempt"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_ours() from error


class _Queue:
    """Sends messages to one queue, which is made the first time it is missed."""

    def __init__(self, name: str, services: QueueServices) -> None:
        self._name = name
        self._services = services

    async def send(self, message: bytes, delay: timedelta = timedelta()) -> None:
        """Send *message*. Raises StoreUnavailable."""
        from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
        from azure.storage.queue import TextBase64EncodePolicy

        queue = self._services().get_queue_client(
            self._name, message_encode_policy=TextBase64EncodePolicy()
        )
        options: dict[str, Any] = {
            "visibility_timeout": max(0, round(delay.total_seconds())),
            "connection_timeout": 2,
            "read_timeout": 3,
        }
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                try:
                    await queue.send_message(message.decode(), **options)
                except ResourceNotFoundError:
                    with suppress(ResourceExistsError):  # somebody else missed it too
                        await queue.create_queue()
                    await queue.send_message(message.decode(), **options)
        except (AzureError, TimeoutError) as error:
            raise StoreUnavailable(
                f"The queue {self._name} did not take a message ({type(error).__name__})."
            ) from error


def _parts(changes: Iterable[MailboxChanges], limit: int) -> Iterator[bytes]:
    """Yield *changes* as JSON texts of at most *limit* bytes: one a mailbox where it fits."""
    for change in changes:
        events = [_event_values(event) for event in change.events]
        part = _part(change, events, change.lifecycle)
        if len(part) <= limit:
            yield part
            continue
        if change.lifecycle:
            yield _part(change, [], change.lifecycle)
        yield from _cut(change, events, limit)


def _cut(change: MailboxChanges, events: list[list[Any]], limit: int) -> Iterator[bytes]:
    part = _part(change, events, ())
    if len(part) <= limit or len(events) == 1:
        yield part
        return
    half = len(events) // 2
    yield from _cut(change, events[:half], limit)
    yield from _cut(change, events[half:], limit)


def _part(change: MailboxChanges, events: list[list[Any]], lifecycle: Sequence[str]) -> bytes:
    box = change.mailbox
    return _compact([box.tenant_id, box.object_id, change.subscription_id, events, lifecycle])


def _event_values(event: ChangedEvent) -> list[Any]:
    return [event.event_id, event.etag, event.deleted]


def _envelope(received_at: str, parts: Sequence[bytes]) -> bytes:
    start = b'{"v":%d,"at":%s,"n":[' % (_VERSION, _compact(received_at))
    return start + b",".join(parts) + b"]}"


def _changes(entry: Sequence[Any]) -> MailboxChanges:
    tenant_id, object_id, subscription_id, events, lifecycle = entry
    return MailboxChanges(
        mailbox=_mailbox(tenant_id, object_id),
        subscription_id=SubscriptionId(_text(subscription_id)),
        events=tuple(_event(*event) for event in events),
        lifecycle=tuple(map(_text, lifecycle)),
    )


def _event(event_id: object, etag: object, deleted: object) -> ChangedEvent:
    return ChangedEvent(
        EventId(_text(event_id)), None if etag is None else _text(etag), deleted=deleted is True
    )


def _mailbox(tenant_id: object, object_id: object) -> Mailbox:
    return Mailbox(TenantId(_text(tenant_id)), ObjectId(_text(object_id)))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _body(message: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise _not_ours() from error
    if not isinstance(body, dict) or body.get("v") != _VERSION:
        raise _not_ours()
    return body


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _not_ours() -> Invalid:
    return Invalid("message", "This queue message was not written by this service.")
