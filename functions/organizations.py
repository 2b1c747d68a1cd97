"""HTTP: the platform's routes about organizations, their consent, pairings, changes and health."""

import re
import uuid
from typing import Final

import azure.functions as func

from functions._http import (
    Operation,
    authorize_platform,
    ensure_match,
    etag_of,
    http_endpoint,
    json_response,
    parse_body,
    parse_query,
    path_parameter,
)
from functions.schemas.base import PageQuery
from functions.schemas.changes import ChangeList, ChangesQuery
from functions.schemas.consent import ConsentLinkBody
from functions.schemas.organization_health import OrganizationHealthBody
from functions.schemas.organizations import (
    DiagnosticsBody,
    DiagnosticsQuery,
    NewOrganization,
    OrganizationBody,
    OrganizationChange,
    OrganizationList,
    RemovalBody,
    RemovalQuery,
)
from functions.schemas.pairings import OrganizationPairingList, PairingBody, PairingInput
from shared.errors import Invalid
from shared.ids import OrganizationId, PairingId
from shared.organizations.model import Organization
from shared.organizations.protection import ask_for, wanted_settings
from shared.wiring import wiring

bp = func.Blueprint()

_PAIRING_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BODY: Final = (400, 411, 413, 415, 422)


@bp.route("organizations", methods=["POST"])
@http_endpoint(
    Operation(
        "Create a customer",
        "platform",
        body=NewOrganization,
        reply=OrganizationBody,
        status=201,
        problems=(*_BODY, 409),
    )
)
async def create_organization(req: func.HttpRequest) -> func.HttpResponse:
    """Create an organization, whose administrator must then approve the app.

    Settings that weaken the customer's protection are pending until then.
    """
    await authorize_platform(req)
    body = parse_body(req, NewOrganization)
    organization = Organization(
        id=OrganizationId(str(uuid.uuid4())),
        tenant_id=body.tenant,
        created_at=wiring().clock.now(),
    )
    asked = ask_for(organization, body.settings.applied_to(organization.settings))
    created = await wiring().organizations.create(asked)
    return _organization_response(created, status=201)


@bp.route("organizations", methods=["GET"])
@http_endpoint(
    Operation("All customers", "platform", query=PageQuery, reply=OrganizationList, problems=(422,))
)
async def list_organizations(req: func.HttpRequest) -> func.HttpResponse:
    """List organizations by id."""
    await authorize_platform(req)
    query = parse_query(req, PageQuery)
    found, cursor = await wiring().organizations.list(after=query.cursor, limit=query.limit)
    return json_response(
        OrganizationList(items=[OrganizationBody.of(o) for o in found], next=cursor)
    )


@bp.route("organizations/{organization_id}", methods=["GET"])
@http_endpoint(
    Operation("One customer", "platform", reply=OrganizationBody, supports_conditional_get=True)
)
async def show_organization(req: func.HttpRequest) -> func.HttpResponse:
    """Return an organization with its consent and settings."""
    return _organization_response(await _organization(req), req=req)


@bp.route("organizations/{organization_id}", methods=["PATCH"])
@http_endpoint(
    Operation(
        "Change a customer's settings",
        "platform",
        body=OrganizationChange,
        reply=OrganizationBody,
        requires_if_match=True,
        problems=(*_BODY, 409, 412),
    )
)
async def change_organization(req: func.HttpRequest) -> func.HttpResponse:
    """Change settings; absent fields stay as they are.

    A setting that weakens the customer's protection is pending until an administrator of the
    tenant approves it through a new consent link; earlier links become invalid. The opposite
    begins at once.
    """
    from shared.administration.settings_changes import change_settings

    organization, adapters = await _organization(req), wiring()
    ensure_match(req, etag_of(organization.version))
    body = parse_body(req, OrganizationChange)
    changed = await change_settings(
        organization,
        body.settings.applied_to(wanted_settings(organization)),
        organizations=adapters.organizations,
        changes=adapters.changes,
        clock=adapters.clock,
    )
    return _organization_response(changed)


@bp.route("organizations/{organization_id}", methods=["DELETE"])
@http_endpoint(
    Operation(
        "Remove a customer with all its data",
        "platform",
        query=RemovalQuery,
        reply=RemovalBody,
        problems=(409, 422),
    )
)
async def remove_organization(req: func.HttpRequest) -> func.HttpResponse:
    """Remove an organization; the platform repeats the request until the removal is complete.

    Meetings stay in the calendars unless the query has `cancel_sessions`.
    """
    # Imported here: removals are rare, so a cold start does not load the module.
    from shared.administration.offboarding import offboard

    await authorize_platform(req)
    query = parse_query(req, RemovalQuery)
    removal = await offboard(
        OrganizationId(path_parameter(req, "organization_id")),
        cancel_sessions=query.cancel_sessions,
        ports=wiring().offboarding_ports,
    )
    return json_response(RemovalBody.of(removal))


@bp.route("organizations/{organization_id}/consent-link", methods=["POST"])
@http_endpoint(
    Operation(
        "Make a consent link for the customer's administrator",
        "platform",
        reply=ConsentLinkBody,
        problems=(409,),
    )
)
async def make_organization_link(req: func.HttpRequest) -> func.HttpResponse:
    """Make the organization's consent link; earlier links become invalid."""
    # Imported here, as in the routes below: administration is rare, a cold start does not load it.
    from shared.organizations.consent_links import make_consent_link

    organization = await _organization(req)
    link = await make_consent_link(
        organization,
        app=wiring().app,
        organizations=wiring().organizations,
        signer=wiring().consent_signer,
        clock=wiring().clock,
    )
    return json_response(ConsentLinkBody.of(link))


