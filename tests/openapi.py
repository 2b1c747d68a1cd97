"""The committed OpenAPI document, ready to check replies."""

import functools
import json
import re
from pathlib import Path
from typing import Any, Final, Self

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

COMMITTED: Final = Path(__file__).parents[1] / "functions" / "openapi.json"
_BODILESS: Final = {204, 302, 304}


class OpenApi:
    """A document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        resource = DRAFT202012.create_resource(document)
        self._registry: Registry[Any] = Registry().with_resource("urn:ours", resource)
        self._validators: dict[str, Draft202012Validator] = {}

    @classmethod
    @functools.cache
    def committed(cls) -> Self:
        """Return the committed document, which the app serves."""
        return cls(json.loads(COMMITTED.read_text()))

    def operation(self, method: str, template: str) -> dict[str, Any]:
        """Return an operation by its route, which starts without a slash. KeyError if absent."""
        path = "/" + re.sub(r"{(\w+)[^}]*}", r"{\1}", template)
        described = "get" if method == "HEAD" else method.lower()
        found: dict[str, Any] = self.document["paths"][path][described]
        return found

    def check(self, method: str, template: str, status: int, media: str, body: bytes) -> None:
        """Raise AssertionError unless the document allows this status, media type and body."""
        where = f"{method} {template}: {status}"
        responses = self.operation(method, template)["responses"]
        assert str(status) in responses, f"{where} is not documented: {body[:200]!r}"
        if status in _BODILESS:
            assert not body, where
            return
        content = responses[str(status)]["content"]
        assert media in content, f"{where} is {media}, not {list(content)}"
        if media.endswith("json"):
            errors = list(self._validator(content[media]["schema"]).iter_errors(json.loads(body)))
            assert not errors, f"{where}: {errors[0].json_path}: {errors[0].message}"

    def validator(self, schema_name: str) -> Draft202012Validator:
        """Return a validator of one of the document's schemas."""
        return self._validator({"$ref": f"#/components/schemas/{schema_name}"})

    def _validator(self, schema: dict[str, Any]) -> Draft202012Validator:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            rooted = json.loads(key.replace('"#/', '"urn:ours#/'))
            self._validators[key] = Draft202012Validator(
                rooted, registry=self._registry, format_checker=FormatChecker()
            )
        return self._validators[key]
