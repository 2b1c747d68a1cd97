"""The kept modules of the Graph SDK, on a small copy of its structure."""

from pathlib import Path
from textwrap import dedent

import pytest

from deployment.closure import reachable

SDK = {
    "sdk/__init__.py": "from .client import Client",
    "sdk/client.py": """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from .for_checkers import Checked
        else:
            from .at_run_time import Found
        """,
    "sdk/at_run_time.py": "",
    "sdk/for_checkers.py": "",
    "sdk/models/entity.py": """
        from __future__ import annotations
        class Entity:
            @staticmethod
            def create_from_discriminator_value(node):
                from .user import User
            def get_field_deserializers(self):
                from .user import User
            def serialize(self, writer):
                from .written import Written
        """,
    "sdk/models/user.py": "from .entity import Entity",
    "sdk/models/written.py": "import sdk.models.named",
    "sdk/models/named.py": "",
    "sdk/users/users_builder.py": """
        from sdk.base import BaseRequestBuilder
        class UsersBuilder(BaseRequestBuilder):
            def __init__(self):
                from ..models import entity
            async def get(self):
                from ..models.user import User
            def to_get_request_information(self):
                from .described import Described
            @property
            def events(self):
                from .events_builder import EventsBuilder
        """,
    "sdk/base.py": "",
    "sdk/users/described.py": "",
    "sdk/users/events_builder.py": "",
    "sdk/never_named.py": "",
    "other/__init__.py": "",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, source in SDK.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(source))
    return tmp_path


def kept(site: Path, source: str) -> set[str]:
    file = site / "ours.py"
    file.write_text(dedent(source))
    return {each.as_posix() for each in reachable("sdk", [file], site)}


def test_a_package_brings_its_parents_but_nothing_for_type_checkers(site: Path) -> None:
    assert kept(site, "import sdk") == {
        "sdk/__init__.py",
        "sdk/client.py",
        "sdk/at_run_time.py",
    }


def test_a_model_is_kept_with_its_writer_not_with_its_reader(site: Path) -> None:
    found = kept(site, "def late():\n    from sdk.models.entity import Entity")
    assert {"sdk/models/entity.py", "sdk/models/written.py", "sdk/models/named.py"} <= found
    assert "sdk/models/user.py" not in found


def test_a_builder_is_kept_with_its_requests_not_with_its_children(site: Path) -> None:
    found = kept(site, "from sdk.users import users_builder")
    assert {"sdk/users/users_builder.py", "sdk/users/described.py", "sdk/base.py"} <= found
    assert "sdk/models/entity.py" in found
    assert found.isdisjoint({"sdk/users/events_builder.py", "sdk/models/user.py"})
    assert not any(name.startswith("other") or "never_named" in name for name in found)


def test_imports_inside_functions_are_in_the_closure(site: Path) -> None:
    found = kept(site, "class Any(BaseRequestBuilder):\n  def get(self):\n    import sdk.base")
    assert "sdk/base.py" in found


def test_a_name_that_is_not_there_stops_the_build(site: Path) -> None:
    with pytest.raises(LookupError, match=r"sdk\.gone\.away"):
        kept(site, "import sdk.gone.away")
