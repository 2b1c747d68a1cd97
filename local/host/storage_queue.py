"""A queue of the storage service. Its SDK takes a third of a second to import."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from local.host.queue_client import QueueFailed, TakenMessage


class StorageQueue:
    """A queue of the storage service."""

    def __init__(self, client: QueueClient) -> None:
        """Serve the queue of *client*, which must not encode or decode contents."""
        self._client = client

    async def create(self) -> None:
        """Create the queue unless it exists."""
        try:
            await self._client.create_queue()
        except AzureError as error:
            if getattr(error, "error_code", None) == "QueueAlreadyExists":
                return
            raise _failed(error) from error

    async def receive(self, most: int, hidden_for: timedelta) -> Sequence[TakenMessage]:
        """Return up to *most* visible messages, hidden for that long; none without a queue."""
        found: list[TakenMessage] = []
        try:
            messages = self._client.receive_messages(
                messages_per_page=most,
                max_messages=most,
                visibility_timeout=int(hidden_for.total_seconds()),
            )
            async for message in messages:
                found.append(_taken(message))  # noqa: PERF401  # a failure keeps what came before
        except ResourceNotFoundError:
            return found
        except AzureError as error:
            if not found:
                raise _failed(error) from error
        return found

    async def extend_visibility(self, message: TakenMessage, hidden_for: timedelta) -> TakenMessage:
        """Set when *message* appears again. Return it with its new receipt."""
        try:
            updated = await self._client.update_message(
                message.id,
                message.pop_receipt,
                visibility_timeout=int(hidden_for.total_seconds()),
            )
        except AzureError as error:
            raise _failed(error) from error
        return _again(message, str(updated.pop_receipt), hidden_for)

    async def delete(self, message: TakenMessage) -> None:
        """Delete *message*. It is no error if it is gone, or another worker has taken it."""
        try:
            await self._client.delete_message(message.id, message.pop_receipt)
        except ResourceNotFoundError:
            return
        except AzureError as error:
            if getattr(error, "error_code", None) == "PopReceiptMismatch":
                return
            raise _failed(error) from error

    async def send(self, content: str) -> None:
        """Add a message with exactly this *content*."""
        try:
            await self._client.send_message(content)
        except AzureError as error:
            raise _failed(error) from error


def _taken(message: QueueMessage) -> TakenMessage:
    now = datetime.now(UTC)
    return TakenMessage(
        id=str(message.id),
        pop_receipt=str(message.pop_receipt),
        content=str(message.content),
        dequeue_count=message.dequeue_count or 1,
        inserted_at=message.inserted_on or now,
        expires_at=message.expires_on or now,
        visible_at=message.next_visible_on or now,
    )


def _again(message: TakenMessage, pop_receipt: str, hidden_for: timedelta) -> TakenMessage:
    return TakenMessage(
        id=message.id,
        pop_receipt=pop_receipt,
        content=message.content,
        dequeue_count=message.dequeue_count,
        inserted_at=message.inserted_at,
        expires_at=message.expires_at,
        visible_at=datetime.now(UTC) + hidden_for,
    )


def _failed(error: AzureError) -> QueueFailed:
    code = getattr(error, "error_code", None) or type(error).__name__
    return QueueFailed(f"{code}: {str(error).splitlines()[0] if str(error) else ''}")
