"""The API's document: valid, current, and served."""

import base64
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.edge.api import Api
from tests.endpoints import endpoints
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
    assert sum(len(p) for p in paths.values()) == sum(len(e.methods - {"HEAD"}) for e in ours)


async def test_it_is_served_as_it_is_committed(api: Api) -> None:
    response = await api.call("GET", "openapi.json", who=None)
    assert response.get_body() == COMMITTED.read_bytes()


async def test_people_can_read_it(api: Api) -> None:
    document = OpenApi.committed().document
    response = await api.call("GET", "docs", who=None)
    page = response.get_body().decode()
    anchors = set(re.findall(r'id="([^"]+)"', page))
    linked = set(re.findall(r'href="#([^"]+)"', page))
    assert linked <= anchors
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["operationId"] in linked
            assert f"<code>{method.upper()} /api{path}</code>" in page
    assert set(document["components"]["schemas"]) <= anchors
    outside = set(re.findall(r'(?:href|src)="([^"#][^"]*)"', page))
    assert (outside, "<script" in page) == ({"openapi.json"}, False)


async def test_the_pages_style_is_what_its_policy_allows(api: Api) -> None:
    response = await api.call("GET", "docs", who=None)
    (style,) = re.findall(r"<style>(.*?)</style>", response.get_body().decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in response.headers["content-security-policy"]


def test_a_reply_without_a_body_has_no_media_type() -> None:
    for path, methods in OpenApi.committed().document["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                has_body = status not in {"204", "302", "304"}
                assert ("content" in response) is has_body, (path, method)


@pytest.mark.parametrize("named", ["", "x", "/", "a/", "é/b", "a/b", "x" * 65])
def test_the_documented_form_of_acting_participant_is_the_checked_one(named: str) -> None:
    (header,) = [
        parameter
        for parameter in OpenApi.committed().operation("GET", "me")["parameters"]
        if parameter["name"] == "Acting-Participant"
    ]
    form = header["schema"]["pattern"]
    object_id = "0f0f0f0f-0000-4000-8000-00000000000A"
    assert re.search(form, f"{'x' * 64}/{object_id}")
    assert not re.search(form, named)
    assert not re.search(form, f"{named}/{object_id}/")


def test_every_operation_lists_its_problems() -> None:
    for path, methods in OpenApi.committed().document["paths"].items():
        for method, operation in methods.items():
            statuses = set(operation["responses"])
            assert "500" in statuses, (path, method)
            if operation["security"]:
                assert {"401", "403", "503"} <= statuses, (path, method)
            if "requestBody" in operation:
                assert {"400", "411", "413", "415", "422"} <= statuses, (path, method)
            if any(p["in"] == "query" for p in operation["parameters"]):
                assert "422" in statuses, (path, method)
