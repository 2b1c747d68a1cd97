"""The requests that the documents show, compared with the routes of those who answer them."""

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from local.entra.application import entra_application
from local.entra.simulator import EntraSimulator
from local.graph.application import graph_application
from local.graph.simulator import GraphSimulator
from local.seed import seeded_world
from tests.docs.commands import PRINTED, ROOT
from tests.graph_contract import graph_contract
from tests.openapi import OpenApi

_CURL: Final[Mapping[str, int]] = {
    **dict.fromkeys(("-s", "-si", "-i", "--silent", "--fail"), 0),
    **dict.fromkeys(("-X", "-H", "-d", "-o", "-w", "--cacert", "--data", "--data-urlencode"), 1),
}
"""Options of curl, and how many values each has. Source: https://curl.se/docs/manpage.html"""


class UnknownOption(Exception):
    """An option of curl that is not in the list; the message is its name."""


@dataclass(frozen=True, slots=True)
class Request:
    """What curl is told to send."""

    method: str
    url: str
    body: Any = None
    """Of JSON, if there is one."""


def request_of(words: Sequence[str]) -> Request:
    """Return the request of a call of curl. Raises UnknownOption."""
    given: dict[str, list[str]] = {}
    left = list(words[1:])
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            given.setdefault("URL", []).append(word)
        elif word in _CURL:
            given.setdefault(word, []).extend(left.pop(0) for _ in range(_CURL[word]))
        else:
            raise UnknownOption(word)
    (url,) = given["URL"]
    body = next(iter(given.get("-d", [])), None)
    method = next(iter(given.get("-X", [])), "POST" if body or "--data" in given else "GET")
    return Request(method, url, None if body is None else json.loads(body))


def complaints_of(request: Request) -> Iterator[str]:
    """Yield what is wrong with *request*."""
    method, parts = request.method, urlsplit(request.url)
    if parts.path.startswith("/api/graph/"):  # Graph's, so not in the document for callers
        source = (ROOT / "functions" / "notifications.py").read_text()
        if f'@bp.route("{parts.path[5:]}", methods=["{method}"])' not in source:
            yield f"no route {method} {parts.path}"
    elif parts.path.startswith("/api/"):
        yield from _ours(method, parts.path[4:], parts.query, request.body)
    elif parts.hostname == "graph.microsoft.com":
        contract = graph_contract()
        template = contract.template(parts.path.removeprefix("/v1.0"))
        if template is None or method.lower() not in contract.description["paths"][template]:
            yield f"no operation {method} {parts.path} of Graph"
    elif not any(m == method and _fits(route, parts.path) for m, route in _routes(entra())):
        yield f"no route {method} {parts.path} of Entra"


def _ours(method: str, path: str, query: str, body: Any) -> Iterator[str]:
    document = OpenApi.committed().document
    for template, operations in document["paths"].items():
        if _fits(template, path) and method.lower() in operations:
            operation = operations[method.lower()]
            break
    else:
        yield f"no route {method} {path}"
        return
    known = {each["name"] for each in operation["parameters"] if each["in"] == "query"}
    for name, _ in parse_qsl(query):
        if name not in known and name != PRINTED:
            yield f"no parameter {name}"
    if body is not None:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        name = schema["$ref"].rpartition("/")[2]
        known = set(document["components"]["schemas"][name]["properties"])
        yield from (f"no field {field}" for field in sorted(set(body) - known))


def _fits(template: str, path: str) -> bool:
    return bool(re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path))


def entra() -> web.Application:
    """Return a simulated Entra with its control API."""
    return entra_application(EntraSimulator(seeded_world(), root_url="https://localhost"))


def _routes(app: web.Application) -> list[tuple[str, str]]:
    return [
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource and route.method not in {"*", "OPTIONS"}
    ]


@functools.cache
def _all_routes() -> frozenset[tuple[str, str]]:
    """Return method and template of all: the API's, Graph's, and those of control APIs."""
    graph = GraphSimulator(seeded_world(), token_keys=dict)
    described = {"": OpenApi.committed().document, "/v1.0": graph_contract().description}
    return frozenset(
        (method, re.sub(r"\{[^}]+\}", "{}", path))
        for method, path in (
            *_routes(entra()),
            *_routes(graph_application(graph)),
            *(
                (method.upper(), f"{root}{path}")
                for root, document in described.items()
                for path, operations in document["paths"].items()
                for method in operations
            ),
        )
    )


def is_route(method: str, path: str) -> bool:
    """Return whether a sentence that says `METHOD path` names a route; `…/` begins its end."""
    wanted = re.sub(r"\{[^}]+\}", "{}", urlsplit(path).path.removeprefix("/api/"))
    ends = wanted.startswith("…/")
    wanted = "/" + wanted.removeprefix("…").lstrip("/")
    wanted = re.sub(r"(?<=/)[A-Z_]{2,}(?=/|$)", "{}", wanted)  # the reader's own value
    method = "GET" if method == "HEAD" else method
    return any(
        each == method
        and (route in {wanted, f"/v1.0{wanted}"} or (ends and route.endswith(wanted)))
        for each, route in _all_routes()
    )
