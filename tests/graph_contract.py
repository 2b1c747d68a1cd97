"""Checks traffic with Graph, real or simulated, against Microsoft's own OpenAPI description.

Description and samples are in `tests/data/graph/`; its README says where they come from.
"""

import copy
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from local.graph.request_log import LoggedRequest

_DATA: Final = Path(__file__).parent / "data" / "graph"

_METHODS: Final = {"get", "post", "patch", "put", "delete"}
# Edm.TimeOfDay ("08:00:00.0000000") has no offset, which the format "time" demands.
_FORMATS: Final = FormatChecker(formats=[f for f in FormatChecker.checkers if f != "time"])
_WEBHOOK: Final = "microsoft.graph.changeNotificationCollection"


class GraphContract:
    """The description, ready to check exchanges."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description
        document = _as_json_schema(copy.deepcopy(description))
        resource = DRAFT202012.create_resource(document)
        self._registry: Registry[Any] = Registry().with_resource("urn:graph", resource)
        self._validators: dict[str, Draft202012Validator] = {}
        self._paths: list[tuple[list[re.Pattern[str]], str]] = [
            (_segments(path), path) for path in description["paths"]
        ]

    def problems(self, entry: LoggedRequest, *, requests: bool = True) -> list[str]:
        """Return the violations of one exchange, as text; an empty list if there are none.

        With *requests* false only the answer is checked, for tests that send invalid requests on
        purpose.
        """
        template = self.template(entry.path)
        method = entry.method.lower()
        where = f"{entry.method} {entry.path}"
        if template is None or method not in self.description["paths"][template]:
            return [f"{where}: no such operation"] if requests else []
        found: list[str] = []
        pointer = f"/paths/{_escaped(template)}/{method}"
        operation = self.description["paths"][template][method]
        if requests:
            found += self._request_problems(operation, pointer, entry)
        found += self._response_problems(operation, pointer, entry)
        return [f"{where}: {problem}" for problem in found]

    def template(self, path: str) -> str | None:
        """Return the path template in the description that matches *path*."""
        wanted = [unquote(part) for part in path.strip("/").split("/")]
        for segments, template in self._paths:
            if len(segments) == len(wanted) and all(
                pattern.fullmatch(part) for pattern, part in zip(segments, wanted, strict=True)
            ):
                return template
        return None

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """Return the description of an operation."""
        template = self.template(path)
        found: dict[str, Any] | None = (
            self.description["paths"][template].get(method.lower()) if template else None
        )
        return found

    def notification_problems(self, body: object) -> list[str]:
        """Return the violations in a body that was sent to a webhook."""
        return list(self._against(f"/components/schemas/{_WEBHOOK}", body, "notification"))

    def schema_problems(self, name: str, body: object) -> list[str]:
        """Return the violations of a named schema in *body*."""
        return list(self._against(f"/components/schemas/{name}", body, name))

    def _request_problems(
        self, operation: dict[str, Any], pointer: str, entry: LoggedRequest
    ) -> Iterator[str]:
        known = {name.casefold() for name in self._query_names(operation)}
        for name in entry.query:
            if name.casefold() not in known:
                yield f"unknown option {name}"
        if "requestBody" in operation:
            place = self._content(operation["requestBody"], f"{pointer}/requestBody")
            if place:
                yield from self._against(place, entry.body or {}, "request")
        elif entry.body:
            yield "takes no body"

    def _response_problems(
        self, operation: dict[str, Any], pointer: str, entry: LoggedRequest
    ) -> Iterator[str]:
        if not entry.status:
            return
        responses = operation["responses"]
        names = (str(entry.status), f"{entry.status // 100}XX", "default")
        name = next((name for name in names if name in responses), None)
        if name is None or (name == "default" and entry.status < 400):
            yield f"status {entry.status} is not described"
            return
        place = self._content(responses[name], f"{pointer}/responses/{name}")
        if place and entry.response is not None:
            yield from self._against(place, entry.response, f"response {entry.status}")
        elif entry.response is not None and not place:
            yield f"status {entry.status} has no body"

    def _content(self, described: dict[str, Any], pointer: str) -> str | None:
        """Return the pointer to the JSON schema of a body."""
        if "$ref" in described:
            pointer = described["$ref"].removeprefix("#")
            described = functools.reduce(
                lambda at, step: at[step], pointer.strip("/").split("/"), self.description
            )
        if "application/json" not in described.get("content", {}):
            return None
        return f"{pointer}/content/application~1json/schema"

    def _query_names(self, operation: dict[str, Any]) -> Iterator[str]:
        for parameter in operation.get("parameters", []):
            described = parameter
            if "$ref" in parameter:
                name = parameter["$ref"].rpartition("/")[2]
                described = self.description["components"]["parameters"][name]
            if described["in"] == "query":
                yield described["name"]

    def _against(self, pointer: str, body: object, what: str) -> Iterator[str]:
        if pointer not in self._validators:
            self._validators[pointer] = Draft202012Validator(
                {"$ref": f"urn:graph#{pointer}"},
                registry=self._registry,
                format_checker=_FORMATS,
            )
        for error in self._validators[pointer].iter_errors(body):
            yield f"{what} {error.json_path}: {error.message[:200]}"


@functools.cache
def graph_contract() -> GraphContract:
    """Return the contract."""
    return GraphContract(json.loads((_DATA / "openapi.json").read_text(encoding="utf-8")))


def graph_sample(name: str) -> Any:
    """Return the exchange *name* as Microsoft prints it: ``request``, ``status``, ``response``."""
    return json.loads((_DATA / "samples" / f"{name}.json").read_text(encoding="utf-8"))


def graph_samples() -> dict[str, Any]:
    """Return every sample by name."""
    names = sorted(path.stem for path in (_DATA / "samples").glob("*.json"))
    return {name: graph_sample(name) for name in names}


def _segments(template: str) -> list[re.Pattern[str]]:
    """Return a pattern per segment: names without case, parameters as anything."""
    return [
        re.compile(
            "".join(
                "[^/]+" if part.startswith("{") else re.escape(part)
                for part in re.split(r"(\{[^}]+\})", segment)
            ),
            re.IGNORECASE,
        )
        for segment in template.strip("/").split("/")
    ]


def _escaped(path: str) -> str:
    escaped = path.replace("~", "~0").replace("/", "~1")
    # It becomes a URI fragment, in which these would mean something else.
    return escaped.replace("{", "%7B").replace("}", "%7D").replace("'", "%27")


def _as_json_schema(node: Any) -> Any:
    """Turn OpenAPI 3.0's ``nullable`` into types and enums that include null."""
    if isinstance(node, list):
        return [_as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    turned = {key: _as_json_schema(value) for key, value in node.items()}
    if turned.get("nullable") is True:
        if isinstance(turned.get("type"), str):
            turned["type"] = [turned["type"], "null"]
        if isinstance(turned.get("enum"), list) and None not in turned["enum"]:
            turned["enum"] = [*turned["enum"], None]
    return turned
