"""Authenticates participants by token, and gives them access to their own pairings only."""

from shared.errors import NotAllowed, NotAuthenticated, NotFound
from shared.ids import Mailbox, ObjectId, OrganizationId, PairingId
from shared.organizations.access import ensure_usable, verify_token
from shared.organizations.model import AccessMode, ActingUser, Caller, Organization
from shared.organizations.ports import CallerKind, OrganizationStore, TokenVerifier
from shared.pairings.model import Pairing
from shared.pairings.ports import PairingStore


async def authenticate_participant(
    bearer: str | None,
    *,
    acting: tuple[OrganizationId, ObjectId] | None,
    tokens: TokenVerifier,
    organizations: OrganizationStore,
    pairings: PairingStore,
) -> Caller:
    """Return the participant who calls, or the one that the platform names as *acting*.

    Raises:
        NotAuthenticated: the token is no user's, or its tenant belongs to no organization.
        NotAllowed: the platform acts for an organization in delegated mode, or a user names
            *acting*.
        NotFound: no pairing of that organization has the acting participant.
    """
    token = await verify_token(bearer, tokens)
    if token.kind is CallerKind.PLATFORM:
        return await _named(acting, organizations, pairings)
    if acting is not None:
        raise NotAllowed("Only the platform names an acting participant.")
    organization = await organizations.of_tenant(token.tenant_id)
    if organization is None:
        raise NotAuthenticated("The tenant of this token belongs to no organization here.")
    # In application mode the app writes with its own rights, so the user's token is not needed.
    is_delegated = organization.settings.access_mode is AccessMode.DELEGATED
    mailbox = Mailbox(token.tenant_id, token.object_id)
    return Caller(organization, ActingUser(mailbox, token.raw if is_delegated else None))


async def get_own_pairing(
    caller: Caller, pairing_id: PairingId, *, pairings: PairingStore
) -> Pairing:
    """Return the pairing if the caller is in it, else raise NotFound.

    The error is the same for pairings of others, so ids cannot be guessed.
    """
    ensure_usable(caller.organization)
    pairing = await pairings.get(caller.organization.id, pairing_id)
    if pairing.participant(caller.mailbox.object_id) is None:
        raise NotFound("There is no such pairing.")
    return pairing


async def _named(
    acting: tuple[OrganizationId, ObjectId] | None,
    organizations: OrganizationStore,
    pairings: PairingStore,
) -> Caller:
    if acting is None:
        raise NotAuthenticated(
            "This route wants a signed-in user's token.",
            remedy="For an organization in application mode, name the Acting-Participant.",
        )
    organization = await organizations.get(acting[0])
    mailbox = await _member(organization, acting[1], pairings)
    if organization.settings.access_mode is not AccessMode.APPLICATION:
        raise NotAllowed(
            "In this organization people act with their own sign-in.",
            remedy="Use the participant's own token, or change the access mode to application.",
        )
    return Caller(organization, ActingUser(mailbox))


async def _member(
    organization: Organization, object_id: ObjectId, pairings: PairingStore
) -> Mailbox:
    if organization.tenant_id is not None:
        mailbox, after = Mailbox(organization.tenant_id, object_id), None
        while True:
            # A page may be empty and not the last: rows of pairings that were left are read over.
            own, after = await pairings.list_by_mailbox(
                organization.id, mailbox, after=after, limit=1
            )
            if own:
                return mailbox
            if after is None:
                break
    raise NotFound("There is no such participant.")
