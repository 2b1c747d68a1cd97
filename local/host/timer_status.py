"""The status of timers: what the host keeps in storage, so that a missed occurrence is noticed.

Source: azure-webjobs-sdk-extensions, `StorageScheduleMonitor`: a blob of JSON for each timer.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

import aiohttp

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

_SCOPE: Final = "https://storage.azure.com/.default"
_CONTAINER: Final = "azure-webjobs-hosts"
_VERSION: Final = {"x-ms-version": "2021-12-02"}
NEVER: Final = datetime.min.replace(tzinfo=UTC)


class StatusUnavailable(Exception):
    """The storage refused or did not answer."""


@dataclass(frozen=True, slots=True)
class TimerStatus:
    """The last run of a timer and the occurrence that is due next."""

    last: datetime
    """`NEVER` before the first run."""
    next: datetime
    last_updated: datetime

    @classmethod
    def parse(cls, document: Mapping[str, str]) -> Self:
        """Return the status in *document*."""
        last, due, updated = (
            datetime.fromisoformat(document[name]) for name in ("Last", "Next", "LastUpdated")
        )
        return cls(last, due, updated)

    def document(self) -> dict[str, str]:
        """Return the JSON that storage and functions get."""
        moments = {"Last": self.last, "Next": self.next, "LastUpdated": self.last_updated}
        return {name: moment.isoformat() for name, moment in moments.items()}


class TimerStatuses:
    """The statuses of all timers, in memory: they end with the host."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[str, TimerStatus] = {}

    async def read(self, timer: str) -> TimerStatus | None:
        """Return the status of *timer*; None before the first. Raises StatusUnavailable."""
        return self._known.get(timer)

    async def write(self, timer: str, status: TimerStatus) -> None:
        """Replace the status of *timer*. Raises StatusUnavailable."""
        self._known[timer] = status


class StoredStatuses(TimerStatuses):
    """Statuses in the blobs of the host's own storage."""

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        credential: "Callable[[], AsyncTokenCredential]",
    ) -> None:
        """Keep them at *url*, the blob service's."""
        super().__init__()
        self._container = f"{url.rstrip('/')}/{_CONTAINER}"
        self._session, self._credential = session, credential

    async def read(self, timer: str) -> TimerStatus | None:
        """Return the status of *timer*; None before the first."""
        status, text = await self._ask("GET", self._blob(timer))
        return None if status == 404 else TimerStatus.parse(json.loads(text))

    async def write(self, timer: str, status: TimerStatus) -> None:
        """Replace the status of *timer*."""
        body = json.dumps(status.document())
        code, _ = await self._ask("PUT", self._blob(timer), body)
        if code == 404:
            await self._ask("PUT", f"{self._container}?restype=container")
            await self._ask("PUT", self._blob(timer), body)

    def _blob(self, timer: str) -> str:
        return f"{self._container}/timers/development/Host.Functions.{timer}/status"

    async def _ask(self, method: str, url: str, body: str = "") -> tuple[int, str]:
        try:
            token = await self._credential().get_token(_SCOPE)
            headers = {**_VERSION, "Authorization": f"Bearer {token.token}"}
            if body:
                headers["x-ms-blob-type"] = "BlockBlob"
            async with self._session.request(method, url, data=body, headers=headers) as reply:
                text = await reply.text()
                # 409: the status of another timer made the container.
                if reply.status >= 400 and reply.status not in {404, 409}:
                    raise StatusUnavailable(f"{method} {url}: {reply.status} {text[:200]}")
                return reply.status, text
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StatusUnavailable(f"{method} {url}: {error}") from error
