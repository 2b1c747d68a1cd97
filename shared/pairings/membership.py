"""Who may see a pairing: those who are in it."""

from shared.errors import NotFound
from shared.ids import PairingId
from shared.organizations.model import Participation
from shared.pairings.model import Pairing
from shared.pairings.ports import PairingStore


async def own_pairing(
    participation: Participation, pairing_id: PairingId, *, pairings: PairingStore
) -> Pairing:
    """Return the pairing if the caller is in it, else raise NotFound: ids tell nothing."""
    pairing = await pairings.get(participation.organization.id, pairing_id)
    if pairing.participant(participation.mailbox.object_id) is None:
        raise NotFound("There is no such pairing.")
    return pairing
