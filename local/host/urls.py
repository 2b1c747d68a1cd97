"""Paths and queries as Kestrel and ASP.NET Core decode them.

Source: dotnet/aspnetcore 8: Kestrel's PathDecoder, UrlDecoder and PathNormalizer; PathString;
QueryHelpers.
"""

import re
from typing import Final
from urllib.parse import quote

_ESCAPES: Final = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_SLASH: Final = re.compile("(%2f)", re.IGNORECASE)
_KEPT_IN_PATHS: Final = "!$&'()*+,-./:;=@_~"
_DECODED: Final = re.compile(r"(%[0-9a-fA-F]{2})")


def split_path(raw_path: str) -> list[str]:
    """Return the segments of a request's path, decoded. ValueError: it holds a null character.

    Without a slash at the start; a slash at the end makes an empty segment.
    """
    return decoded_path(raw_path).removeprefix("/").split("/")


def decoded_path(raw_path: str) -> str:
    """Return the path of *raw_path*, decoded but for ``%2F`` and bytes that are no UTF-8.

    Dot segments are removed after that. ValueError: it holds a null character.
    """
    parts = _SLASH.split(raw_path.partition("?")[0])
    path = "".join(part if _SLASH.fullmatch(part) else unescaped(part) for part in parts)
    if "\0" in path:
        raise ValueError("a null character in a path")
    kept: list[str] = []
    *segments, last = path.removeprefix("/").split("/")
    for segment in segments:
        if segment == "..":
            kept[-1:] = []
        elif segment != ".":
            kept.append(segment)
    if last == "..":
        kept[-1:] = []
    return "/" + "/".join([*kept, "" if last in {".", ".."} else last])


def encoded_path(path: str) -> str:
    """Return *path* as the URL that a function sees has it: what is escaped stays so."""
    parts = _DECODED.split(path)
    return "".join(
        each if _DECODED.fullmatch(each) else quote(each, safe=_KEPT_IN_PATHS) for each in parts
    )


def query_values(raw_path: str) -> dict[str, str]:
    """Return the query of *raw_path*: values of one name joined, letter case aside, none empty."""
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for part in raw_path.partition("?")[2].split("&"):
        name, _, value = (unescaped(each.replace("+", " ")) for each in part.partition("="))
        known = names.setdefault(name.lower(), name)
        values.setdefault(known, []).append(value)
    return {name: joined for name, each in values.items() if (joined := join_values(each))}


def join_values(values: list[str]) -> str:
    """Return `StringValues.ToString()`: those that are not empty, with commas."""
    return ",".join(filter(None, values))


def unescaped(text: str) -> str:
    """Return *text* with its escapes decoded; those that are no UTF-8 stay as they are written."""
    return _ESCAPES.sub(lambda found: _decoded(found[0]), text)


def _decoded(escapes: str) -> str:
    text, position = "", 0
    for char in bytes.fromhex(escapes.replace("%", "")).decode(errors="surrogateescape"):
        is_bad = "\udc80" <= char <= "\udcff"
        end = position + 3 * (1 if is_bad else len(char.encode()))
        text += escapes[position:end] if is_bad else char
        position = end
    return text
