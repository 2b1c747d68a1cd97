"""Renders `openapi.json`, and a problem's type, as pages for people, without a script.

The usual viewers are a megabyte of JavaScript, loaded from another host or added to the package.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from functions._problem_types import ProblemType

_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1b1b;background:#fff}"
    "a{color:#1b4f9c}h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.5rem}"
    "h3{font-size:1rem;margin:2rem 0 .3rem}h4{font-size:.9rem;margin:1rem 0 .2rem}"
    "code{font:.9rem ui-monospace,monospace;overflow-wrap:anywhere}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}"
    "td,th{border-top:1px solid #8884;padding:.3rem .6rem .3rem 0;vertical-align:top;"
    "text-align:left}td:first-child,th:first-child{width:14rem}"
    "nav ul,section ul{list-style:none;padding:0}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1b1b}a{color:#8ab4f8}}"
    "@media(max-width:40rem){td:first-child,th:first-child{width:auto}}"
)
CSP: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "style-src 'sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode() + "'"
)
_CALLERS: Final = {
    "participant": "For participants",
    "platform": "For the platform",
    "": "Public",
}
_BOUNDS: Final = {
    "format": "{}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "like {}",
}


def docs_page(document: Mapping[str, Any]) -> str:
    """Return the page of *document*, an OpenAPI 3.1 document of our generator."""
    info = document["info"]
    prefix = document["servers"][0]["url"]
    groups = {
        title: [each for each in _operations(document) if _caller(each[2]) == caller]
        for caller, title in _CALLERS.items()
    }
    schemas = document["components"]["schemas"]
    parts = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info['summary'])}.</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
        *(f"<p>{_text(each)}</p>" for each in info["description"].split("\n\n")),
        *(_way_in(name, one) for name, one in document["components"]["securitySchemes"].items()),
        "<nav>",
        *(_contents(title, operations) for title, operations in groups.items()),
        "</nav>",
        *(_group(title, operations, prefix) for title, operations in groups.items()),
        "<h2>Models</h2>",
        *(_model(name, schema) for name, schema in schemas.items()),
    ]
    return _page(f"{info['title']}: API", parts)


def problem_page(problem: ProblemType) -> str:
    """Return the page to which the `type` of *problem* leads."""
    rows = [
        ("Status", str(problem.status)),
        ("When", _text(problem.when)),
        ("What to do", _text(problem.action)),
    ]
    parts = [
        f"<h1>{escape(problem.title)}</h1>",
        f"<p>An error of this API, with the <code>type</code> <code>{problem.type}</code>.</p>",
        _table(("", ""), rows),
        '<p>All routes and their errors: <a href="../docs">the API as a page</a>.</p>',
    ]
    return _page(problem.title, parts)


def _page(title: str, parts: Iterable[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _operations(document: Mapping[str, Any]) -> Iterable[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _caller(operation: Mapping[str, Any]) -> str:
    """Return the first caller of an operation; the platform may call a participant's routes too."""
    return next((name for each in operation["security"] for name in each), "")


def _way_in(name: str, scheme: Mapping[str, Any]) -> str:
    return f"<p><b>{escape(name.capitalize())}</b>: {_text(scheme['description'])}</p>"


def _contents(title: str, operations: Iterable[tuple[str, str, dict[str, Any]]]) -> str:
    rows = "".join(
        f'<li><a href="#{escape(each["operationId"])}">{escape(each["summary"])}</a> '
        f"<code>{method} {escape(path)}</code></li>"
        for method, path, each in operations
    )
    return f"<h2>{escape(title)}</h2><ul>{rows}</ul>"


def _group(title: str, operations: Iterable[tuple[str, str, dict[str, Any]]], prefix: str) -> str:
    sections = (_operation(m, prefix + path, each) for m, path, each in operations)
    return f"<h2>{escape(title)}</h2>" + "".join(sections)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f'<section><h3 id="{escape(operation["operationId"])}">{escape(operation["summary"])}</h3>',
        f"<p><code>{method} {escape(path)}</code></p>",
    ]
    if "description" in operation:
        parts.append(f"<p>{_text(operation['description'])}</p>")
    if operation["parameters"]:
        rows = (
            (
                _name(one["name"], required=one["required"]),
                f"{escape(one['in'])}, {_field_text(one)}",
            )
            for one in operation["parameters"]
        )
        parts.append(_table(("Parameter", "What"), rows))
    if "requestBody" in operation:
        parts.append(f"<h4>Body</h4><p>{_content(operation['requestBody']['content'])}</p>")
    answers = (
        (f"<code>{escape(status)}</code>", f"{_text(one['description'])}<br>{_content(one)}")
        for status, one in sorted(operation["responses"].items())
    )
    parts += [_table(("Answer", "What"), answers), "</section>"]
    return "".join(parts)


def _content(answer: Mapping[str, Any]) -> str:
    content = answer.get("content", answer)
    shown = (
        f"<code>{escape(media)}</code>" + (f": {_kind(one['schema'])}" if one["schema"] else "")
        for media, one in content.items()
        if isinstance(one, Mapping) and "schema" in one
    )
    return ", ".join(shown)


def _model(name: str, schema: Mapping[str, Any]) -> str:
    parts = [f'<section><h3 id="{escape(name)}">{escape(name)}</h3>']
    if "description" in schema:
        parts.append(f"<p>{_text(schema['description'])}</p>")
    if "properties" not in schema:
        return "".join([*parts, f"<p>{_kind(schema)}</p></section>"])
    required = schema.get("required", [])
    rows = (
        (_name(field, required=field in required), _field_text(one))
        for field, one in schema["properties"].items()
    )
    return "".join([*parts, _table(("Field", "What"), rows), "</section>"])


def _kind(schema: Mapping[str, Any]) -> str:
    """Describe the type and bounds of a value; a named schema becomes a link."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"<code>{escape(str(each))}</code>" for each in values)
    kind = escape(str(schema.get("type", "anything")))
    if "items" in schema:
        kind = f"list of {_kind(schema['items'])}"
    elif isinstance(schema.get("additionalProperties"), Mapping):
        kind = f"object with values: {_kind(schema['additionalProperties'])}"
    bounds = (escape(text.format(schema[key])) for key, text in _BOUNDS.items() if key in schema)
    return ", ".join([kind, *bounds])


def _field_text(one: Mapping[str, Any]) -> str:
    """Describe a parameter or field: its type, its default, its description."""
    schema = one.get("schema", one)
    default, kind = schema.get("default"), _kind(schema)
    if default not in (None, ""):
        kind += f", default <code>{escape(str(default).lower())}</code>"
    return f"{kind}. {_text(one.get('description', ''))}"


def _name(name: str, *, required: bool) -> str:
    return f"<code>{escape(name)}</code>" + (", required" if required else "")


def _table(heads: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join(f"<tr><td>{first}</td><td>{second}</td></tr>" for first, second in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(text: str) -> str:
    """Return *text* as HTML; text between backticks becomes code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(pieces))
