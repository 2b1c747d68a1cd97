"""The consent link for a customer's administrator, and the page of Entra that it leads to."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlencode

from shared.clock import Clock
from shared.logs import log_event
from shared.organizations.consent_tickets import LINK_LIFE, ConsentStep, ConsentTicket, seal
from shared.organizations.model import Organization
from shared.organizations.ports import AppRegistration, OrganizationStore, Signer


@dataclass(frozen=True, slots=True)
class ConsentLink:
    """The link for the customer's administrator."""

    url: str
    expires_at: datetime


async def make_consent_link(
    organization: Organization,
    *,
    app: AppRegistration,
    organizations: OrganizationStore,
    signer: Signer,
    clock: Clock,
) -> ConsentLink:
    """Make a new link for *organization*'s administrator; earlier links become invalid.

    Raises:
        StaleRow: the organization is being changed right now.
        StoreUnavailable, Misconfigured: the key in Key Vault cannot be had.
    """
    nonce = secrets.token_urlsafe(16)
    expires_at = (clock.now() + LINK_LIFE).replace(microsecond=0)
    expires = int(expires_at.timestamp())
    state = await seal(ConsentTicket(ConsentStep.LINK, organization.id, nonce, expires), signer)
    await organizations.save(replace(organization, consent_nonce=nonce))
    log_event("consent.link_made", organization_id=organization.id)
    query = urlencode({"state": state})
    return ConsentLink(f"{app.public_url}/api/consent/start?{query}", expires_at)


def consent_url(organization: Organization, state: str, app: AppRegistration) -> str:
    """Return Entra's consent page for *organization*'s tenant, or for any work tenant."""
    query = urlencode(
        {
            "client_id": app.client_id,
            # `.default` asks for all permissions of the registration, and is the only scope that
            # covers application permissions.
            "scope": f"{app.graph_url}/.default",
            "redirect_uri": f"{app.public_url}/api/consent/callback",
            "state": state,
        }
    )
    tenant = organization.tenant_id or "organizations"
    return f"{app.login_url}/{tenant}/v2.0/adminconsent?{query}"
