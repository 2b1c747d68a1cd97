"""Route templates as ASP.NET Core reads them: literals, parameters, constraints, defaults.

Source: https://learn.microsoft.com/aspnet/core/fundamentals/routing#route-templates
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

Constraint = Callable[[str], bool]

_PARAMETER: Final = re.compile(
    r"\{(?P<catch>\*{0,2})(?P<name>[A-Za-z_][\w-]*)(?P<rules>(?::[^:{}=?()]+(?:\([^)]*\))?)*)"
    r"(?:=(?P<default>[^?{}]*))?(?P<optional>\?)?\}"
)
_RULE: Final = re.compile(r":([^:()]+)(?:\(([^)]*)\))?")
# .NET's TryParse takes spaces around all of these.
_DASHED: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_GUID: Final = re.compile(
    rf"\s*(?:[0-9a-f]{{32}}|{_DASHED}|\{{{_DASHED}\}}|\({_DASHED}\))\s*", re.IGNORECASE | re.ASCII
)
_WHOLE: Final = re.compile(r"\s*[+-]?\d{1,20}\s*", re.ASCII)
_DECIMAL: Final = re.compile(r"\s*[+-]?(?:\d[\d,]*\.?\d*|\.\d+)\s*", re.ASCII)
_NUMBER: Final = re.compile(r"\s*[+-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One ``{name:constraint=default}``."""

    name: str
    rules: tuple[Constraint, ...] = ()
    default: str | None = None
    is_optional: bool = False
    is_catch_all: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """The part between two slashes."""

    pattern: re.Pattern[str]
    """Matches the decoded text; one group per parameter."""
    parameters: tuple[Parameter, ...]

    @property
    def whole(self) -> Parameter | None:
        """The segment's parameter, if the segment consists of it alone."""
        is_whole = len(self.parameters) == 1 and self.pattern.pattern == "(.+)"
        return self.parameters[0] if is_whole else None


