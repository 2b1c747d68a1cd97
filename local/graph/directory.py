"""HTTP: people, organization, licences and grants of the directory."""

import re
import uuid
from typing import Final

from local.graph.auth import GRAPH_APP_ID
from local.graph.backend import GraphBackend
from local.graph.errors import GraphError, Json, bad_request, resource_not_found
from local.graph.http import GraphReply, GraphRequest
from local.graph.permissions import ORGANIZATION, USERS, USERS_FULL
from local.world import MailboxKind, Person, Tenant

_BASIC: Final = (
    "id displayName givenName surname mail userPrincipalName jobTitle mobilePhone "
    "officeLocation preferredLanguage businessPhones"
)
_FULL: Final = ("accountEnabled", "assignedPlans", "onPremisesSyncEnabled", "userType")
_EQUALS: Final = re.compile(r"(mail|userPrincipalName|id)\s+eq\s+'((?:[^']|'')*)'", re.IGNORECASE)
_ALIAS: Final = re.compile(r"proxyAddresses/any\(p:p eq 'smtp:((?:[^']|'')*)'\)", re.IGNORECASE)
_EXCHANGE_PLAN: Final = "efb87545-963c-4e0d-99df-69c6916d9eb0"

ROLE_IDS: Final = {
    "Calendars.ReadBasic.All": "8ba4a692-bc31-4128-9094-475872af8a53",
    "Calendars.Read": "798ee544-9d2d-430c-a058-570e29e34338",
    "Calendars.ReadWrite": "ef54d2bf-783f-4e0f-bca1-3210c0444d99",
    "MailboxSettings.Read": "40f97065-369a-49f4-947c-6a255697ae91",
    "User.ReadBasic.All": "97235f07-e226-4f63-ace3-39588e11d3a1",
    "User.Read.All": "df021288-bdef-4463-88db-98f22de89214",
    "Organization.Read.All": "498476ce-e0fe-48b0-b801-37ba7e2685c6",
    "GroupMember.Read.All": "98830695-27a2-44f7-8c18-0c3ebc9698f6",
}
"""Application permissions of Microsoft Graph by name.

Source: https://learn.microsoft.com/graph/permissions-reference
"""


