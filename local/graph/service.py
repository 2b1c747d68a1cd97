"""From a request to its reply: faults, identity, route, permission, throttling, recording.

Source: https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits
"""

import asyncio
from collections import Counter

from local.graph.backend import GraphBackend
from local.graph.errors import (
    ConnectionLost,
    GraphError,
    bad_request,
    invalid_user,
    mailbox_not_enabled,
    new_request_id,
)
from local.graph.faults import FaultRule, retry_after_header
from local.graph.http import GraphReply, GraphRequest, segments_of
from local.graph.listings import take_page_number, with_end
from local.graph.request_log import LoggedRequest, kept_headers
from local.graph.routes import Match, knows, match
from local.world import MailboxKind, Person

_REST_MAILBOXES = {MailboxKind.ONLINE, MailboxKind.SHARED}


class Service:
    """Answers single requests; `batch` builds on it."""

    def __init__(self, backend: GraphBackend) -> None:
        self._site = backend
        self._running: Counter[tuple[str, str]] = Counter()

    async def answer(self, call: GraphRequest) -> GraphReply:
        """Return the reply, errors included, and log the exchange.

        Raises:
            ConnectionLost: if a fault breaks the connection.
        """
        operation = ""
        try:
            rule = self._site.faults.match(call.method, call.path)
            await self._before(rule)
            call.identity = self._site.authority.identify(call.headers.get("authorization"))
            found = self._match(call)
            operation = found.route.pattern
            pause = rule.delay_seconds if rule else 0
            number = take_page_number(call)
            reply = await self._serve(call, found, pause)
            reply = with_end(call, reply, number, self._site.switches.listings)
            _abort_connection(rule)
            if rule:
                reply.body = rule.spoiled(reply.body)
        except GraphError as error:
            reply = self._refuse(call, error)
        except ConnectionLost:
            if not operation:
                operation = self._operation(call)
            self._record(call, operation, GraphReply(0))
            raise
        self._record(call, operation or self._operation(call), reply)
        return reply

    async def _before(self, rule: FaultRule | None) -> None:
        if rule is None or rule.behaviour in {"delay", "lost", "spoil"}:
            return
        await asyncio.sleep(rule.delay_seconds)
        if rule.behaviour == "reset":
            raise ConnectionLost
        raise rule.error(self._site.clock.now())

    def _match(self, call: GraphRequest) -> Match:
        segments = segments_of(call.path)
        found = match(call.method, segments)
        if found:
            return found
        if knows(segments):
            raise GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed.")
        raise bad_request(f"Resource not found for the segment '{segments[-1]}'.")

    def _operation(self, call: GraphRequest) -> str:
        found = match(call.method, segments_of(call.path))
        return found.route.pattern if found else ""

    async def _serve(self, call: GraphRequest, found: Match, pause: float) -> GraphReply:
        backend, caller = self._site, call.caller
        call.parameters = found.parameters
        if found.user is None:
            if not found.route.by_handler:
                backend.authority.require(caller, found.route.need, None)
            await asyncio.sleep(pause)
            return await found.route.handler(backend, call)
        person = self._person(call, found.user)
        backend.authority.require(caller, found.route.need, person)
        if person.kind not in _REST_MAILBOXES:
            raise mailbox_not_enabled()
        call.mailbox = backend.store.mailbox(person)
        async with _Turn(backend, self._running, (caller.app_id, person.object_id)):
            # Yield to the loop even without a pause, so that other requests run as well.
            await asyncio.sleep(pause)
            reply = await found.route.handler(backend, call)
        applied = call.preferences_applied()
        if applied and reply.body is not None:
            reply.headers["Preference-Applied"] = applied
        return reply

    def _person(self, call: GraphRequest, user: str) -> Person:
        caller = call.caller
        if user == "me" and caller.user_id is None:
            raise bad_request("/me request is only valid with delegated authentication flow.")
        wanted = str(caller.user_id) if user == "me" else user
        person = self._site.people.find(caller.tenant_id, wanted)
        if person is None:
            raise invalid_user(wanted)
        by_name = wanted.casefold() == person.address.casefold()
        is_shared = person.kind is MailboxKind.SHARED
        if by_name and is_shared and self._site.switches.shared_mailboxes_stale_by_name:
            raise GraphError(503, "MailboxInfoStale", "Mailbox info is stale.")
        return person

    def _refuse(self, call: GraphRequest, error: GraphError) -> GraphReply:
        request_id = new_request_id()
        client_id = call.headers.get("client-request-id")
        body = error.body(self._site.clock.now(), request_id, client_id)
        return GraphReply(error.status, body, {"request-id": request_id, **error.headers})

    def _record(self, call: GraphRequest, operation: str, reply: GraphReply) -> None:
        body: object = None
        if call.raw_body:
            try:
                body = call.json()
            except GraphError:
                body = call.raw_body.decode(errors="replace")
        self._site.recorder.add(
            LoggedRequest(
                at=self._site.clock.now(),
                method=call.method,
                path=call.path,
                operation=operation,
                query=dict(call.query),
                headers=kept_headers(call.headers),
                body=body,
                identity=call.identity,
                status=reply.status,
                response=reply.body,
                in_batch=call.in_batch,
                response_headers=dict(reply.headers),
            )
        )


def _abort_connection(rule: FaultRule | None) -> None:
    """Drop the answer after the effect: ConnectionLost, if the rule has that behaviour."""
    if rule and rule.behaviour == "lost":
        raise ConnectionLost


class _Turn:
    """One of the few requests that may run at once for an app and a mailbox."""

    def __init__(
        self, backend: GraphBackend, running: Counter[tuple[str, str]], who: tuple[str, str]
    ) -> None:
        self._site = backend
        self._running = running
        self._who = who

    async def __aenter__(self) -> None:
        if self._running[self._who] >= self._site.switches.concurrency:
            raise GraphError(
                429,
                "ApplicationThrottled",
                "Application is over its MailboxConcurrency limit.",
                headers=retry_after_header(self._site.switches.retry_after, self._site.clock.now()),
            )
        self._running[self._who] += 1

    async def __aexit__(self, *_: object) -> None:
        self._running[self._who] -= 1
        if not self._running[self._who]:
            del self._running[self._who]
