import pytest

from local.host.templates import RouteTemplate
from local.host.urls import encoded_path, query_values, split_path


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("api/sessions/mine", "/api/Sessions/MINE/", {}),
        ("api/sessions/{id}", "/api/sessions/7", {"id": "7"}),
        ("api/sessions/{id}", "/api/sessions", None),
        ("api/sessions/{id}", "/api/sessions/7/8", None),
        ("api/sessions/{id?}", "/api/sessions", {}),
        ("api/sessions/{id=5}", "/api/sessions", {"id": "5"}),
        ("api/{*rest}", "/api/a/b", {"rest": "a/b"}),
        ("api/{*rest}", "/api", {}),
        ("api/{name}.{kind}", "/api/a.b.ics", {"name": "a.b", "kind": "ics"}),
        ("api/{id:int}", "/api/12", {"id": "12"}),
        ("api/{id:int}", "/api/99999999999", None),
        ("api/{id:guid}", "/api/7f3c8a52-0000-4000-8000-00000000000a",
         {"id": "7f3c8a52-0000-4000-8000-00000000000a"}),
        ("api/{id:guid}", "/api/mine", None),
        ("api/{id:alpha:minlength(2)}", "/api/ab", {"id": "ab"}),
        ("api/{id:alpha:minlength(2)}", "/api/a", None),
        ("api/{id:range(1,3)}", "/api/4", None),
        ("api/{id:length(2,3)}", "/api/abc", {"id": "abc"}),
        ("api/{id:length(2)}", "/api/abc", None),
        ("api/{id:max(3)}", "/api/3", {"id": "3"}),
        ("api/{id:bool}", "/api/TRUE", {"id": "TRUE"}),
        ("api/{id:datetime}", "/api/2026-11-23", {"id": "2026-11-23"}),
        ("api/{id:regex(^x+$)}", "/api/xx", {"id": "xx"}),
        ("api/{id}", "/api/%C3%A9", {"id": "é"}),
        ("api/{id}", "/api/%E9%c3%a9%C0%af", {"id": "%E9é%C0%af"}),
        ("api/{id}", "/api/a/./../b", {"id": "b"}),
        ("api/{id}", "/api//b", None),
        ("api/{id}", "/api/b//", None),
        ("api/{*rest}", "/api/a//b/", {"rest": "a//b/"}),
        ("api/{*rest}", "/api//a", None),
        ("api/{id:int}", "/api/%20-3", {"id": " -3"}),
        ("api/{id:guid}", "/api/(7f3c8a52-0000-4000-8000-00000000000a)",
         {"id": "(7f3c8a52-0000-4000-8000-00000000000a)"}),
        ("api/{id:guid}", "/api/7f3c8a52-000040008000-00000000000a", None),
        ("api/{id:nonfile}", "/api/a.b", None),
    ],
)  # fmt: skip
def test_matching(template: str, path: str, expected: dict[str, str] | None) -> None:
    assert RouteTemplate.parse(template).match(split_path(path)) == expected


@pytest.mark.parametrize(
    "template",
    ["a//b", "a/{b", "{a}{b}", "{a}/{A}", "{*a}/b", "x{a?}", "{a:int(3)}", "{a:uuid}", "~a", "a?b"],
)
def test_bad_templates_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        RouteTemplate.parse(template)


def test_an_encoded_slash_stays_encoded() -> None:
    assert split_path("/api/a%2fb/c%20d?x=/") == ["api", "a%2fb", "c d"]
    assert encoded_path("/api/a%2fb/c d%") == "/api/a%2fb/c%20d%25"


def test_a_null_character_in_a_path_is_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        split_path("/a%00")


def test_empty_values_of_a_query_vanish() -> None:
    assert query_values("/?a=&A=1&b=%E9+x&c&a=2") == {"a": "1,2", "b": "%E9 x"}
