"""The parts of the simulated Graph, for the handlers."""

import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from yarl import URL

from local.clock import CloudClock
from local.graph.auth import TokenValidator
from local.graph.delta import DeltaTokens
from local.graph.errors import Json
from local.graph.exchange import Exchange
from local.graph.faults import Faults
from local.graph.http import GraphReply, GraphRequest
from local.graph.mail import MailTransport
from local.graph.mailbox import Store
from local.graph.notifications import Notifier
from local.graph.online_meetings import OnlineMeetings
from local.graph.people import People
from local.graph.request_log import RequestLog
from local.graph.scheduler import VirtualScheduler
from local.graph.subscriptions import Subscriptions
from local.graph.switches import BehaviorFlags
from local.graph.webhooks import Webhooks
from local.world import World


@dataclass(slots=True)
class GraphBackend:
    """The parts, by name."""

    world: World
    people: People
    clock: CloudClock
    rng: random.Random
    switches: BehaviorFlags
    scheduler: VirtualScheduler
    store: Store
    post: MailTransport
    online: OnlineMeetings
    exchange: Exchange
    authority: TokenValidator
    faults: Faults
    recorder: RequestLog
    subscriptions: Subscriptions
    notifier: Notifier
    webhooks: Webhooks
    delta: DeltaTokens
    granted_roles: Callable[[str], Collection[str]]
    """The application permissions that an admin granted in a tenant, for diagnostics calls."""
    allows_http: bool
    """Whether webhooks may be http: tests only."""


Handler = Callable[[GraphBackend, GraphRequest], Awaitable[GraphReply]]


def page_of(
    items: list[Json], call: GraphRequest, *, skip: int, size: int, more: bool, context: str
) -> GraphReply:
    """Return one page, with the link to the next if there is *more*."""
    body: Json = {"@odata.context": f"{call.root}/$metadata#{context}", "value": items}
    if more:
        body["@odata.nextLink"] = link_to(call, {"$skip": str(skip + size)})
    return GraphReply(200, body)


def link_to(call: GraphRequest, changes: dict[str, str]) -> str:
    """Return the address of this call with other options."""
    query = {**call.query, **changes}
    return str(URL(f"{call.root}{call.path}", encoded=True).with_query(query))
