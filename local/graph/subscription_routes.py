"""HTTP: creating, renewing and ending subscriptions, with the real handshake.

Source: https://learn.microsoft.com/graph/api/subscription-post-subscriptions
"""

from local.graph.auth import CallerIdentity
from local.graph.backend import GraphBackend, link_to
from local.graph.errors import GraphError, Json, bad_request, resource_not_found
from local.graph.http import GraphReply, GraphRequest
from local.graph.permissions import SUBSCRIBE
from local.graph.subscriptions import (
    PER_MAILBOX,
    Subscription,
    checked_change_type,
    checked_client_state,
    checked_expiry,
    checked_url,
    extension_error,
    new_subscription_id,
    resource_owner,
)
from local.world import MailboxKind, Person

_PAGE = 100
_WITH_MAILBOX = {MailboxKind.ONLINE, MailboxKind.SHARED}


async def create_subscription(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST subscriptions. Graph checks the request, does the handshake, then answers."""
    body = call.json()
    wanted = _wanted(backend, call, body)
    _refuse_second(backend, wanted)
    if len(backend.subscriptions.about(wanted.mailbox_id)) >= PER_MAILBOX:
        raise extension_error(
            403, "Number of subscriptions on item has exceeded limit", "Forbidden"
        )
    await _shake_hands(backend, wanted.notification_url)
    if wanted.lifecycle_url:
        await _shake_hands(backend, wanted.lifecycle_url)
    backend.subscriptions.add(wanted)
    watch_expiry(backend, wanted)
    return GraphReply(201, _entity(call, wanted))


async def list_subscriptions(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET subscriptions of the calling app in this tenant, or of the user."""
    mine = [one for one in backend.subscriptions.all() if _is_of(one, call.caller)]
    skip = int(call.query.get("$skiptoken") or 0)
    shown = [one.as_json(with_client_state=False) for one in mine[skip : skip + _PAGE]]
    body: Json = {"@odata.context": f"{call.root}/$metadata#subscriptions", "value": shown}
    if skip + _PAGE < len(mine):
        body["@odata.nextLink"] = link_to(call, {"$skiptoken": str(skip + _PAGE)})
    return GraphReply(200, body)


async def show_subscription(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET one subscription."""
    return GraphReply(200, _entity(call, _found(backend, call)))


async def renew_subscription(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """PATCH: a new expiry, which also re-authorizes, or another notificationUrl."""
    subscription = _found(backend, call)
    body = call.json()
    unknown = body.keys() - {"expirationDateTime", "notificationUrl"}
    if unknown:
        raise bad_request(f"'{unknown.pop()}' cannot be changed.", code="InvalidRequest")
    expires_at = subscription.expires_at
    if "expirationDateTime" in body:
        longest = backend.switches.subscription_minutes
        expires_at = checked_expiry(body["expirationDateTime"], backend.clock.now(), longest)
    if "notificationUrl" in body:
        url = checked_url(body["notificationUrl"], "notificationUrl", http_too=backend.allows_http)
        await _shake_hands(backend, url)
        subscription.notification_url = url
    subscription.expires_at = expires_at
    watch_expiry(backend, subscription)
    backend.notifier.resume(subscription)
    return GraphReply(200, _entity(call, subscription))


async def delete_subscription(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """DELETE one subscription."""
    backend.notifier.end(_found(backend, call), tell=False)
    return GraphReply(204)


async def reauthorize_subscription(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST reauthorize: delivery continues, the expiry stays."""
    backend.notifier.resume(_found(backend, call))
    return GraphReply(204)


def watch_expiry(backend: GraphBackend, subscription: Subscription) -> None:
    """End the subscription at its expiry. Only one with a lifecycle address gets a notification."""
    expires_at = subscription.expires_at

    def end() -> None:
        expired = backend.subscriptions.expired(subscription.id)
        if expired and expired.expires_at == expires_at:
            backend.notifier.end(expired, tell=backend.switches.tell_of_expiry)

    backend.scheduler.call_at(expires_at, end, background=True)


def _wanted(backend: GraphBackend, call: GraphRequest, body: Json) -> Subscription:
    caller = call.caller
    if body.get("includeResourceData"):
        raise bad_request("Rich notifications are not simulated.", code="InvalidRequest")
    change_type = checked_change_type(body.get("changeType"))
    person = _owner(backend, caller, body.get("resource"))
    notification_url = checked_url(
        body.get("notificationUrl"), "notificationUrl", http_too=backend.allows_http
    )
    lifecycle = body.get("lifecycleNotificationUrl")
    if lifecycle is not None:
        checked_url(lifecycle, "lifecycleNotificationUrl", http_too=backend.allows_http)
    now = backend.clock.now()
    return Subscription(
        id=new_subscription_id(),
        tenant_id=caller.tenant_id,
        app_id=caller.app_id,
        creator_id=caller.creator_id,
        is_app_only=caller.is_app_only,
        mailbox_id=person.object_id,
        resource=str(body["resource"]),
        change_type=change_type,
        notification_url=notification_url,
        lifecycle_url=lifecycle,
        client_state=checked_client_state(body.get("clientState")),
        expires_at=checked_expiry(
            body.get("expirationDateTime"), now, backend.switches.subscription_minutes
        ),
        immutable_ids=call.prefers_immutable_ids,
        tls_version=str(body.get("latestSupportedTlsVersion") or "v1_2"),
    )


def _owner(backend: GraphBackend, caller: CallerIdentity, resource: object) -> Person:
    identifier = resource_owner(resource)
    if identifier is None and caller.user_id is None:
        raise bad_request("Resource 'me' needs a signed-in user.", code="InvalidRequest")
    wanted = identifier or str(caller.user_id)
    person = backend.people.find(caller.tenant_id, wanted)
    if person is None:
        raise resource_not_found(wanted, code="ResourceNotFound")
    try:
        backend.authority.require(caller, SUBSCRIBE, person)
    except GraphError as refused:
        if refused.code == "ExtensionError":
            raise
        raise extension_error(403, refused.message, "Forbidden") from None
    if person.kind not in _WITH_MAILBOX:
        reason = "REST API is not yet supported for this mailbox."
        raise extension_error(404, reason, "NotFound")
    return person


def _refuse_second(backend: GraphBackend, wanted: Subscription) -> None:
    if not backend.switches.refuse_second_subscription:
        return
    for one in backend.subscriptions.about(wanted.mailbox_id):
        same = (one.app_id, one.tenant_id, one.change_type) == (
            wanted.app_id,
            wanted.tenant_id,
            wanted.change_type,
        )
        if same:
            raise GraphError(
                409,
                "ObjectIdentifierInUse",
                f"Subscription Id {one.id} already exists for the requested combination",
            )


async def _shake_hands(backend: GraphBackend, url: str) -> None:
    if not await backend.webhooks.handshake(url, backend.switches.handshake_seconds):
        raise bad_request(
            "Subscription validation request failed. Notification endpoint must respond with "
            "200 OK to validation request.",
            code="InvalidRequest",
        )


def _found(backend: GraphBackend, call: GraphRequest) -> Subscription:
    identifier = call.parameters["subscription"]
    found = backend.subscriptions.find(identifier)
    if found is None or not _is_of(found, call.caller):
        raise GraphError(404, "ResourceNotFound", "The object was not found.")
    return found


def _is_of(subscription: Subscription, caller: CallerIdentity) -> bool:
    if (subscription.app_id, subscription.tenant_id) != (caller.app_id, caller.tenant_id):
        return False
    return caller.is_app_only or subscription.creator_id == caller.user_id


def _entity(call: GraphRequest, subscription: Subscription) -> Json:
    context = f"{call.root}/$metadata#subscriptions/$entity"
    return {"@odata.context": context} | subscription.as_json()
