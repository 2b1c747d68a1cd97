"""Writing the seeded organizations and pairings into the app's tables, through its own adapters."""

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from local.seed import ORGANIZATIONS, SeededPairing, seeded_pairings, seeded_world
from shared.errors import Conflict, NotFound
from shared.ids import ObjectId, OrganizationId, PairingId, TenantId
from shared.organizations.model import ConsentState, Organization
from shared.pairings.model import Pairing, Participant, ParticipantRole
from shared.settings import Settings
from shared.wiring import Wiring


async def enrol(environment: Mapping[str, str]) -> None:
    """Write the seed's rows; existing rows stay unchanged."""
    adapters = Wiring(Settings.from_environment(environment))
    now = datetime.now(UTC)
    try:
        for seeded in ORGANIZATIONS:
            try:
                await adapters.organizations.create(
                    Organization(
                        id=OrganizationId(seeded.id),
                        tenant_id=TenantId(seeded.tenant_id) if seeded.tenant_id else None,
                        created_at=now,
                        consent=ConsentState.GRANTED
                        if seeded.has_consented
                        else ConsentState.PENDING,
                        consent_changed_at=now,
                    )
                )
            except Conflict:
                continue  # kept from an earlier run
        for pairing in seeded_pairings(seeded_world()):
            await _put(pairing, adapters)
    finally:
        await adapters.aclose()


async def _put(seeded: SeededPairing, adapters: Wiring) -> None:
    organization_id, pairing_id = OrganizationId(seeded.organization_id), PairingId(seeded.id)
    try:
        await adapters.pairings.get(organization_id, pairing_id)
    except NotFound:
        await adapters.pairings.put(
            Pairing(
                id=pairing_id,
                organization_id=organization_id,
                tenant_id=TenantId(seeded.tenant_id),
                participants=tuple(
                    Participant(
                        role=ParticipantRole(one.role),
                        address=one.address.lower(),
                        object_id=ObjectId(one.object_id) if one.object_id else None,
                    )
                    for one in seeded.participants
                ),
            )
        )


if __name__ == "__main__":
    import os

    # In a process of its own, with the app's environment: SSL_CERT_FILE is read at start.
    asyncio.run(enrol(os.environ))
    sys.exit(0)