async def show_me(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET /me."""
    if call.caller.user_id is None:
        raise bad_request("/me request is only valid with delegated authentication flow.")
    person = find_person(backend, call, call.caller.user_id)
    return GraphReply(200, _entity(call, _shown(backend, call, person, own=True)))


async def show_user(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET /users/{id}."""
    person = find_person(backend, call, call.parameters["id"])
    own = person.object_id == call.caller.user_id and "User.Read" in call.caller.permissions
    if not own:
        backend.authority.require(call.caller, USERS, None)
    return GraphReply(200, _entity(call, _shown(backend, call, person, own=own)))


async def list_users(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET /users, filtered by mail or userPrincipalName, or by proxyAddresses."""
    people = backend.world.tenants[call.caller.tenant_id].people
    text = call.query.get("$filter", "").strip()
    if alias := _ALIAS.fullmatch(text):
        # A filter by a property outside the basic set needs the full permission.
        backend.authority.require(call.caller, USERS_FULL, None)
        named = alias[1].replace("''", "'").casefold()
        people = [p for p in people if named in {a.casefold() for a in (p.address, *p.aliases)}]
    elif text:
        tests = [_EQUALS.fullmatch(part.strip()) for part in re.split(r"\s+or\s+", text)]
        if None in tests:
            raise bad_request("Invalid filter clause.", "Request_UnsupportedQuery")
        wanted = {(t[1].casefold(), t[2].replace("''", "'").casefold()) for t in tests if t}
        people = [
            person
            for person in people
            if ("id", person.object_id.casefold()) in wanted
            or {
                ("mail", person.address.casefold()),
                ("userprincipalname", person.address.casefold()),
            }
            & wanted
        ]
    shown = [_shown(backend, call, person, own=False) for person in people]
    return GraphReply(200, {"@odata.context": f"{call.root}/$metadata#users", "value": shown})


async def list_organizations(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET /organization: the tenant of the token."""
    backend.authority.require(call.caller, ORGANIZATION, None)
    tenant = backend.world.tenants[call.caller.tenant_id]
    context = f"{call.root}/$metadata#organization"
    return GraphReply(200, {"@odata.context": context, "value": [_organization(tenant)]})


async def show_organization(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET /organization/{id}."""
    tenant = backend.world.tenants[call.caller.tenant_id]
    if call.parameters["id"] != tenant.tenant_id:
        raise resource_not_found(call.parameters["id"])
    return GraphReply(200, _organization(tenant))


async def list_licenses(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET licenseDetails."""
    person = find_person(backend, call, call.parameters.get("id") or str(call.caller.user_id))
    licenses = (
        []
        if not _has_plan(person)
        else [
            {
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, person.object_id)),
                "skuId": "6fd2c87f-b296-42f0-b197-1e91e994b900",
                "skuPartNumber": "ENTERPRISEPACK",
                "servicePlans": [
                    {
                        "servicePlanId": _EXCHANGE_PLAN,
                        "servicePlanName": "EXCHANGE_S_ENTERPRISE",
                        "provisioningStatus": "Success",
                        "appliesTo": "User",
                    }
                ],
            }
        ]
    )
    return GraphReply(200, {"value": licenses})


async def list_service_principals(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET /servicePrincipals, filtered by appId."""
    match = re.search(r"appId\s+eq\s+'([^']*)'", call.query.get("$filter", ""))
    known = _service_principals(backend, call)
    found = [p for p in known if match is None or p["appId"] == match[1]]
    return GraphReply(200, {"value": found})


async def show_service_principal(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET /servicePrincipals/{id}, or by appId."""
    return GraphReply(200, _service_principal(backend, call))


async def list_app_role_assignments(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET the application permissions granted to a service principal."""
    principal = _service_principal(backend, call)
    granted = backend.granted_roles(call.caller.tenant_id)
    value = [
        _assignment(backend, call, principal, name)
        for name in sorted(granted)
        if principal["appId"] == backend.world.client_id and name in ROLE_IDS
    ]
    return GraphReply(200, {"value": value})


async def list_app_role_assigned_to(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET the users assigned to a service principal."""
    principal = _service_principal(backend, call)
    people = backend.world.tenants[call.caller.tenant_id].people
    value = [
        {
            "id": f"{person.object_id}",
            "appRoleId": "00000000-0000-0000-0000-000000000000",
            "principalDisplayName": person.name,
            "principalId": person.object_id,
            "principalType": "User",
            "resourceDisplayName": principal["displayName"],
            "resourceId": principal["id"],
        }
        for person in people
        if person.assigned and principal["appId"] == backend.world.client_id
    ]
    return GraphReply(200, {"value": value})


async def list_permission_grants(_: GraphBackend, __: GraphRequest) -> GraphReply:
    """GET delegated grants: none is kept here."""
    return GraphReply(200, {"value": []})


def find_person(backend: GraphBackend, call: GraphRequest, identifier: str) -> Person:
    """Return a person of the caller's tenant by object id or user principal name.

    Raises:
        GraphError: 404 of the directory.
    """
    person = backend.people.find(call.caller.tenant_id, identifier)
    if person is None:
        raise resource_not_found(identifier)
    return person


def _shown(backend: GraphBackend, call: GraphRequest, person: Person, *, own: bool) -> Json:
    given, _, family = person.name.partition(" ")
    full: Json = dict.fromkeys(_BASIC.split()) | {
        "id": person.object_id,
        "displayName": person.name,
        "givenName": given,
        "surname": family or None,
        "mail": person.address,
        "userPrincipalName": _principal_name(backend, person),
        "businessPhones": [],
    }
    wanted = [name.strip() for name in call.query.get("$select", "").split(",") if name.strip()]
    if not wanted:
        return full
    if {name.casefold() for name in wanted} & {name.casefold() for name in _FULL}:
        if not own:
            backend.authority.require(call.caller, USERS_FULL, None)
        full |= {
            "accountEnabled": True,
            "onPremisesSyncEnabled": person.kind is MailboxKind.ON_PREMISES or None,
            "userType": "Guest" if person.kind is MailboxKind.ABSENT else "Member",
            "assignedPlans": [_plan()] if _has_plan(person) else [],
        }
    by_name = {name.casefold(): name for name in full}
    for name in wanted:
        if name.casefold() not in by_name:
            raise GraphError(
                400,
                "BadRequest",
                f"Could not find a property named '{name}' on type 'microsoft.graph.user'.",
            )
    return {by_name[name.casefold()]: full[by_name[name.casefold()]] for name in wanted}


def _principal_name(backend: GraphBackend, person: Person) -> str:
    """Return a person's sign-in name; a guest's is derived from the address elsewhere."""
    if person.kind is not MailboxKind.ABSENT:
        return person.address
    domain = backend.world.tenants[person.tenant_id].domain
    return f"{person.address.replace('@', '_')}#EXT#@{domain}"


def _has_plan(person: Person) -> bool:
    return person.kind in {MailboxKind.ONLINE, MailboxKind.SHARED}


def _plan() -> Json:
    return {
        "assignedDateTime": "2024-01-01T00:00:00Z",
        "capabilityStatus": "Enabled",
        "service": "exchange",
        "servicePlanId": _EXCHANGE_PLAN,
    }


def _entity(call: GraphRequest, shown: Json) -> Json:
    return {"@odata.context": f"{call.root}/$metadata#users/$entity"} | shown


def _organization(tenant: Tenant) -> Json:
    return {
        "id": tenant.tenant_id,
        "displayName": tenant.name,
        "verifiedDomains": [
            {
                "capabilities": "Email, OfficeCommunicationsOnline",
                "isDefault": True,
                "isInitial": False,
                "name": tenant.domain,
                "type": "Managed",
            }
        ],
    }


def _service_principals(backend: GraphBackend, call: GraphRequest) -> list[Json]:
    tenant_id = call.caller.tenant_id
    return [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{tenant_id}/{app_id}")),
            "appId": app_id,
            "displayName": name,
            "appRoleAssignmentRequired": False,
            "accountEnabled": True,
        }
        for app_id, name in (
            (backend.world.client_id, "Mentor Calendar"),
            (GRAPH_APP_ID, "Microsoft Graph"),
        )
    ]


def _service_principal(backend: GraphBackend, call: GraphRequest) -> Json:
    wanted = call.parameters["id"].casefold()
    for principal in _service_principals(backend, call):
        if wanted in {principal["id"], principal["appId"].casefold()}:
            return principal
    raise resource_not_found(call.parameters["id"])


def _assignment(backend: GraphBackend, call: GraphRequest, principal: Json, name: str) -> Json:
    graph = next(p for p in _service_principals(backend, call) if p["appId"] == GRAPH_APP_ID)
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, principal["id"] + name)),
        "appRoleId": ROLE_IDS[name],
        "principalDisplayName": principal["displayName"],
        "principalId": principal["id"],
        "principalType": "ServicePrincipal",
        "resourceDisplayName": graph["displayName"],
        "resourceId": graph["id"],
    }
