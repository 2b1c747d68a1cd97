"""Calls to Graph: headers, retries, tokens, and the errors that refusals become."""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from msgraph.generated.users.item.events.item.event_item_request_builder import (
    EventItemRequestBuilder,
)

from shared.adapters.graph import client as client_module
from shared.adapters.graph.client import GraphSession
from shared.adapters.graph.errors import CODES, graph_error, read_refusal
from shared.errors import (
    CalendarError,
    CalendarRefused,
    CalendarThrottled,
    CalendarUnavailable,
    ConsentMissing,
    EventGone,
    ForeignId,
    MailboxUnusable,
    SchedulingError,
    SignInAgain,
)
from shared.ids import Mailbox, ObjectId, TenantId
from shared.organizations.model import ActingUser
from tests.unit.adapters.conftest import Graph
from tests.unit.adapters.entra_fixtures import TENANT, USER

MAILBOX = Mailbox(TenantId(TENANT), ObjectId(USER))
CHALLENGE = '{"access_token":{"acrs":{"essential":true,"value":"cp1"}}}'


def refused(status: int, code: str = "", message: str = "", **headers: str) -> httpx.Response:
    """Return an error answer in Graph's format."""
    inner = {"date": "2026-03-01T09:00:00", "request-id": "r-inner"}
    body = {"error": {"code": code, "message": message, "innerError": inner}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers={"request-id": "r-1"} | named)


async def ask(caller: GraphSession, *, repeatable: bool = True) -> Mapping[str, Any]:
    """Send an arbitrary request."""
    builder = EventItemRequestBuilder(caller.adapter, caller.path(event="AA/+=="))
    request = builder.to_get_request_information()
    return (await caller.call(request, repeatable=repeatable)).json()


async def test_the_app_calls_the_mailbox_by_object_id(graph: Graph) -> None:
    await ask(graph.client.app(TenantId(TENANT), USER))
    request = graph.answers.last
    assert request.url == f"https://graph.microsoft.com/v1.0/users/{USER}/events/AA%2F%2B%3D%3D"
    assert request.headers["authorization"] == "Bearer app-0"


async def test_a_user_is_me(graph: Graph) -> None:
    await ask(graph.client.acting(ActingUser(MAILBOX, "their token")))
    assert graph.answers.last.url.path.startswith("/v1.0/me/events/")
    assert graph.answers.last.headers["authorization"] == "Bearer user-0"


async def test_without_an_assertion_the_app_acts(graph: Graph) -> None:
    await ask(graph.client.acting(ActingUser(MAILBOX)))
    assert f"/users/{USER}/" in graph.answers.last.url.path
    assert graph.answers.last.headers["authorization"] == "Bearer app-0"


