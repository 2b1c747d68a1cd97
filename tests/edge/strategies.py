"""Requests drawn from an OpenAPI document: some valid, many nearly valid."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from hypothesis import strategies as st

from tests.builders import at

_JUNK_TEXT: Final = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", " ", "\x00", "\ud800", "null", "-1", "9" * 5000, "NaN", "é" * 300, "../..", "{}", "'"]
    ),
)
_JUNK: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _JUNK_TEXT | st.just(10**4000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_JUNK_TEXT, inner, max_size=3),
    max_leaves=6,
)
_MOMENTS: Final = st.one_of(
    st.sampled_from([at(hour, day=day).isoformat() for hour in (8, 10, 17) for day in (0, 1, 2)]),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
)
_HEADERS: Final = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=60)


def _is_id(text: str) -> bool:
    """Whether *text* in a path reaches a function: a null is a 400, and dots are resolved."""
    return text not in {"", ".", ".."} and "\0" not in text


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn request."""

    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    content: bytes


@st.composite
def requests(
    draw: st.DrawFn,
    document: Mapping[str, Any],
    path: str,
    method: str,
    known: Mapping[str, str],
) -> Drawn:
    """Draw a request to an operation. *known*: values of path parameters that exist."""
    operation = document["paths"][path][method]
    made, headers, query = path.strip("/"), dict[str, str](), list[tuple[str, str]]()
    for parameter in operation["parameters"]:
        name, schema = parameter["name"], parameter["schema"]
        if parameter["in"] == "path":
            value = draw(_often(st.just(known.get(name, "none")), _JUNK_TEXT.filter(_is_id)))
            escaped = quote(value, safe="", errors="replace")
            made = made.replace(f"{{{name}}}", escaped)
        elif parameter["in"] == "query":
            for value in draw(_often(_plain(document, schema), st.lists(_JUNK_TEXT, max_size=2))):
                query.append((name, value))
        elif draw(st.booleans()):
            headers[name] = draw(_often(st.sampled_from(["key", "*", '"x"']), _HEADERS))
    if draw(st.integers(0, 9)) == 0:
        query.append((draw(_JUNK_TEXT), draw(_JUNK_TEXT)))
    content = b""
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        headers["content-type"] = draw(
            _often(st.just("application/json"), st.sampled_from(["text/plain", ""]))
        )
        content = draw(_often(_bodies(document, schema), st.binary(max_size=60)))
    return Drawn(made, query, headers, content)


def values(document: Mapping[str, Any], schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of values that *schema* allows, for the supported keywords."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return st.deferred(lambda: values(document, document["components"]["schemas"][name]))
    if "anyOf" in schema:
        return st.one_of([values(document, each) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    match schema.get("type"):
        case "object":
            return _objects(document, schema)
        case "array":
            return st.lists(values(document, schema.get("items", {})), max_size=3)
        case "integer":
            step = schema.get("multipleOf", 1)
            least, most = schema.get("minimum", -5), schema.get("maximum", 500)
            return st.integers(-(-least // step), most // step).map(lambda n: n * step)
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "string" if schema.get("format") == "date-time":
            return _MOMENTS
        case "string":
            return st.one_of(
                st.sampled_from(["Europe/Berlin", "UTC", "a title"]),
                st.text(
                    min_size=schema.get("minLength", 0),
                    max_size=min(schema.get("maxLength", 60), 60),
                ),
            )
    return _JUNK


def _objects(document: Mapping[str, Any], schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return objects with valid, invalid, missing or unknown fields."""
    required = set(schema.get("required", ()))
    fields = {
        name: _often(values(document, each), _JUNK)
        for name, each in schema.get("properties", {}).items()
    }
    known = st.fixed_dictionaries(
        {name: each for name, each in fields.items() if name in required},
        optional={name: each for name, each in fields.items() if name not in required},
    )
    extra = st.dictionaries(_JUNK_TEXT, _JUNK, max_size=2)
    return _often(known, st.builds(lambda one, two: one | two, known, extra))


def _bodies(document: Mapping[str, Any], schema: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    # ASCII with escapes, so that lone surrogates can be written. NaN is written too.
    return _often(values(document, schema), _JUNK).map(lambda value: json.dumps(value).encode())


def _plain(document: Mapping[str, Any], schema: Mapping[str, Any]) -> st.SearchStrategy[list[str]]:
    """Return one value of a query parameter as text, or none."""
    one = values(document, schema).map(
        lambda value: (
            [] if value is None else [value if isinstance(value, str) else json.dumps(value)]
        )
    )
    return one | st.just([])


def _often(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 4).flatmap(lambda n: odd if n == 0 else usual)
