"""Sends changes to the platform's webhook, in signed requests.

The format is that of Standard Webhooks. Source: https://www.standardwebhooks.com/
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from shared.adapters.http_pool import HttpPool
from shared.adapters.key_vault import KeyVaultSecrets, signing_key
from shared.changes.model import Change
from shared.changes.ports import ChangeStore, DeliveryRefused
from shared.concurrency import gather_limited
from shared.errors import StoreUnavailable
from shared.ids import OrganizationId
from shared.jobs import Job, JobKind, JobQueue
from shared.logs import log_warning
from shared.tracing import SpanKind, traced

KEY_NAME: Final = "webhook-key"
_SECONDS: Final = 8.0
"""Timeout of one message."""
_AFTER_WRITING: Final = timedelta(seconds=1)


class HttpWebhookClient:
    """Implements `WebhookClient` with one URL for all organizations, as there is one platform.

    Each request has a signature by each of the key's two newest versions, so that the platform can
    verify one of them during a rotation.
    """

    def __init__(
        self,
        url: str,
        secrets: KeyVaultSecrets,
        http_pool: HttpPool,
        *,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._secrets = secrets
        self._http_pool = http_pool
        self._epoch = epoch

    async def send(self, message_id: str, message: Mapping[str, Any]) -> None:
        """Send *message*; redirects are not followed.

        Raises:
            DeliveryRefused: the answer is not 2xx, or there is none.
        """
        import httpx

        body = json.dumps(message, separators=(",", ":")).encode()
        headers = {"content-type": "application/json", "user-agent": "MentorCalendar"}
        headers |= await self._signature(message_id, body)
        with traced("POST webhook", SpanKind.INTERNAL) as span:
            span.is_ok = False
            try:
                answer = await self._http_pool.client.post(
                    self._url, content=body, headers=headers, timeout=_SECONDS
                )
            except httpx.HTTPError as error:
                raise DeliveryRefused(type(error).__name__) from error
            span.facts["status"] = answer.status_code
            if not answer.is_success:
                raise DeliveryRefused(f"status_{answer.status_code}")
            span.is_ok = True

    async def _signature(self, message_id: str, body: bytes) -> dict[str, str]:
        sent_at = str(int(self._epoch()))
        signed = b".".join([message_id.encode(), sent_at.encode(), body])
        keys = [signing_key(s.value) for s in await self._secrets.versions(KEY_NAME, 2)]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": sent_at,
            "webhook-signature": " ".join(f"v1,{_mac(key, signed)}" for key in keys),
        }


class NotifyingChangeStore:
    """A `ChangeStore` that also schedules the delivery of each change to the platform."""

    def __init__(self, changes: ChangeStore, jobs: JobQueue) -> None:
        self._changes = changes
        self._jobs = jobs

    async def append(self, changes: Iterable[Change]) -> None:
        """Append *changes* to the feed, then enqueue their delivery, which starts a second later.

        In this order, because a delivery that starts before a slow append finds nothing. After a
        crash in between, a session's outbox is still full: its next reader does both again.
        """
        added = list(changes)
        await self._changes.append(added)
        organizations = dict.fromkeys(change.organization_id for change in added)
        await gather_limited(self._enqueue_delivery(each) for each in organizations)

    async def after(
        self, organization_id: OrganizationId, cursor: str | None, limit: int
    ) -> tuple[Sequence[Change], str | None]:
        """Return up to *limit* changes after *cursor*, oldest first, and the cursor after them."""
        return await self._changes.after(organization_id, cursor, limit)

    async def recent(self, organization_id: OrganizationId, limit: int) -> Sequence[Change]:
        """Return the last *limit* changes, oldest first."""
        return await self._changes.recent(organization_id, limit)

    async def delete(
        self, organization_id: OrganizationId, *, before: datetime | None = None
    ) -> int:
        """Remove the oldest changes, those before *before*; return how many."""
        return await self._changes.delete(organization_id, before=before)

    async def _enqueue_delivery(self, organization_id: OrganizationId) -> None:
        try:
            job = Job(JobKind.DELIVER, organization_id, ())
            await self._jobs.put(job, delay=_AFTER_WRITING)
        except StoreUnavailable:
            # The feed has the change, so the delivery of the next change includes it.
            log_warning("webhook.not_announced", organization_id=organization_id)


def _mac(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
