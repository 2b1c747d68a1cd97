"""The two queues: Graph's notifications, and jobs.

The webhook imports this module, so the SDK is imported by the first message. A message is JSON in
base64, the host's default. Its payload is one level down, because a top-level ``id`` or
``dequeueCount`` would replace the host's own metadata (Azure/azure-webjobs-sdk-extensions#882).
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cached_property
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
from shared.jobs import Job, JobKind
from shared.notifications.model import ChangedEvent, MailboxChanges
from shared.tracing import traceparent

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.pipeline.transport import AsyncHttpTransport
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

NOTIFICATIONS: Final = "notifications"
JOBS: Final = "jobs"
QUEUES: Final[tuple[str, ...]] = (NOTIFICATIONS, JOBS)

MESSAGE_BYTES: Final = 48 * 1024
"""Limit of a message before base64: Azure's limit is 64 KiB, of which base64 leaves 3/4.

Source: https://learn.microsoft.com/rest/api/storageservices/put-message
"""
_VERSION: Final = 1
_CALL_SECONDS: Final = 6.0
"""Timeout of a call, a retry included: Graph expects the webhook's answer within ten seconds."""
_WAIT: Final[dict[str, Any]] = {"connection_timeout": 2, "read_timeout": 3}
"""Timeouts of one attempt, in seconds. Every call has them: a shared transport has its own."""
_MAX_DELAY: Final = timedelta(days=6)
"""Longest delay of a message: it expires after seven days and has to become visible before."""


class Queues:
    """The queues of one storage account. Belongs to the event loop of its first use.

    *credential* and *transport* are called by the first message. The transport shares the
    connections of the process; without it the client opens its own.
    """

    def __init__(
        self,
        url: str,
        credential: "Callable[[], AsyncTokenCredential | AzureNamedKeyCredential]",
        *,
        transport: "Callable[[], AsyncHttpTransport[Any, Any]] | None" = None,
    ) -> None:
        self._url = url
        self._credential = credential
        self._transport = transport
        self._clients: dict[str, QueueClient] = {}

    async def send(self, queue: str, message: bytes, delay: timedelta = timedelta()) -> None:
        """Send *message* to *queue*; a missing queue is created.

        Raises:
            StoreUnavailable: the queue did not answer.
        """
        from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

        client = self._client(queue)
        seconds = max(0, round(delay.total_seconds()))

        async def send() -> None:
            await client.send_message(message.decode(), visibility_timeout=seconds, **_WAIT)

        with _answering(queue):
            async with asyncio.timeout(_CALL_SECONDS):
                try:
                    await send()
                except ResourceNotFoundError:
                    with suppress(ResourceExistsError):  # a concurrent call created it
                        await client.create_queue(**_WAIT)
                    await send()

    async def ping(self) -> None:
        """Return if the job queue answers, else raise StoreUnavailable."""
        from azure.core.exceptions import ResourceNotFoundError

        with _answering(JOBS), suppress(ResourceNotFoundError):
            async with asyncio.timeout(_CALL_SECONDS):
                await self._service.get_queue_client(JOBS).get_queue_properties(**_WAIT)

    async def poisoned(self) -> dict[str, int]:
        """Return the approximate length of each queue's poison queue. Raises StoreUnavailable."""
        return {queue: await self._length(f"{queue}-poison") for queue in QUEUES}

    async def _length(self, queue: str) -> int:
        from azure.core.exceptions import ResourceNotFoundError

        with _answering(queue):
            async with asyncio.timeout(_CALL_SECONDS):
                try:
                    client = self._service.get_queue_client(queue)
                    found = await client.get_queue_properties(**_WAIT)
                except ResourceNotFoundError:
                    return 0  # the host creates a poison queue with its first message
        return found.approximate_message_count or 0

    async def aclose(self) -> None:
        """Close the client, if one was made."""
        if "_service" in self.__dict__:
            await self._service.close()

    def _client(self, queue: str) -> "QueueClient":
        """Return the cached client of *queue*; creating one costs a third of a message."""
        from azure.storage.queue import TextBase64EncodePolicy

        if queue not in self._clients:
            self._clients[queue] = self._service.get_queue_client(
                queue, message_encode_policy=TextBase64EncodePolicy()
            )
        return self._clients[queue]

    @cached_property
    def _service(self) -> "QueueServiceClient":
        from azure.storage.queue.aio import QueueServiceClient

        options: dict[str, Any] = {"transport": self._transport()} if self._transport else {}
        return QueueServiceClient(
            self._url,
            credential=self._credential(),
            # One retry, up to two seconds later.
            retry_total=1,
            initial_backoff=0,
            increment_base=1,
            random_jitter_range=1,
            **options,
        )


class StorageNotificationQueue:
    """Implements `NotificationQueue` on Queue Storage."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    async def put(
        self,
        changes: Sequence[MailboxChanges],
        received_at: str,
        *,
        delay: timedelta = timedelta(),
    ) -> int:
        """Enqueue *changes* in as few messages as the size limit allows; return their number."""
        messages = notification_messages(changes, received_at)
        for message in messages:
            await self._queues.send(NOTIFICATIONS, message, min(delay, _MAX_DELAY))
        return len(messages)


class StorageJobQueue:
    """Implements `JobQueue` on Queue Storage."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    async def put(self, job: Job, *, delay: timedelta = timedelta()) -> None:
        """Enqueue *job*, visible after *delay*, which is cut to six days."""
        await self._queues.send(JOBS, job_message(job), min(delay, _MAX_DELAY))


def notification_messages(changes: Iterable[MailboxChanges], received_at: str) -> list[bytes]:
    """Serialize *changes*, in their order, into as few messages as the size limit allows."""
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
    """Parse a message of `notification_messages`; return its changes and their time of receipt.

    Raises:
        Invalid: the message is not one of ours.
    """
    body = _body(message)
    try:
        return [_changes(entry) for entry in body["n"]], _text(body["at"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_ours() from error


def trace_of(message: bytes) -> str | None:
    """Return the traceparent of *message*, or None."""
    try:
        trace = _body(message).get("trace")
    except Invalid:
        return None
    return trace if isinstance(trace, str) else None


def job_message(job: Job) -> bytes:
    """Serialize *job* into a message, with the current traceparent."""
    return _compact(
        {
            "v": _VERSION,
            "trace": traceparent(),
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
    """Parse a message of `job_message`. Raises Invalid if the message is not one of ours."""
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


@contextmanager
def _answering(queue: str) -> Iterator[None]:
    """Translate the SDK's errors and timeouts to StoreUnavailable."""
    from azure.core.exceptions import AzureError

    try:
        yield
    except (AzureError, TimeoutError) as error:
        raise StoreUnavailable(
            f"The queue {queue} did not answer ({type(error).__name__})."
        ) from error


def _parts(changes: Iterable[MailboxChanges], limit: int) -> Iterator[bytes]:
    """Yield *changes* as JSON of at most *limit* bytes: one part per mailbox, more if too long."""
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
    trace, at = _compact(traceparent()), _compact(received_at)
    start = b'{"v":%d,"trace":%s,"at":%s,"n":[' % (_VERSION, trace, at)
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
