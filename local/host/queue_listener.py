"""Queue triggers: polls, runs, deletes after success, retries after failure, moves poison messages.

Source: azure-sdk-for-net, WebJobs Storage extension 5.x: `QueueListener`, `QueueProcessor`.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Final

from azure.functions.meta import Datum

from local.host.calls import Call
from local.host.configuration import QueueOptions
from local.host.invoking import Invoker
from local.host.messages import POISON, decode, metadata
from local.host.queue_client import Queue, QueueFailed, TakenMessage
from local.host.triggers import AppFunction, QueueBinding

HIDDEN_FOR: Final = timedelta(minutes=10)
"""The lease of a message; renewed at half of it."""
_FIRST_WAIT: Final = timedelta(milliseconds=100)

_log: Final = logging.getLogger(__name__)


class QueueListener:
    """Serves one queue-triggered function."""

    def __init__(
        self,
        function: AppFunction,
        binding: QueueBinding,
        options: QueueOptions,
        invoker: Invoker,
        *,
        open_queue: Callable[[QueueBinding], Queue],
        delivers_twice: bool = False,
    ) -> None:
        """*delivers_twice*: run each message again after success, as at-least-once delivery may."""
        self.function = function
        self._options = options
        self._invoker = invoker
        self._delivers_twice = delivers_twice
        self._name = binding.queue
        self._binding, self._open_queue = binding, open_queue
        self._handling: set[asyncio.Task[None]] = set()

    @cached_property
    def _queue(self) -> Queue:
        return self._open_queue(self._binding)

    @cached_property
    def _poison(self) -> Queue | None:
        """A poison queue has no poison queue of its own: its messages are retried for ever."""
        if self._name.endswith(POISON):
            return None
        return self._open_queue(replace(self._binding, queue=self._name + POISON))

    async def listen(self) -> None:
        """Poll until cancelled; running invocations continue."""
        wait = _FIRST_WAIT
        while True:
            try:
                found = await self._start_batch()
            except QueueFailed as error:
                _log.warning("Queue %r cannot be polled: %s", self._name, error)
                found = 0
            if found:
                wait = _FIRST_WAIT
                await self._wait_for_room()
            else:
                await asyncio.sleep(wait.total_seconds())
                wait = min(wait * 2, self._options.max_polling_interval)

    async def drain(self) -> int:
        """Handle all visible and running messages. Return the number taken."""
        total = 0
        while found := await self._start_batch():
            total += found
            await self.wait_idle()
        await self.wait_idle()
        return total

    async def wait_idle(self) -> None:
        """Wait until no message is being handled."""
        while self._handling:
            await asyncio.wait(self._handling)

    def cancel(self) -> None:
        """Stop handling at once; the messages appear again by themselves."""
        for task in self._handling:
            task.cancel()

    async def run_once(self, text: str) -> None:
        """Run the function on *text* as if it were a message."""
        call = Call(self.function.name, Datum(text, "string"))
        await self._invoker.invoke(self.function, call)

    async def _start_batch(self) -> int:
        messages = await self._queue.receive(self._options.batch_size, HIDDEN_FOR)
        for message in messages:
            task = asyncio.create_task(self._handle(message))
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)
        return len(messages)

    async def _wait_for_room(self) -> None:
        while len(self._handling) > self._options.new_batch_threshold:
            await asyncio.wait(self._handling, return_when=asyncio.FIRST_COMPLETED)

    async def _handle(self, message: TakenMessage) -> None:
        try:
            await self._handled(message)
        except QueueFailed as error:
            # The message appears again when its lease expires: at-least-once.
            _log.warning("Message %s of queue %r: %s", message.id, self._name, error)

    async def _handled(self, message: TakenMessage) -> None:
        try:
            body = decode(message.content, is_base64=self._options.is_base64)
        except ValueError as error:
            await self._to_poison(message, str(error))
            return
        if message.dequeue_count > self._options.max_dequeue_count and self._poison:
            await self._to_poison(message, "it was taken too often")
            return
        keeper = _VisibilityRenewer(self._queue, message)
        try:
            succeeded = await self._runs(message, body)
        finally:
            message = await keeper.close()
        if succeeded:
            await self._queue.delete(message)
        elif message.dequeue_count >= self._options.max_dequeue_count and self._poison:
            await self._to_poison(
                message, f"MaxDequeueCount of {self._options.max_dequeue_count} is reached"
            )
        else:
            await self._queue.extend_visibility(message, self._options.visibility_timeout)

    async def _runs(self, message: TakenMessage, body: bytes) -> bool:
        try:
            text = body.decode()
            await self._invoker.invoke(self.function, self._call(message, text))
            if self._delivers_twice:
                again = replace(message, dequeue_count=message.dequeue_count + 1)
                _log.info("Message %s of queue %r is delivered twice", message.id, self._name)
                await self._invoker.invoke(self.function, self._call(again, text))
        except UnicodeDecodeError as error:
            _log.error(
                "%s: message %s is no text: %s", self.function.name, message.id, error
            )  # the function did not run: there is no traceback
            return False
        except Exception:  # noqa: BLE001  # any failure is the function's; the invoker logged it
            return False
        return True

    def _call(self, message: TakenMessage, text: str) -> Call:
        return Call(
            self.function.name, Datum(text, "string"), metadata=metadata(message, text, self._name)
        )

    async def _to_poison(self, message: TakenMessage, reason: str) -> None:
        if self._poison is None:
            await self._queue.extend_visibility(message, self._options.visibility_timeout)
            return
        _log.error(
            "Message %s of queue %r moves to %r: %s",
            message.id,
            self._name,
            self._name + POISON,
            reason,
        )
        await self._poison.create()
        await self._poison.send(message.content)
        await self._queue.delete(message)


class _VisibilityRenewer:
    """Keeps a message hidden while it is being handled."""

    def __init__(self, queue: Queue, message: TakenMessage) -> None:
        self._queue = queue
        self._message = message
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> TakenMessage:
        """Stop, and return the message with its newest receipt."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        return self._message

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(HIDDEN_FOR.total_seconds() / 2)
            try:
                self._message = await self._queue.extend_visibility(self._message, HIDDEN_FOR)
            except QueueFailed as error:
                _log.warning("Message %s cannot be kept hidden: %s", self._message.id, error)
