"""Consent: leads an administrator from the link to the proof of tenant and grant.

Four steps, each with a ticket of its own as `state`: our page, Entra's consent page, Entra's
sign-in, our callback. The callback's parameters prove nothing: any browser can call it with any
tenant. The tenant is that of the ID token which Entra's token endpoint gives this service, for an
administrator who signs in. Only then is anything of that tenant touched: the grant is proven by a
token of the app's own for it, and a call to Graph.

Source: https://learn.microsoft.com/entra/identity-platform/v2-admin-consent
"""

import re
import secrets
from collections.abc import Iterable
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from shared.errors import NotFound, StaleRow
from shared.ids import TenantId
from shared.logs import log_event
from shared.organizations.consent_links import consent_url
from shared.organizations.consent_model import (
    ConsentAnswer,
    ConsentOutcome,
    ConsentPorts,
    ConsentRedirect,
    ConsentResult,
    ConsentStart,
)
from shared.organizations.consent_proof import verify_grant
from shared.organizations.consent_tickets import (
    ConsentStep,
    ConsentTicket,
    browser_digest,
    derive,
    is_from,
    known_browser,
    seal,
    unseal,
)
from shared.organizations.model import ConsentState, Organization
from shared.organizations.ports import SignedInPerson, SignInRefused, SignInRequest

CONSENTING_ROLES: Final = frozenset(
    {
        "62e90394-69f5-4237-9190-012177145e10",  # Global Administrator
        "e8611ab8-c189-46e8-94e1-60213ab1f814",  # Privileged Role Administrator
    }
)
"""The directory roles that may grant application permissions of Graph, by template id.

Source: https://learn.microsoft.com/entra/identity/enterprise-apps/grant-admin-consent
Source: https://learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference
"""

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DECLINED: Final = frozenset({"access_denied", "permission_denied", "consent_declined"})


async def open_consent_link(
    state: str | None, browser: str | None, *, ports: ConsentPorts
) -> ConsentStart | ConsentResult:
    """Return the start of an attempt from a link's *state*, in the browser with that secret.

    Raises:
        StoreUnavailable, Misconfigured: nothing was begun.
    """
    opened = await _open(state, {ConsentStep.LINK}, ports)
    if isinstance(opened, ConsentResult):
        return opened
    ticket, organization = opened
    secret = known_browser(browser)
    asked = ticket.next(ConsentStep.APPROVAL, ports.clock.now(), browser=browser_digest(secret))
    url = consent_url(organization, await seal(asked, ports.signer), ports.app)
    return ConsentStart(organization, url, secret)


async def continue_consent(
    answer: ConsentAnswer, *, ports: ConsentPorts
) -> ConsentRedirect | ConsentResult:
    """Take the next step from *answer*; at the last one prove the grant and store the consent.

    Only a proven grant uses up the link: an administrator who declined, chose a wrong account, or
    whose consent has not spread yet, may open it again until it expires.

    Raises:
        StoreUnavailable, Misconfigured: no outcome was stored.
        CalendarUnavailable, CalendarThrottled: Entra does not answer right now.
    """
    reached = await _continued(answer, ports)
    if isinstance(reached, ConsentResult):
        log_event(
            "consent.concluded",
            state=reached.outcome,
            organization_id=reached.organization.id if reached.organization else "",
            code=reached.code or "",
        )
    return reached


_CALLBACK_STEPS: Final = frozenset({ConsentStep.APPROVAL, ConsentStep.SIGN_IN, ConsentStep.PROVEN})


async def _continued(answer: ConsentAnswer, ports: ConsentPorts) -> ConsentRedirect | ConsentResult:
    opened = await _open(answer.state, _CALLBACK_STEPS, ports)
    if isinstance(opened, ConsentResult):
        return opened
    ticket, organization = opened
    if not is_from(ticket.browser, answer.browser):
        return ConsentResult(ConsentOutcome.OTHER_BROWSER, organization)
    match ticket.step:
        case ConsentStep.APPROVAL:
            return await _after_approval(ticket, organization, answer, ports)
        case ConsentStep.SIGN_IN:
            return await _after_sign_in(ticket, organization, answer, ports)
        case _:
            return await verify_grant(organization, TenantId(ticket.tenant_id), ports)


async def _open(
    state: str | None, steps: Iterable[ConsentStep], ports: ConsentPorts
) -> tuple[ConsentTicket, Organization] | ConsentResult:
    """Return the ticket with its organization, or the result for one that is not valid."""
    ticket = await unseal(state, ports.signer)
    if ticket is None or ticket.step not in steps:
        return ConsentResult(ConsentOutcome.TAMPERED)
    try:
        organization = await ports.organizations.get(ticket.organization_id)
    except NotFound:
        return ConsentResult(ConsentOutcome.EXPIRED)
    known = organization.consent_nonce
    if known is None or not secrets.compare_digest(known, ticket.link):
        return ConsentResult(ConsentOutcome.USED, organization)
    if ticket.expired(ports.clock.now()):
        is_link = ticket.step is ConsentStep.LINK
        late = ConsentOutcome.EXPIRED if is_link else ConsentOutcome.TOO_SLOW
        return ConsentResult(late, organization)
    return ticket, organization