@bp.route("organizations/{organization_id}/diagnostics", methods=["GET"])
@http_endpoint(
    Operation(
        "Diagnose the customer's tenant: what works, and the remedy for what does not",
        "platform",
        query=DiagnosticsQuery,
        reply=DiagnosticsBody,
        problems=(422,),
    )
)
async def diagnose_organization(req: func.HttpRequest) -> func.HttpResponse:
    """Probe each capability with live calls, for the tenant and for one mailbox."""
    from shared.administration.diagnosis import run_diagnosis

    organization, query = await _organization(req), parse_query(req, DiagnosticsQuery)
    adapters = wiring()
    report = await run_diagnosis(
        organization,
        query.mailbox,
        directory=adapters.directory,
        probes=adapters.probes,
        organizations=adapters.organizations,
        changes=adapters.changes,
        clock=adapters.clock,
    )
    return json_response(DiagnosticsBody.of(report, adapters.clock.now()))


@bp.route("organizations/{organization_id}/health", methods=["GET"])
@http_endpoint(
    Operation("Health of a customer's synchronization", "platform", reply=OrganizationHealthBody)
)
async def show_organization_health(req: func.HttpRequest) -> func.HttpResponse:
    """Return the health of consent, credential and subscriptions, and the lag of changes."""
    from shared.administration.sync_health import sync_health

    organization, adapters = await _organization(req), wiring()
    health = await sync_health(
        organization,
        now=adapters.clock.now(),
        subscriptions=adapters.subscriptions,
        changes=adapters.changes,
        credential=adapters.credentials,
        throttled=adapters.throttle_counts,
        deliveries=adapters.deliveries if adapters.delivery_ports else None,
    )
    return json_response(OrganizationHealthBody.of(health))


@bp.route("organizations/{organization_id}/changes", methods=["GET"])
@http_endpoint(
    Operation(
        "Changes of the customer's sessions, in order",
        "platform",
        query=ChangesQuery,
        reply=ChangeList,
        problems=(422,),
    )
)
async def list_organization_changes(req: func.HttpRequest) -> func.HttpResponse:
    """List the changes after the cursor, oldest first."""
    organization, query = await _organization(req), parse_query(req, ChangesQuery)
    changes, cursor = await wiring().changes.after(organization.id, query.cursor, query.limit)
    return json_response(ChangeList.of(changes, cursor))


@bp.route("organizations/{organization_id}/pairings", methods=["GET"])
@http_endpoint(
    Operation(
        "A customer's pairings",
        "platform",
        query=PageQuery,
        reply=OrganizationPairingList,
        problems=(422,),
    )
)
async def list_organization_pairings(req: func.HttpRequest) -> func.HttpResponse:
    """List the organization's pairings by id."""
    organization, query = await _organization(req), parse_query(req, PageQuery)
    found, cursor = await wiring().pairings.list_by_organization(
        organization.id, after=query.cursor, limit=query.limit
    )
    return json_response(
        OrganizationPairingList(items=[PairingBody.of(p, None) for p in found], next=cursor)
    )


@bp.route("organizations/{organization_id}/pairings/{pairing_id}", methods=["PUT"])
@http_endpoint(
    Operation(
        "Create or replace a pairing",
        "platform",
        body=PairingInput,
        reply=PairingBody,
        problems=(*_BODY, 409, 502),
    )
)
async def put_organization_pairing(req: func.HttpRequest) -> func.HttpResponse:
    """Insert or replace a pairing of up to 20 participants."""
    from shared.pairings.registration import register_pairing

    organization = await _organization(req)
    body = parse_body(req, PairingInput)
    pairing_id = path_parameter(req, "pairing_id")
    if not _PAIRING_ID.fullmatch(pairing_id):
        raise Invalid("path.pairing_id", "has 1 to 64 letters, digits, dots, - and _")
    pairing = await register_pairing(
        organization,
        PairingId(pairing_id),
        body.to_named(),
        directory=wiring().directory,
        pairings=wiring().pairings,
    )
    return json_response(PairingBody.of(pairing, None), etag=etag_of(pairing.version))


@bp.route("organizations/{organization_id}/pairings/{pairing_id}", methods=["GET"])
@http_endpoint(
    Operation(
        "One of a customer's pairings", "platform", reply=PairingBody, supports_conditional_get=True
    )
)
async def show_organization_pairing(req: func.HttpRequest) -> func.HttpResponse:
    """Return one pairing."""
    organization = await _organization(req)
    pairing = await wiring().pairings.get(
        organization.id, PairingId(path_parameter(req, "pairing_id"))
    )
    return json_response(PairingBody.of(pairing, None), etag=etag_of(pairing.version), req=req)


@bp.route("organizations/{organization_id}/pairings/{pairing_id}", methods=["DELETE"])
@http_endpoint(Operation("Remove a pairing", "platform", status=204))
async def remove_organization_pairing(req: func.HttpRequest) -> func.HttpResponse:
    """Remove a pairing; its booked sessions stay. An absent pairing is no error."""
    organization = await _organization(req)
    await wiring().pairings.delete(organization.id, PairingId(path_parameter(req, "pairing_id")))
    return func.HttpResponse(status_code=204)


async def _organization(req: func.HttpRequest) -> Organization:
    """Return the organization in the path. Raises NotAuthenticated unless the platform calls."""
    await authorize_platform(req)
    return await wiring().organizations.get(OrganizationId(path_parameter(req, "organization_id")))


def _organization_response(
    organization: Organization, *, status: int = 200, req: func.HttpRequest | None = None
) -> func.HttpResponse:
    headers = {"location": f"/api/organizations/{organization.id}"} if status == 201 else None
    return json_response(
        OrganizationBody.of(organization),
        status=status,
        etag=etag_of(organization.version),
        headers=headers,
        req=req,
    )