async def test_every_call_says_how_it_wants_its_answer(graph: Graph) -> None:
    await ask(graph.client.app(TenantId(TENANT), USER))
    headers = graph.answers.last.headers
    assert set(headers["prefer"].split(", ")) == {
        'IdType="ImmutableId"',
        'outlook.timezone="UTC"',
    }
    assert headers["return-client-request-id"] == "true"
    first_id = headers["client-request-id"]
    await ask(graph.client.app(TenantId(TENANT), USER))
    assert graph.answers.last.headers["client-request-id"] != first_id


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_repeatable_request_is_retried(
    graph: Graph, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.adapters.graph.retry.QUICK_SECONDS", 0.0)
    graph.respond_with(refused(status), httpx.Response(200, json={"id": "x"}))
    assert await ask(graph.client.app(TenantId(TENANT), USER)) == {"id": "x"}
    assert len(graph.answers.requests) == 2


async def test_it_is_not_tried_a_third_time(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.graph.retry.QUICK_SECONDS", 0.0)
    graph.respond_with(refused(503, "ErrorServerBusy"))
    with pytest.raises(CalendarUnavailable):
        await ask(graph.client.app(TenantId(TENANT), USER))
    assert len(graph.answers.requests) == 2


async def test_unrepeatable_request_is_sent_once(graph: Graph) -> None:
    graph.respond_with(refused(503))
    with pytest.raises(CalendarUnavailable):
        await ask(graph.client.app(TenantId(TENANT), USER), repeatable=False)
    assert len(graph.answers.requests) == 1


@pytest.mark.parametrize(
    "broken", [httpx.ReadError("reset"), httpx.ConnectError("no"), httpx.RemoteProtocolError("x")]
)
async def test_a_broken_connection_is_tried_again(
    graph: Graph, broken: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.adapters.graph.retry.QUICK_SECONDS", 0.0)
    graph.respond_with(broken, httpx.Response(200, json={}))
    await ask(graph.client.app(TenantId(TENANT), USER))
    graph.respond_with(broken)
    with pytest.raises(CalendarUnavailable):
        await ask(graph.client.app(TenantId(TENANT), USER))


async def test_a_long_wait_is_not_waited_for(graph: Graph) -> None:
    graph.respond_with(refused(503, Retry_After="60"))
    with pytest.raises(CalendarUnavailable) as caught:
        await ask(graph.client.app(TenantId(TENANT), USER))
    assert caught.value.retry_after_seconds == 60
    assert len(graph.answers.requests) == 1


@pytest.mark.parametrize(("header", "seconds"), [("2.128", 2.128), ("0", 0.0), (None, None)])
async def test_throttling_is_told_at_once(
    graph: Graph, header: str | None, seconds: float | None
) -> None:
    headers = {"Retry_After": header} if header else {}
    graph.respond_with(refused(429, "TooManyRequests", **headers))
    with pytest.raises(CalendarThrottled) as caught:
        await ask(graph.client.app(TenantId(TENANT), USER))
    assert caught.value.retry_after_seconds == seconds
    assert caught.value.request_id == "r-1"
    assert len(graph.answers.requests) == 1


async def test_call_waits_no_longer_than_its_budget(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError(request)

    graph.http_pool.__dict__["transport"] = httpx.MockTransport(never)
    monkeypatch.setattr(client_module, "CALL_SECONDS", 0.05)
    caller = graph.client.app(TenantId(TENANT), USER)
    request = EventItemRequestBuilder(caller.adapter, caller.path(event="x"))
    started_at = time.monotonic()
    with pytest.raises(CalendarUnavailable):
        await caller.call(
            request.to_get_request_information(),
            repeatable=True,
            call_seconds=0.05,
            budget_seconds=0.1,
        )
    assert time.monotonic() - started_at < 5


async def test_a_stale_token_is_renewed_once(graph: Graph) -> None:
    graph.respond_with(
        refused(401, "InvalidAuthenticationToken", "Lifetime validation failed"),
        httpx.Response(200, json={}),
    )
    await ask(graph.client.app(TenantId(TENANT), USER), repeatable=False)
    sent = [request.headers["authorization"] for request in graph.answers.requests]
    assert sent == ["Bearer app-0", "Bearer app-1"]


async def test_a_token_that_stays_refused_is_the_apps_own_trouble(graph: Graph) -> None:
    graph.respond_with(refused(401, "InvalidAuthenticationToken"))
    with pytest.raises(CalendarRefused) as caught:
        await ask(graph.client.app(TenantId(TENANT), USER))
    assert caught.value.status == 401
    with pytest.raises(SignInAgain):
        await ask(graph.client.acting(ActingUser(MAILBOX, "their token")))


async def test_a_challenge_is_met_and_else_passed_on(graph: Graph) -> None:
    encoded = base64.b64encode(CHALLENGE.encode()).decode()
    header = f'Bearer realm="", error="insufficient_claims", claims="{encoded}"'
    graph.respond_with(refused(401, "x", WWW_Authenticate=header))
    with pytest.raises(SignInAgain) as caught:
        await ask(graph.client.acting(ActingUser(MAILBOX, "their token")))
    assert caught.value.claims == CHALLENGE
    assert graph.credentials.the_user.claims == [None, CHALLENGE]


async def test_an_answer_that_is_no_json_is_no_answer(graph: Graph) -> None:
    graph.respond_with(httpx.Response(200, text="<html>hello</html>"))
    with pytest.raises(CalendarUnavailable):
        await ask(graph.client.app(TenantId(TENANT), USER))


async def test_tokens_go_to_graph_alone(graph: Graph) -> None:
    caller = graph.client.app(TenantId(TENANT), USER)
    builder = EventItemRequestBuilder(caller.adapter, {}).with_url("https://evil.example/x")
    await caller.call(builder.to_get_request_information())
    assert "authorization" not in graph.answers.last.headers


ROWS: list[tuple[int, str, type[SchedulingError]]] = [
    (400, "ErrorInvalidIdMalformed", CalendarRefused),
    (404, "ErrorInvalidMailboxItemId", ForeignId),
    (404, "UnknownError", CalendarUnavailable),
    (400, "ErrorInvalidRecipients", CalendarUnavailable),
    (400, "ErrorPropertyValidationFailure", CalendarRefused),
    (400, "ErrorInvalidRequest", CalendarRefused),
    (400, "BadRequest", CalendarRefused),
    (400, "RequestBodyRead", CalendarRefused),
    (400, "TimeZoneNotSupportedException", CalendarRefused),
    (400, "ErrorDuplicateTransactionId", CalendarRefused),
    (409, "ErrorDuplicateTransactionId", CalendarRefused),
    (400, "ErrorOccurrenceCrossingBoundary", CalendarRefused),
    (401, "InvalidAuthenticationToken", SignInAgain),
    (403, "ErrorAccessDenied", ConsentMissing),
    (403, "Authorization_RequestDenied", ConsentMissing),
    (403, "AccessDenied", ConsentMissing),
    (403, "Forbidden", ConsentMissing),
    (404, "ErrorItemNotFound", EventGone),
    (404, "ErrorInvalidUser", MailboxUnusable),
    (404, "Request_ResourceNotFound", MailboxUnusable),
    (404, "ResourceNotFound", MailboxUnusable),
    (404, "MailboxNotEnabledForRESTAPI", MailboxUnusable),
    (404, "ErrorNonExistentMailbox", MailboxUnusable),
    (409, "ErrorIrresolvableConflict", CalendarUnavailable),
    (412, "ErrorIrresolvableConflict", CalendarUnavailable),
    (409, "ErrorItemSave", CalendarUnavailable),
    (410, "syncStateNotFound", MailboxUnusable),
    (429, "TooManyRequests", CalendarThrottled),
    (429, "ApplicationThrottled", CalendarThrottled),
    (429, "activityLimitReached", CalendarThrottled),
    (500, "ErrorInternalServerError", CalendarUnavailable),
    (500, "generalException", CalendarUnavailable),
    (503, "MailboxInfoStale", CalendarUnavailable),
    (503, "ErrorMailboxMoveInProgress", CalendarUnavailable),
    (503, "UnknownError", CalendarUnavailable),
    (504, "ErrorTimeoutExpired", CalendarUnavailable),
    (400, "ExtensionError", CalendarRefused),
    (403, "ExtensionError", ConsentMissing),
    (404, "ExtensionError", MailboxUnusable),
    (400, "", CalendarRefused),
    (404, "NeverHeardOf", MailboxUnusable),
    (418, "NeverHeardOf", CalendarRefused),
    (599, "NeverHeardOf", CalendarUnavailable),
]


@pytest.mark.parametrize(("status", "code", "kind"), ROWS, ids=str)
def test_each_code_has_a_meaning(status: int, code: str, kind: type[SchedulingError]) -> None:
    for written in (code, code.lower()):
        response = refused(status, written)
        raised = graph_error(read_refusal(status, response.headers, response.content))
        assert type(raised) is kind
        if isinstance(raised, CalendarError):
            assert (raised.status, raised.request_id) == (status, "r-1")
        if isinstance(raised, ConsentMissing | MailboxUnusable):
            assert raised.remedy


def test_codes_are_known_without_case() -> None:
    assert all(code == code.lower() for code in CODES)


def test_an_access_policy_has_its_own_remedy() -> None:
    message = "Access to OData is disabled: [RAOP] : Blocked by tenant configured AppOnly ..."
    response = refused(403, "ErrorAccessDenied", message)
    raised = graph_error(read_refusal(403, response.headers, response.content))
    assert "access policy" in str(raised.remedy)


@pytest.mark.parametrize("member", ["innerError", "innererror", "InnerError"])
def test_the_request_id_is_read_from_the_body_too(member: str) -> None:
    body = {"error": {"code": "x", member: {"request-id": "r-2"}}}
    assert read_refusal(400, {}, json.dumps(body).encode()).request_id == "r-2"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "text"}', b'{"error": null}'])
def test_an_error_without_a_body_is_read_by_its_status(body: bytes) -> None:
    assert isinstance(graph_error(read_refusal(502, {}, body)), CalendarUnavailable)
    assert isinstance(graph_error(read_refusal(403, {}, body)), ConsentMissing)


async def test_being_asked_to_wait_is_counted_and_logged_by_tenant(
    graph: Graph, caplog: pytest.LogCaptureFixture
) -> None:
    graph.respond_with(refused(429, "TooManyRequests"))
    with caplog.at_level("INFO", "mentor_calendar"), pytest.raises(CalendarThrottled):
        await ask(graph.client.app(TenantId(TENANT), USER))
    assert graph.client.throttled.total() == 1
    (line,) = [line for line in caplog.messages if line.startswith("graph.throttled ")]
    assert "tenant_id=tenant operation=" in line