# --- after Entra's consent page


async def _after_approval(
    ticket: ConsentTicket, organization: Organization, answer: ConsentAnswer, ports: ConsentPorts
) -> ConsentRedirect | ConsentResult:
    """Send the administrator to sign in to the tenant that the browser names."""
    # Checked first, because a refusal has `admin_consent=True` as well.
    if answer.error:
        return await _handle_refusal(organization, answer, ports)
    tenant = (answer.tenant or "").lower()
    if not _GUID.fullmatch(tenant) or (answer.admin_consent or "").lower() != "true":
        return ConsentResult(ConsentOutcome.TAMPERED)
    if organization.tenant_id not in {None, tenant}:
        return ConsentResult(ConsentOutcome.WRONG_TENANT, organization)
    asked = ticket.next(ConsentStep.SIGN_IN, ports.clock.now(), tenant_id=tenant)
    state = await seal(asked, ports.signer)
    request = _sign_in_request(asked, state, answer.browser or "")
    return ConsentRedirect(ports.sign_in.url(request))


async def _handle_refusal(
    organization: Organization, answer: ConsentAnswer, ports: ConsentPorts
) -> ConsentResult:
    code = _code(answer)
    if (answer.error or "").lower() not in _DECLINED and "65004" not in code:
        return ConsentResult(ConsentOutcome.REFUSED, organization, code=code)
    # A granted consent stays valid when an administrator declines to grant it once more.
    if organization.consent is ConsentState.PENDING:
        declined = replace(
            organization,
            consent=ConsentState.DECLINED,
            consent_changed_at=ports.clock.now(),
        )
        try:
            organization = await ports.organizations.save(declined)
        except StaleRow:
            organization = await ports.organizations.get(organization.id)
    return ConsentResult(ConsentOutcome.DECLINED, organization, code=code)


# --- after Entra's sign-in


async def _after_sign_in(
    ticket: ConsentTicket, organization: Organization, answer: ConsentAnswer, ports: ConsentPorts
) -> ConsentRedirect | ConsentResult:
    """Prove the tenant and the role of the person who signed in."""
    if answer.error:
        return ConsentResult(ConsentOutcome.NOT_SIGNED_IN, organization, code=_code(answer))
    if not answer.code or answer.state is None:
        return ConsentResult(ConsentOutcome.TAMPERED)
    request = _sign_in_request(ticket, answer.state, answer.browser or "")
    try:
        person = await ports.sign_in.redeem(answer.code, request)
    except SignInRefused as error:
        return ConsentResult(ConsentOutcome.NOT_SIGNED_IN, organization, code=error.code)
    if (problem := await _problem_of(person, ticket, organization, ports)) is not None:
        return ConsentResult(problem, organization)
    log_event(
        "consent.signed_in",
        organization_id=organization.id,
        tenant_id=person.tenant_id,
        object_id=person.object_id,
    )
    # A step of its own, which may be repeated: a code is good for once, and consent spreads slowly.
    proven = ticket.next(ConsentStep.PROVEN, ports.clock.now(), tenant_id=person.tenant_id)
    query = urlencode({"state": await seal(proven, ports.signer)})
    return ConsentRedirect(f"{ports.app.public_url}/api/consent/callback?{query}")


async def _problem_of(
    person: SignedInPerson, ticket: ConsentTicket, organization: Organization, ports: ConsentPorts
) -> ConsentOutcome | None:
    """Return why *person* does not connect their tenant; None if they do."""
    is_named = organization.tenant_id in {None, person.tenant_id}
    if not is_named or person.tenant_id != ticket.tenant_id:
        return ConsentOutcome.WRONG_TENANT
    if person.roles is None:
        return ConsentOutcome.ROLE_UNKNOWN
    if person.roles.isdisjoint(CONSENTING_ROLES):
        return ConsentOutcome.NOT_ADMIN
    other = await ports.organizations.of_tenant(person.tenant_id)
    if other is not None and other.id != organization.id:
        return ConsentOutcome.TENANT_TAKEN
    return None


def _sign_in_request(ticket: ConsentTicket, state: str, browser: str) -> SignInRequest:
    return SignInRequest(
        tenant=ticket.tenant_id,
        state=state,
        verifier=derive(browser, "verifier", state),
        nonce=derive(browser, "nonce", state),
    )


def _code(answer: ConsentAnswer) -> str:
    """Return Entra's error code, cleaned: the text comes from the URL, so any caller can set it."""
    error = (answer.error or "").lower()
    known = error if re.fullmatch(r"[a-z_]{1,40}", error) else "error"
    number = re.search(r"AADSTS(\d{4,8})", answer.error_description or "")
    return f"{known} (AADSTS{number[1]})" if number else known
