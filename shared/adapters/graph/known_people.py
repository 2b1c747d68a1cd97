"""Keeps what the directory says of people for a day."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Final, TypeVar

from shared.ids import Mailbox, ObjectId, TenantId
from shared.pairings.ports import Directory

KEPT_SECONDS: Final = 86_400.0
_MOST_KEPT: Final = 10_000
_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")


class KnownPeople:
    """Addresses of people, and people of addresses. Raises what `Directory` does."""

    def __init__(self, directory: Directory, *, monotonic: Callable[[], float]) -> None:
        self._directory = directory
        self._monotonic = monotonic
        self._addresses: dict[Mailbox, tuple[float, frozenset[str]]] = {}
        self._people: dict[tuple[TenantId, str], tuple[float, ObjectId | None]] = {}

    async def addresses_of(self, mailbox: Mailbox) -> frozenset[str]:
        """Return the person's addresses; none if the tenant has no such user."""

        async def ask() -> frozenset[str]:
            person = await self._directory.get(mailbox)
            return person.addresses if person else frozenset()

        return await self._kept(self._addresses, mailbox, ask)

    async def person_at(self, tenant_id: TenantId, address: str) -> ObjectId | None:
        """Return the object id of the user at *address*, or None."""

        async def ask() -> ObjectId | None:
            person = await self._directory.find(tenant_id, address)
            return person.object_id if person else None

        return await self._kept(self._people, (tenant_id, address), ask)

    async def _kept(
        self, known: dict[_K, tuple[float, _T]], key: _K, ask: Callable[[], Awaitable[_T]]
    ) -> _T:
        found = known.get(key)
        if found and self._monotonic() - found[0] < KEPT_SECONDS:
            return found[1]
        answer = await ask()
        if len(known) >= _MOST_KEPT:
            known.clear()
        known[key] = (self._monotonic(), answer)
        return answer
