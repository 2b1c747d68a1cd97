"""Generates the OpenAPI 3.1 document from the functions' routes and models at build time.

``python -m functions._openapi`` prints it; ``make openapi`` writes it; CI checks that it is
current.
"""

import ast
import inspect
import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

import azure.functions as func
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from functions._http import ACTING, MAX_BODY_BYTES, Operation
from functions.schemas.service import ProblemBody

_SCHEMAS: Final = "#/components/schemas/"
_ERRORS: Final = {
    "400": "The body is not JSON.",
    "401": "There is no valid token, or Entra demands another sign-in: see `WWW-Authenticate`.",
    "403": "The caller may not do this, or an approval is missing.",
    "404": "There is no such thing for this caller.",
    "409": "The state does not allow it; a slot that is not free comes with alternatives.",
    "411": "The body came in chunks, without a `Content-Length`: Azure hands over none of it.",
    "412": "It changed since it was read.",
    "413": f"The body has more than {MAX_BODY_BYTES} bytes.",
    "415": "The body is not `application/json`.",
    "422": "Fields are wrong: `errors` names each.",
    "429": "A limit is reached; `detail` says which. Go on after `Retry-After`.",
    "500": "An error of ours.",
    "502": "Outlook refused.",
    "503": "Try again after `Retry-After`.",
}
_RULES: Final = (
    "Instants are RFC 3339: requests may have any offset, replies have `Z`. Errors are RFC 9457"
    " problems: `type` is stable, `detail` is for people, `remedy` names who can do what about it,"
    " `trace_id` finds it in our logs. A slot that is not free comes with `alternatives`.\n\n"
    "Lists come in pages: pass `next` as `cursor` until there is none. A resource that can change"
    " has an `ETag`: with `If-None-Match` an unchanged one is answered with 304, with `If-Match` a"
    " changed one is not overwritten. A request with an `Idempotency-Key` can be retried after any"
    " failure: it takes effect once."
)
_HEADERS: Final = {
    "Idempotency-Key": "Chosen by the caller, a new one for each booking. A retry with the same key"
    " books once and gets the same reply.",
    "If-Match": "The `ETag` that was read. A resource that changed since is not overwritten.",
    "If-None-Match": "The `ETag` that the caller has already.",
    "Acting-Participant": "`{organization id}/{object id}` of the participant for whom the platform"
    " acts: with its own token, in application mode only.",
}
_REQUIRED: Final = {"Idempotency-Key", "If-Match"}
_FORMS: Final = {
    "Idempotency-Key": {"pattern": "^[!-~]{1,128}$"},
    "Acting-Participant": {"pattern": f"^{ACTING}$"},
}
_NO_CONTENT: Final = 204
_CALLERS: Final[dict[str, list[dict[str, list[str]]]]] = {
    "participant": [{"participant": []}, {"platform": []}],
    "platform": [{"platform": []}],
    "public": [],
}
_SECURITY_SCHEMES: Final = {
    "participant": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Entra v2.0 token with the delegated scope `access_as_user`.",
    },
    "platform": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Entra v2.0 app token with the app role `Platform.Manage`; on a"
        " participant's route, with `Acting-Participant`, in application mode only.",
    },
}


def document(app: func.FunctionApp, version: str) -> dict[str, Any]:
    """Return the document of the functions of *app* that have an `Operation`."""
    operations = list(_operations(app))
    models = {m for _, _, _, op in operations for m in (op.reply, op.body, op.query) if m} | {
        ProblemBody
    }
    ordered = sorted(models, key=lambda m: m.__name__)
    _, definitions = models_json_schema(
        [(m, "serialization" if _is_reply(m, operations) else "validation") for m in ordered],
        ref_template=_SCHEMAS + "{model}",
    )
    for model in {*ordered, *_within(ordered)}:
        _describe(model, definitions["$defs"].get(model.__name__, {}))
    paths: dict[str, dict[str, Any]] = {}
    for path, method, name, operation in operations:
        schema = definitions["$defs"][operation.query.__name__] if operation.query else None
        paths.setdefault(path, {})[method] = _operation(path, name, operation, schema)
    queries = {op.query.__name__ for _, _, _, op in operations if op.query}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mentor Calendar",
            "version": version,
            "summary": "Office 365 calendars for mentoring platforms",
            "description": _RULES,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/api"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {
                name: schema
                for name, schema in sorted(definitions["$defs"].items())
                if name not in queries
            },
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _within(models: Iterable[type[BaseModel]]) -> set[type[BaseModel]]:
    """Return all models in the modules of *models*, with those nested in other models."""
    modules = {sys.modules[model.__module__] for model in models}
    return {
        found
        for module in modules
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, BaseModel)
    }


