"""The document of our API: valid, current, and what is served."""

import subprocess
import sys
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.edge.api import Api, endpoints
from tests.openapi import COMMITTED, OpenApi


def test_the_committed_document_is_valid() -> None:
    assert list(OpenAPIV31SpecValidator(OpenApi.committed().document).iter_errors()) == []


def test_the_committed_document_is_current() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "functions._openapi"],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert made.stdout == COMMITTED.read_bytes(), "Run: make openapi"


def test_every_function_of_ours_is_in_it() -> None:
    paths = OpenApi.committed().document["paths"]
    for endpoint in endpoints():
        if endpoint.operation is not None:
            for method in endpoint.methods:
                assert OpenApi.committed().operation(method, endpoint.template.text)
    ours = [e for e in endpoints() if e.operation is not None]
    assert sum(len(p) for p in paths.values()) == sum(len(e.methods) for e in ours)


async def test_it_is_served_as_it_is_committed(api: Api) -> None:
    response = await api.call("GET", "openapi.json", who=None)
    assert response.get_body() == COMMITTED.read_bytes()


def test_every_operation_says_what_may_go_wrong() -> None:
    for path, methods in OpenApi.committed().document["paths"].items():
        for method, operation in methods.items():
            statuses = set(operation["responses"])
            assert "500" in statuses, (path, method)
            if operation["security"]:
                assert {"401", "403", "503"} <= statuses, (path, method)
            if "requestBody" in operation:
                assert {"400", "413", "415", "422"} <= statuses, (path, method)
            if any(p["in"] == "query" for p in operation["parameters"]):
                assert "422" in statuses, (path, method)
