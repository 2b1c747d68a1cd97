"""Who is calling, and as whom: from a bearer token to a person of an organization."""

from dataclasses import dataclass

from shared.errors import NotAllowed, NotAuthenticated
from shared.ids import Mailbox, ObjectId
from shared.organizations.model import AccessMode, Acting, ConsentState, Organization, Participation
from shared.organizations.ports import CallerKind, OrganizationStore, Tokens, VerifiedToken


@dataclass(frozen=True, slots=True)
class PlatformCaller:
    """The mentoring platform's backend."""

    object_id: ObjectId


async def platform_caller(bearer: str | None, *, tokens: Tokens) -> PlatformCaller:
    """Return the platform, or raise NotAuthenticated for everybody else's tokens."""
    token = await _verified(bearer, tokens)
    if token.kind is not CallerKind.PLATFORM:
        raise NotAuthenticated("This route is the platform's: it wants the role Platform.Manage.")
    return PlatformCaller(token.object_id)


async def participant_caller(
    bearer: str | None,
    *,
    tokens: Tokens,
    organizations: OrganizationStore,
) -> Participation:
    """Return the person behind *bearer*, in the organization of their tenant.

    Raises:
        NotAuthenticated: no user's token, or of a tenant that belongs to no organization.
    """
    token = await _verified(bearer, tokens)
    if token.kind is not CallerKind.USER:
        raise NotAuthenticated("This route wants a signed-in user's token.")
    organization = await organizations.of_tenant(token.tenant_id)
    if organization is None:
        raise NotAuthenticated("The tenant of this token belongs to no organization here.")
    mailbox = Mailbox(token.tenant_id, token.object_id)
    # In application mode nobody's own rights are needed: the app writes by itself.
    assertion = (
        token.raw if organization.settings.access_mode is AccessMode.DELEGATED else None
    )
    return Participation(organization, Acting(mailbox, assertion))


def ensure_usable(organization: Organization) -> None:
    """Raise NotAllowed while Graph calls for *organization* could only fail."""
    if organization.consent in {ConsentState.WITHDRAWN, ConsentState.DECLINED}:
        raise NotAllowed(
            "An administrator of your organization has taken back the approval of this app.",
            remedy="An administrator approves the app again through the organization's link.",
        )


async def _verified(bearer: str | None, tokens: Tokens) -> VerifiedToken:
    if not bearer:
        raise NotAuthenticated("A bearer token is missing.")
    return await tokens.verify(bearer)


