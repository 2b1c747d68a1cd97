"""Authentication by bearer token, and whether an organization may use the service."""

from dataclasses import dataclass

from shared.errors import NotAllowed, NotAuthenticated
from shared.ids import ObjectId
from shared.organizations.model import ConsentState, Organization
from shared.organizations.ports import CallerKind, TokenVerifier, VerifiedToken


@dataclass(frozen=True, slots=True)
class PlatformCaller:
    """The mentoring platform's backend."""

    object_id: ObjectId


async def authenticate_platform(bearer: str | None, *, tokens: TokenVerifier) -> PlatformCaller:
    """Return the platform, or raise NotAuthenticated for the token of another caller."""
    token = await verify_token(bearer, tokens)
    if token.kind is not CallerKind.PLATFORM:
        raise NotAuthenticated("This route is the platform's: it wants the role Platform.Manage.")
    return PlatformCaller(token.object_id)


def is_suspended(organization: Organization) -> bool:
    """Return whether *organization* is leaving, or has no consent.

    No call to Graph is made for a suspended organization.
    """
    return organization.is_closing or organization.consent is not ConsentState.GRANTED


def ensure_usable(organization: Organization) -> None:
    """Raise NotAllowed if *organization* is leaving, or has no consent."""
    if organization.is_closing:
        raise NotAllowed("Your organization is leaving this service: its sessions are removed.")
    if not organization.is_connected:
        raise NotAllowed(
            "No administrator of your organization has approved this app yet.",
            remedy="An administrator approves the app through the organization's link.",
        )
    if organization.consent is ConsentState.WITHDRAWN:
        raise NotAllowed(
            "An administrator of your organization has taken back the approval of this app.",
            remedy="An administrator approves the app again through the organization's link.",
        )


async def verify_token(bearer: str | None, tokens: TokenVerifier) -> VerifiedToken:
    """Verify *bearer* and return its claims. Raises NotAuthenticated, also without a token."""
    if not bearer:
        raise NotAuthenticated("A bearer token is missing.")
    return await tokens.verify(bearer)
