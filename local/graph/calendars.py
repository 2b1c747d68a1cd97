"""HTTP: calendars, mailbox settings, time zones, id translation."""

from typing import Final

from local.graph.backend import GraphBackend
from local.graph.errors import GraphError, Json, bad_request, item_not_found
from local.graph.http import GraphReply, GraphRequest
from local.graph.ids import calendar_id, change_key
from local.graph.mailbox import CALENDAR
from local.graph.online_meetings import TEAMS
from local.graph.times import iana_names, windows_names
from local.graph.working_hours import working_hours_json
from local.world import MailboxKind

_MOST_IDS: Final = 1000


async def show_calendar(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET calendar or calendars/{id}."""
    names = {CALENDAR: CALENDAR} | call.box.calendar_ids()
    wanted = call.parameters.get("calendar", CALENDAR)
    if wanted not in names:
        raise item_not_found()
    context = f"{call.root}/$metadata#users('{call.box.id}')/calendars/$entity"
    return GraphReply(
        200, {"@odata.context": context} | _selected(call, _json(backend, call, names[wanted]))
    )


async def list_calendars(backend: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET calendars."""
    found = [_selected(call, _json(backend, call, name)) for name in call.box.calendars]
    return GraphReply(200, {"@odata.context": f"{call.root}/$metadata#calendars", "value": found})


async def show_settings(_: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET mailboxSettings."""
    person = call.box.person
    shared = person.kind is MailboxKind.SHARED
    settings: Json = {
        "@odata.context": f"{call.root}/$metadata#users('{call.box.id}')/mailboxSettings",
        "automaticRepliesSetting": {
            "status": "disabled",
            "externalAudience": "none",
            "internalReplyMessage": "",
            "externalReplyMessage": "",
        },
        "timeZone": person.zone,
        "language": {"locale": "en-US", "displayName": "English (United States)"},
        "workingHours": working_hours_json(person),
        "dateFormat": "MM/dd/yyyy",
        "timeFormat": "hh:mm tt",
        "userPurpose": "shared" if shared else "user",
        "delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
    }
    return GraphReply(200, _selected(call, settings))


async def list_time_zones(_: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET outlook/supportedTimeZones, Windows names."""
    return _zones(call, windows_names())


async def list_time_zones_by_standard(_: GraphBackend, call: GraphRequest) -> GraphReply:
    """GET outlook/supportedTimeZones(TimeZoneStandard='…')."""
    is_iana = "iana" in call.parameters["standard"].casefold()
    return _zones(call, iana_names() if is_iana else windows_names())


async def translate_ids(_: GraphBackend, call: GraphRequest) -> GraphReply:
    """POST translateExchangeIds, between restId and restImmutableEntryId."""
    body = call.json()
    given, target = body.get("inputIds"), str(body.get("targetIdType"))
    if not isinstance(given, list) or len(given) > _MOST_IDS:
        raise bad_request(f"From 1 to {_MOST_IDS} ids can be translated at once.")
    if target not in {"restId", "restImmutableEntryId"}:
        raise bad_request("Only REST ids are simulated.")
    immutable = target == "restImmutableEntryId"
    value = []
    for one in given:
        try:
            event = call.box.find(str(one), deleted_too=True)
        except GraphError as gone:
            details = {"code": gone.code, "message": gone.message}
            value.append({"sourceId": one, "errorDetails": details})
        else:
            value.append({"sourceId": one, "targetId": event.id(immutable=immutable)})
    return GraphReply(200, {"value": value})


def _json(backend: GraphBackend, call: GraphRequest, name: str) -> Json:
    person = call.box.person
    allowed = backend.online.allowed_providers(call.box)
    is_default = name == CALENDAR
    return {
        "id": calendar_id(person.object_id, name),
        "name": name,
        "color": "auto",
        "hexColor": "",
        "isDefaultCalendar": is_default,
        "changeKey": change_key(person.object_id, 0),
        "canShare": True,
        "canViewPrivateItems": True,
        "canEdit": True,
        "allowedOnlineMeetingProviders": allowed,
        "defaultOnlineMeetingProvider": TEAMS if TEAMS in allowed else (allowed or ["unknown"])[0],
        "isTallyingResponses": is_default,
        "isRemovable": not is_default,
        "owner": {"name": person.name, "address": person.address},
    }


def _selected(call: GraphRequest, full: Json) -> Json:
    wanted = {name.strip().casefold() for name in call.query.get("$select", "").split(",")}
    if wanted == {""}:
        return full
    unknown = wanted - {name.casefold() for name in full}
    if unknown:
        raise GraphError(
            400, "RequestBroker--ParseUri", f"Could not find a property named '{unknown.pop()}'."
        )
    return {
        name: value
        for name, value in full.items()
        if name.casefold() in wanted or name == "id" or name.startswith("@odata")
    }


def _zones(call: GraphRequest, names: list[str]) -> GraphReply:
    context = f"{call.root}/$metadata#Collection(microsoft.graph.timeZoneInformation)"
    value = [{"alias": name, "displayName": name} for name in names]
    return GraphReply(200, {"@odata.context": context, "value": value})
