"""HTTP: health of this deployment, and the description of its API."""

import json
import platform
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, Literal

import azure.functions as func

from functions._http import (
    Operation,
    authorize_platform,
    http_endpoint,
    json_response,
    path_parameter,
)
from functions._problem_types import ALL, NO_METHOD
from functions._problems import BadRequest
from functions.schemas.service import HealthBody, HealthDetailsBody
from shared.errors import NotFound
from shared.health import check_health, is_all_well
from shared.wiring import wiring

bp = func.Blueprint()

_DOCUMENT: Final = Path(__file__).parent / "openapi.json"
_BUILD: Final = Path(__file__).parents[1] / "build.json"
"""Written into the package when it is built; not among the sources."""


@bp.route("health", methods=["GET", "HEAD"])  # monitors ask by HEAD
@http_endpoint(
    Operation("Whether this deployment works", "public", reply=HealthBody, also_returns=(503,))
)
async def show_health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  # the binding's name
    """Return whether the services that this deployment depends on answer; 503 if one does not."""
    is_well = await wiring().health.is_well()
    return json_response(HealthBody(status=_status(is_well)), status=200 if is_well else 503)


@bp.route("health/details", methods=["GET"])
@http_endpoint(
    Operation(
        "What of this deployment works",
        "platform",
        reply=HealthDetailsBody,
        also_returns=(503,),
    )
)
async def show_health_details(req: func.HttpRequest) -> func.HttpResponse:
    """Check the services that this deployment depends on; 503 if one of them does not answer."""
    await authorize_platform(req)
    checks = await check_health(wiring().dependencies)
    is_well = is_all_well(checks)
    return json_response(
        HealthDetailsBody(
            status=_status(is_well),
            version=_version(),
            python=platform.python_version(),
            package=_package(),
            time=datetime.now(UTC),
            checks=checks,
            poison=await wiring().queues.poisoned() if checks["queues"] == "ok" else {},
        ),
        status=200 if is_well else 503,
    )


@bp.route("openapi.json", methods=["GET"])
@http_endpoint(Operation("This document", "public"))
async def show_openapi(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  # the binding's name
    """Return the OpenAPI 3.1 document, which was generated from the models at build time."""
    return func.HttpResponse(
        _DOCUMENT.read_bytes(),
        mimetype="application/json",
        headers={"cache-control": "max-age=300"},
    )


@bp.route("docs", methods=["GET"])
@http_endpoint(Operation("This document as a page", "public", media_type="text/html"))
async def show_docs(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  # the binding's name
    """Return the OpenAPI document as a page."""
    return _html(_docs())


@bp.route("problems/{name}", methods=["GET"])
@http_endpoint(Operation("What an error means, as a page", "public", media_type="text/html"))
async def show_problem(req: func.HttpRequest) -> func.HttpResponse:
    """Return the page to which the `type` of a problem leads."""
    from functions._docs_page import problem_page

    name = path_parameter(req, "name")
    if (problem := next((each for each in ALL if each.name == name), None)) is None:
        raise NotFound("No problem has this name.")
    return _html(problem_page(problem))


@bp.route("{*path}", methods=["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"])
@http_endpoint(Operation("A path that is none of ours", "public"))
async def zz_show_no_route(req: func.HttpRequest) -> func.HttpResponse:
    """Refuse a request that no other route takes.

    The host tries routes in the order of the functions' names, so this name is the last.
    """
    path = "/" + str(req.route_params.get("path") or "").strip("/").lower()
    methods = [known for pattern, known in _routes() if pattern.fullmatch(path)]
    if methods:
        allow = ", ".join([*methods, *(["HEAD"] if path == "/health" else [])])
        raise BadRequest(NO_METHOD, f"This path takes {allow}.", headers={"Allow": allow})
    raise NotFound("No route has this path.", remedy="Compare it with GET docs or openapi.json.")


def _status(is_well: bool) -> Literal["ok", "degraded"]:  # noqa: FBT001  # the one argument
    return "ok" if is_well else "degraded"


@cache
def _version() -> str:
    """Return the app's version from the document, because pyproject.toml is not deployed."""
    return str(json.loads(_DOCUMENT.read_bytes())["info"]["version"])


@cache
def _package() -> str | None:
    """Return the digest of the package that runs; None if the app runs from its sources."""
    if not _BUILD.exists():
        return None
    return str(json.loads(_BUILD.read_bytes())["package"])


@cache
def _docs() -> str:
    # Imported here: few callers read the page, so a cold start of the webhook does not load it.
    from functions._docs_page import docs_page

    return docs_page(json.loads(_DOCUMENT.read_bytes()))


@cache
def _routes() -> list[tuple[re.Pattern[str], str]]:
    """Return a pattern and the methods of each path of the document."""
    paths = json.loads(_DOCUMENT.read_bytes())["paths"]
    return [
        (
            re.compile("/".join("[^/]+" if "{" in part else part for part in path.split("/"))),
            ", ".join(sorted(method.upper() for method in methods)),
        )
        for path, methods in paths.items()
    ]


def _html(text: str) -> func.HttpResponse:
    from functions._docs_page import CSP

    headers = {"content-security-policy": CSP, "cache-control": "max-age=300"}
    return func.HttpResponse(text, mimetype="text/html", charset="utf-8", headers=headers)
