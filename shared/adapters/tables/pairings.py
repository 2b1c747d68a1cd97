"""Stores pairings, and in each participant's mailbox an index row for each of their pairings.

A read by the index checks the pairing itself, so an index row left by a process that crashed
discloses nothing. The index must not lack a participant, hence the order of the writes: first the
index rows of the new participants, then the pairing, then the removal of the index rows of former
participants.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from shared.adapters.tables import keys
from shared.adapters.tables.client import Put, Row, Tables
from shared.adapters.tables.keys import MAILBOXES, PAIRINGS
from shared.adapters.tables.retry import as_retryable, retry_on_conflict
from shared.adapters.tables.values import compact, cursor, present, read_cursor
from shared.concurrency import gather_limited
from shared.errors import NotFound, StaleRow
from shared.ids import Mailbox, ObjectId, OrganizationId, PairingId, TenantId
from shared.pairings.model import Pairing, Participant, ParticipantRole


class TablePairings:
    """Implements `PairingStore` on Table Storage."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, organization_id: OrganizationId, pairing_id: PairingId) -> Pairing:
        """Return the pairing, or raise NotFound."""
        row = await self._tables.get(PAIRINGS, keys.pairing(organization_id, pairing_id))
        if row is None:
            raise NotFound("There is no such pairing.")
        return _pairing(row)

    async def put(self, pairing: Pairing) -> Pairing:
        """Insert or replace the pairing and the index rows of its participants.

        Raises:
            StaleRow: the pairing has a version, and it is not the stored one.
        """

        async def attempt(_: int) -> Pairing:
            key = keys.pairing(pairing.organization_id, pairing.id)
            row = await self._tables.get(PAIRINGS, key)
            if pairing.version and (row is None or row.etag != pairing.version):
                raise StaleRow("The pairing changed since it was read.")
            staying = set(_mailboxes(pairing))
            leaving = set(_mailboxes(_pairing(row))) - staying if row else set()
            # Their removal is conditional on the ETags read here: a participant whom a concurrent
            # write puts back keeps the index row.
            departures = await self._index_rows(leaving, pairing.id)
            await self._index(staying, pairing)
            with as_retryable():
                version = await self._tables.put(
                    PAIRINGS, Put(key, _values(pairing), row.etag if row else None)
                )
            await self._remove(departures)
            return replace(pairing, version=version)

        return await retry_on_conflict(attempt)

    async def list_by_mailbox(
        self, organization_id: OrganizationId, mailbox: Mailbox, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        """Return a page of *mailbox*'s pairings by id, and the cursor of the next page or None."""
        found = await self._tables.between(
            MAILBOXES,
            keys.pairings_of(mailbox, after=read_cursor(after) if after else ""),
            limit + 1,
        )
        page = found[:limit]
        named = [
            keys.pairing(organization_id, PairingId(row.values["pairing_id"]))
            for row in page
            if row.values["organization_id"] == organization_id
        ]
        rows = await self._tables.get_many(PAIRINGS, named)
        pairings = [_pairing(rows[key]) for key in named if key in rows]
        return (
            [pairing for pairing in pairings if mailbox in _mailboxes(pairing)],
            cursor(page[-1].values["pairing_id"]) if len(found) > limit else None,
        )

    async def list_by_organization(
        self, organization_id: OrganizationId, *, after: str | None, limit: int
    ) -> tuple[Sequence[Pairing], str | None]:
        """Return a page of the organization's pairings by id; the next page's cursor or None."""
        found = await self._tables.between(
            PAIRINGS,
            keys.pairings(organization_id, after=read_cursor(after) if after else ""),
            limit + 1,
        )
        page = [_pairing(row) for row in found[:limit]]
        return page, cursor(page[-1].id) if len(found) > limit else None

    async def delete(self, organization_id: OrganizationId, pairing_id: PairingId) -> None:
        """Remove the pairing and its index rows. Idempotent."""
        row = await self._tables.get(PAIRINGS, keys.pairing(organization_id, pairing_id))
        if row is None:
            return
        # The pairing last: until then a retry still finds the index rows by its participants.
        await self._remove(await self._index_rows(_mailboxes(_pairing(row)), pairing_id))
        await self._tables.remove(PAIRINGS, row.key)

    async def _index(self, mailboxes: Iterable[Mailbox], pairing: Pairing) -> None:
        values = present({"pairing_id": pairing.id, "organization_id": pairing.organization_id})
        await gather_limited(
            self._tables.put(
                MAILBOXES, Put(keys.pairing_of(mailbox, pairing.id), values, force=True)
            )
            for mailbox in mailboxes
        )

    async def _index_rows(
        self, mailboxes: Iterable[Mailbox], pairing_id: PairingId
    ) -> Sequence[Row]:
        wanted = [keys.pairing_of(mailbox, pairing_id) for mailbox in mailboxes]
        return list((await self._tables.get_many(MAILBOXES, wanted)).values())

    async def _remove(self, rows: Iterable[Row]) -> None:
        async def remove(row: Row) -> None:
            with suppress(StaleRow):  # a concurrent write put the participant back
                await self._tables.remove(MAILBOXES, row.key, row.etag)

        await gather_limited(remove(row) for row in rows)


def _mailboxes(pairing: Pairing) -> list[Mailbox]:
    """Return the mailboxes of the participants who are in the tenant."""
    mailboxes = (pairing.mailbox(participant) for participant in pairing.participants)
    return [mailbox for mailbox in mailboxes if mailbox is not None]


def _values(pairing: Pairing) -> dict[str, Any]:
    return present(
        {
            "pairing_id": pairing.id,
            "organization_id": pairing.organization_id,
            "tenant_id": pairing.tenant_id,
            "participants": compact(
                [
                    {
                        "role": participant.role.value,
                        "address": participant.address,
                        "object_id": participant.object_id,
                        "required": participant.required,
                    }
                    for participant in pairing.participants
                ]
            ),
        }
    )


def _pairing(row: Row) -> Pairing:
    values = row.values
    return Pairing(
        id=PairingId(values["pairing_id"]),
        organization_id=OrganizationId(values["organization_id"]),
        tenant_id=TenantId(values["tenant_id"]),
        participants=tuple(map(_participant, json.loads(values["participants"]))),
        version=row.etag,
    )


def _participant(values: Mapping[str, Any]) -> Participant:
    object_id = values["object_id"]
    return Participant(
        role=ParticipantRole(values["role"]),
        address=values["address"],
        object_id=ObjectId(object_id) if object_id else None,
        required=values["required"],
    )
