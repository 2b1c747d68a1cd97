"""The part of Kusto's query language that the alerts use, over rows in memory.

Source: https://learn.microsoft.com/kusto/query/. It refuses unknown syntax, so that an unsupported
query fails instead of passing wrongly.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Row = dict[str, Any]
_TYPES: Final[dict[str, Callable[[str], Any]]] = {"int": int, "long": int, "string": str}
_EXTRACT: Final = re.compile(
    r"(?P<name>\w+) = extract\('(?P<pattern>[^']+)', (?P<group>\d+), (?P<of>\w+), "
    r"typeof\((?P<type>\w+)\)\)"
)
_WORDS: Final = re.compile(r"'[^']*'|[A-Za-z_]\w*|\d+(?:\.\d+)?|==|!=|>=|<=|[<>()*/+-]|\S")
_KEPT: Final = {"and", "or", "not"}


def run(query: str, tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Return the rows of *query*."""
    source, *steps = (each.strip() for each in re.split(r" \| ", query))
    rows = [dict(row) for row in tables[source]]
    for step in steps:
        verb, _, rest = step.partition(" ")
        rows = _STEPS[verb](rows, rest)
    return rows


def _where(rows: list[Row], condition: str) -> list[Row]:
    return [row for row in rows if _value(condition, row)]


def _extend(rows: list[Row], assignment: str) -> list[Row]:
    found = _EXTRACT.fullmatch(assignment)
    assert found, f"unknown: extend {assignment}"
    return [row | {found["name"]: _extracted(found, row)} for row in rows]


def _extracted(how: re.Match[str], row: Row) -> Any:
    match = re.search(how["pattern"], row[how["of"]])
    return _TYPES[how["type"]](match[int(how["group"])]) if match else None


def _summarize(rows: list[Row], assignments: str) -> list[Row]:
    return [{name: _aggregate(said, rows) for name, said in _assigned(assignments)}]


def _project(rows: list[Row], assignments: str) -> list[Row]:
    return [{name: _value(said, row) for name, said in _assigned(assignments)} for row in rows]


def _assigned(text: str) -> list[tuple[str, str]]:
    parts = re.split(r", (?=\w+ = )", text)
    return [(name, said) for name, _, said in (part.partition(" = ") for part in parts)]


def _aggregate(said: str, rows: list[Row]) -> Any:
    verb, _, inside = said.removesuffix(")").partition("(")
    if verb == "count":
        return len(rows)
    if verb == "countif":
        return sum(bool(_value(inside, row)) for row in rows)
    column, _, rank = inside.partition(", ")
    values = sorted(row[column] for row in rows if row[column] is not None)
    if verb == "percentile":
        return values[math.ceil(len(values) * int(rank) / 100) - 1] if values else None
    aggregates: dict[str, Callable[[list[Any]], Any]] = {"max": max, "sum": sum}
    return aggregates[verb](values) if values else (0 if verb == "sum" else None)


def _value(said: str, row: Row) -> Any:
    """Return the value of an expression; `startswith` is an infix operator."""
    begins = re.fullmatch(r"(\w+) startswith '([^']*)'", said)
    if begins:
        return str(row[begins[1]]).startswith(begins[2])
    words = []
    for word in _WORDS.findall(said):
        if word in {"true", "false"}:
            words.append(word.capitalize())
        elif word == "toint":
            words.append("_int")
        elif re.match(r"[A-Za-z_]", word) and word not in _KEPT:
            assert word in row, f"no column {word}"
            words.append(f"row[{word!r}]")
        else:
            words.append(word)
    # Only this repository's own queries are evaluated.
    names = {"row": row, "_int": lambda text: int(text) if str(text).isdigit() else None}
    return eval(" ".join(words), {"__builtins__": {}}, names)


_STEPS: Final[dict[str, Callable[[list[Row], str], list[Row]]]] = {
    "where": _where,
    "extend": _extend,
    "summarize": _summarize,
    "project": _project,
}
