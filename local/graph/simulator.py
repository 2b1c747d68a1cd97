"""The simulated Microsoft Graph as a web application, and as an object for tests."""

import json
import random
import ssl
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDictProxy

from local.graph.auth import TokenKeys, TokenValidator
from local.graph.backend import GraphBackend
from local.graph.batch import answer_batch, lowered
from local.graph.delta import DeltaTokens
from local.graph.errors import ConnectionLost, GraphError, new_request_id
from local.graph.exchange import Exchange
from local.graph.faults import Faults
from local.graph.http import GraphReply, GraphRequest
from local.graph.inbox import Inbox
from local.graph.mail import MailTransport
from local.graph.mailbox import Store
from local.graph.notifications import Notifier
from local.graph.online_meetings import OnlineMeetings
from local.graph.outlook import Outlook
from local.graph.people import People
from local.graph.request_log import LoggedRequest, RequestLog, kept_headers
from local.graph.scheduler import VirtualScheduler
from local.graph.service import Service
from local.graph.subscriptions import Subscriptions
from local.graph.switches import BehaviorFlags
from local.graph.webhooks import Webhooks
from local.world import World

_LARGEST_BODY: Final = 4 * 1024 * 1024
_SETTLED_WITHIN: Final = timedelta(hours=5)  # more than the longest retries


class GraphSimulator:
    """One world's Graph. Times follow the world's clock alone; nothing outlives `close`."""

    def __init__(
        self,
        world: World,
        *,
        token_keys: TokenKeys,
        audiences: Iterable[str] = (),
        granted_roles: Callable[[str], Collection[str]] = lambda _: (),
        on_exchange: Callable[[LoggedRequest], None] | None = None,
        switches: BehaviorFlags | None = None,
        seed: int = 0,
        background: bool = True,
        allow_http: bool = False,
        webhook_trust: ssl.SSLContext | None = None,
    ) -> None:
        """Assemble the parts.

        *token_keys* returns Entra's public keys by key id. *audiences* are accepted besides
        Graph's own name and id, and the address it is reached at. *granted_roles* returns a
        tenant's granted application permissions, for diagnostics. *background*: process due items
        automatically; without it only `run_due`, `settle` and `advance` do. *allow_http*: webhooks
        need no TLS. *webhook_trust*: the authorities trusted for webhooks.
        """
        clock, rng = world.clock, random.Random(seed)
        self.switches = switches or BehaviorFlags()
        scheduler = VirtualScheduler(clock)
        people = People(world)
        store = Store(clock, people)
        post = MailTransport(clock, scheduler, self.switches)
        online = OnlineMeetings(store, scheduler, self.switches, rng)
        exchange = Exchange(clock, store, post, online, self.switches)
        inbox = Inbox(clock, store, exchange, self.switches)
        subscriptions, webhooks = Subscriptions(clock), Webhooks(webhook_trust)
        notifier = Notifier(clock, scheduler, self.switches, subscriptions, webhooks, rng)
        post.deliver_to(inbox.receive)
        store.on_change(notifier.on_change)
        self.backend = GraphBackend(
            world=world,
            people=people,
            clock=clock,
            rng=rng,
            switches=self.switches,
            scheduler=scheduler,
            store=store,
            post=post,
            online=online,
            exchange=exchange,
            authority=TokenValidator(world, token_keys, set(audiences), self.switches),
            faults=Faults(rng),
            recorder=RequestLog(on_exchange),
            subscriptions=subscriptions,
            notifier=notifier,
            webhooks=webhooks,
            delta=DeltaTokens(),
            granted_roles=granted_roles,
            allows_http=allow_http,
        )
        self.faults = self.backend.faults
        self.requests = self.backend.recorder
        self.mail = post.log
        self.tally = notifier.tally
        self.outlook = Outlook(self.backend)
        self._service = Service(self.backend)
        self._background = background

    def app(self) -> web.Application:
        """Return the application of ``/v1.0/…``."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/v1.0/{tail:.*}", self._handle)
        app.on_startup.append(self._start)
        app.on_cleanup.append(self._stop)
        return app

    async def run_due(self) -> None:
        """Do all due acts, deliveries included; return when none is left."""
        await self.backend.scheduler.run_due()

    async def settle(self, within: timedelta = _SETTLED_WITHIN) -> None:
        """Let mail, notifications and retries happen, moving the clock only as far as needed."""
        await self.backend.scheduler.settle(within)

    async def advance(self, by: timedelta) -> None:
        """Let *by* pass, with each act at its own time."""
        await self.backend.scheduler.advance(by)

    async def close(self) -> None:
        """Stop the tasks and close the connections."""
        await self.backend.scheduler.close()
        await self.backend.webhooks.close()

    async def _start(self, _: web.Application) -> None:
        if self._background:
            self.backend.scheduler.start()

    async def _stop(self, _: web.Application) -> None:
        await self.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = await self._call(request)
        is_batch = call.path.strip("/").lower() in {"$batch", "%24batch"}
        try:
            if is_batch and request.method == "POST":
                reply = await self._batch(call)
            else:
                reply = await self._service.answer(call)
        except ConnectionLost:
            return _abort_connection(request)
        return _response(call, reply)

    async def _call(self, request: web.Request) -> GraphRequest:
        root = f"{request.scheme}://{request.host}"
        # The address it is reached at is an audience too, as in national clouds.
        self.backend.authority.audiences.add(root)
        path = request.rel_url.raw_path.removeprefix("/v1.0")
        return GraphRequest(
            method=request.method,
            path=path,
            query=lowered(request.rel_url),
            headers=_joined(request.headers),
            raw_body=await request.read(),
            root=f"{root}/v1.0",
        )

    async def _batch(self, call: GraphRequest) -> GraphReply:
        rule = self.faults.match("POST", "/$batch")
        try:
            if rule and rule.behaviour == "reset":
                raise ConnectionLost
            if rule and rule.behaviour == "status":
                raise rule.error(self.backend.clock.now())
            reply = await answer_batch(self._service, call)
        except GraphError as error:
            client_id = call.headers.get("client-request-id")
            body = error.body(self.backend.clock.now(), new_request_id(), client_id)
            reply = GraphReply(error.status, body, dict(error.headers))
        if rule and rule.behaviour == "lost":
            raise ConnectionLost
        self.requests.add(
            LoggedRequest(
                at=self.backend.clock.now(),
                method="POST",
                path="/$batch",
                operation="$batch",
                query=call.query,
                headers=kept_headers(call.headers),
                body=_parsed(call.raw_body),
                identity=None,
                status=reply.status,
                response=reply.body,
            )
        )
        return reply


def _joined(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    """Return headers by lower-case name; several of one name, such as Prefer, as one list."""
    return {name.lower(): ", ".join(headers.getall(name)) for name in set(headers)}


def _parsed(raw: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def _response(call: GraphRequest, reply: GraphReply) -> web.Response:
    headers = {"request-id": new_request_id(), **reply.headers}
    if call.headers.get("return-client-request-id", "").lower() == "true":
        headers["client-request-id"] = call.headers.get("client-request-id", "")
    if reply.body is None:
        return web.Response(status=reply.status, headers=headers)
    return web.json_response(reply.body, status=reply.status, headers=headers)


def _abort_connection(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response(status=500)  # with no recipient