def _describe(model: type[BaseModel], schema: dict[str, Any]) -> None:
    """Copy the docstring below each field of *model* into *schema*.

    Pydantic's own setting for this would read the source files at every start of a worker.
    """
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    if not isinstance(tree, ast.ClassDef):
        return
    for field, text in pairwise(tree.body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if (known := model.model_fields.get(field.target.id)) is None:
            continue
        name = known.alias or field.target.id
        is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if is_text and name in schema.get("properties", {}):
            docstring = ast.literal_eval(cast("ast.Expr", text).value)
            schema["properties"][name]["description"] = inspect.cleandoc(str(docstring))


def render(app: func.FunctionApp, version: str) -> str:
    """Return the document as the text of the committed file."""
    return json.dumps(document(app, version), indent=1, sort_keys=False, ensure_ascii=False) + "\n"


def _operations(app: func.FunctionApp) -> Iterable[tuple[str, str, str, Operation]]:
    for function in app.get_functions():
        operation: Operation | None = getattr(function.get_user_function(), "operation", None)
        trigger = function.get_trigger()
        if operation is None or trigger is None:
            continue
        binding = trigger.get_dict_repr()
        if "{*" in binding["route"]:
            continue  # OpenAPI has no path that takes every other
        for method in binding["methods"]:
            if str(getattr(method, "value", method)) == "HEAD":
                continue  # a GET without its body needs no description of its own
            path = "/" + re.sub(r"{(\w+)[^}]*}", r"{\1}", binding["route"])
            yield (
                path,
                str(getattr(method, "value", method)).lower(),
                str(function.get_function_name()),
                operation,
            )


def _is_reply(model: type[BaseModel], operations: list[tuple[str, str, str, Operation]]) -> bool:
    return model is ProblemBody or any(op.reply is model for _, _, _, op in operations)


def _operation(
    path: str, name: str, operation: Operation, query: dict[str, Any] | None
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": name,
        "summary": operation.summary,
        "security": _CALLERS[operation.caller],
        "parameters": [*_path_parameters(path), *_headers(operation), *_query(query)],
        "responses": _responses(path, operation),
    }
    if operation.body:
        described["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": _SCHEMAS + operation.body.__name__}}
            },
        }
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _headers(operation: Operation) -> list[dict[str, Any]]:
    names = {
        "Idempotency-Key": operation.requires_idempotency_key,
        "If-Match": operation.requires_if_match,
        "If-None-Match": operation.supports_conditional_get,
        "Acting-Participant": operation.caller == "participant",
    }
    return [
        {
            "name": name,
            "in": "header",
            "required": name in _REQUIRED,
            "description": _HEADERS[name],
            "schema": {"type": "string", **_FORMS.get(name, {})},
        }
        for name, is_taken in names.items()
        if is_taken
    ]


def _query(schema: dict[str, Any] | None) -> list[dict[str, Any]]:
    if schema is None:
        return []
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            **({"description": described.pop("description")} if "description" in described else {}),
            "schema": described,
        }
        for name, described in ((n, dict(s)) for n, s in schema["properties"].items())
    ]


def _responses(path: str, operation: Operation) -> dict[str, Any]:
    ok: dict[str, Any] = {"description": operation.summary}
    if operation.status != _NO_CONTENT:
        shape = {"$ref": _SCHEMAS + operation.reply.__name__} if operation.reply else {}
        ok["content"] = {operation.media_type: {"schema": shape}}
    responses = {str(operation.status): ok}
    if operation.supports_conditional_get:
        responses["304"] = {"description": "The caller has this version already."}
    if operation.redirects:
        responses["302"] = {"description": "The next step, in `Location`."}
    statuses = {500, *operation.problems}
    if operation.query:
        statuses.add(422)
    if operation.caller != "public":
        statuses |= {401, 403, 503}
    if "{" in path:
        statuses.add(404)
    if operation.caller == "participant":
        statuses |= {404, 422}  # an unknown or malformed Acting-Participant
    problem = {"application/problem+json": {"schema": {"$ref": _SCHEMAS + "ProblemBody"}}}
    for status in sorted(str(s) for s in statuses if str(s) not in responses):
        # An operation that replies with a page shows its errors on a page as well.
        is_page = operation.media_type == "text/html" and int(status) in operation.problems
        content = ok["content"] if is_page else problem
        responses[status] = {"description": _ERRORS[status], "content": content}
    for status in map(str, operation.also_returns):
        response = responses.get(status, {"description": _ERRORS[status], "content": problem})
        responses[status] = response | {"content": response["content"] | ok["content"]}
    return responses


def project_version() -> str:
    """Return the version in pyproject.toml, the only place that states it."""
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


if __name__ == "__main__":
    from function_app import app

    sys.stdout.write(render(app, project_version()))