@dataclass(frozen=True, slots=True)
class RouteTemplate:
    """A route, prefix included."""

    text: str
    segments: tuple[Segment, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the template in *text*. ValueError names the error in it."""
        if "//" in text or text.startswith("~"):
            raise ValueError(f"{text!r} holds an empty segment or starts with '~'")
        segments = tuple(_segment(part) for part in text.strip("/").split("/") if part)
        names = [parameter.name.lower() for each in segments for parameter in each.parameters]
        if len(set(names)) != len(names):
            raise ValueError(f"{text!r} names a parameter twice")
        for each in segments[:-1]:
            if each.whole and each.whole.is_catch_all:
                raise ValueError(f"{text!r}: a catch-all parameter must be the last segment")
        return cls(text, segments)

    def match(self, path: Sequence[str]) -> dict[str, str] | None:
        """Return the parameters in the segments of a *path*; None without a match.

        A last segment that is empty is a slash at the end, which counts in a catch-all alone.
        """
        values: dict[str, str] = {}
        given = path[:-1] if path and not path[-1] else path
        for position, segment in enumerate(self.segments):
            whole = segment.whole
            text = given[position] if position < len(given) else None
            if text == "":
                return None
            if whole and whole.is_catch_all:
                rest = "/".join(path[position:]) or whole.default
                return _with(values, whole, rest) if _all(whole, rest) else None
            if text is None:
                if whole is None or not (whole.is_optional or whole.default is not None):
                    return None
                values = _with(values, whole, whole.default)
                continue
            found = segment.pattern.fullmatch(text)
            if not found:
                return None
            for parameter, value in zip(segment.parameters, found.groups(), strict=True):
                if not _all(parameter, value):
                    return None
                values[parameter.name] = value
        return values if len(given) <= len(self.segments) else None


def _with(values: dict[str, str], parameter: Parameter, value: str | None) -> dict[str, str]:
    return values if value is None else {**values, parameter.name: value}


def _all(parameter: Parameter, value: str | None) -> bool:
    return value is None or all(rule(value) for rule in parameter.rules)


def _segment(text: str) -> Segment:
    pattern, parameters, position = "", [], 0
    for found in _PARAMETER.finditer(text):
        pattern += _literal(text[position : found.start()])
        # Greedy from the right, as ASP.NET Core reads `{name}.{extension}`.
        pattern += "(.+)"
        parameters.append(_parameter(found))
        position = found.end()
    pattern += _literal(text[position:])
    if len(parameters) > 1 and "(.+)(.+)" in pattern:
        raise ValueError(f"{text!r}: two parameters need a literal between them")
    if pattern != "(.+)" and any(p.is_catch_all or p.is_optional for p in parameters):
        raise ValueError(f"{text!r}: an optional or catch-all parameter fills its whole segment")
    return Segment(re.compile(pattern, re.IGNORECASE | re.DOTALL), tuple(parameters))


def _literal(text: str) -> str:
    if set(text) & set("{}?*"):
        raise ValueError(f"{text!r} is neither a literal nor a parameter")
    return re.escape(text)


def _parameter(found: re.Match[str]) -> Parameter:
    rules = [_rule(name.strip(), argument) for name, argument in _RULE.findall(found["rules"])]
    if found["optional"] and found["default"] is not None:
        raise ValueError(f"{found[0]!r} is optional and has a default")
    return Parameter(
        found["name"],
        tuple(rules),
        found["default"],
        is_optional=bool(found["optional"]),
        is_catch_all=bool(found["catch"]),
    )


def _rule(name: str, argument: str) -> Constraint:
    if name == "regex":
        try:
            expression = re.compile(argument, re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"constraint 'regex': {error}") from error
        return lambda value: bool(expression.search(value))
    numbers = argument.split(",") if argument else []
    check = _CONSTRAINTS.get((name, len(numbers)))
    if check is None or not all(_WHOLE.fullmatch(each) for each in numbers):
        raise ValueError(f"there is no constraint {name!r} with {argument!r}")
    return lambda value: check(value, *map(int, numbers))


def _is_whole(value: str, bits: int = 64) -> bool:
    limit = 1 << (bits - 1)
    return bool(_WHOLE.fullmatch(value)) and -limit <= int(value) < limit


def _is_moment(value: str) -> bool:
    try:
        datetime.fromisoformat(value.strip())
    except ValueError:
        return False
    return True


_CONSTRAINTS: Final[dict[tuple[str, int], Callable[..., bool]]] = {
    ("int", 0): lambda value: _is_whole(value, 32),
    ("long", 0): _is_whole,
    ("guid", 0): lambda value: bool(_GUID.fullmatch(value)),
    ("bool", 0): lambda value: value.strip().lower() in {"true", "false"},
    ("alpha", 0): lambda value: bool(re.fullmatch("[A-Za-z]*", value)),
    ("datetime", 0): _is_moment,
    ("decimal", 0): lambda value: bool(_DECIMAL.fullmatch(value)),
    ("double", 0): lambda value: bool(_NUMBER.fullmatch(value)),
    ("float", 0): lambda value: bool(_NUMBER.fullmatch(value)),
    ("required", 0): bool,
    ("file", 0): lambda value: "." in value.rpartition("/")[2][:-1],
    ("nonfile", 0): lambda value: "." not in value.rpartition("/")[2][:-1],
    ("min", 1): lambda value, least: _is_whole(value) and int(value) >= least,
    ("max", 1): lambda value, most: _is_whole(value) and int(value) <= most,
    ("range", 2): lambda value, least, most: _is_whole(value) and least <= int(value) <= most,
    ("length", 1): lambda value, length: len(value) == length,
    ("length", 2): lambda value, least, most: least <= len(value) <= most,
    ("minlength", 1): lambda value, least: len(value) >= least,
    ("maxlength", 1): lambda value, most: len(value) <= most,
}
"""By name and number of arguments."""
