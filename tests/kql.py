"""The part of Kusto's query language that our queries use, over rows in memory.

Source: https://learn.microsoft.com/kusto/query/. It refuses unknown syntax, so that an unsupported
query fails instead of passing wrongly. Microsoft's own parser reads the same queries in
`tests/infra/test_queries.py`.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Row = dict[str, Any]
Value = Callable[[Row], Any]
Group = Callable[[Sequence[Row]], Any]

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>'[^']*'|"[^"]*")|(?P<span>\d+[smhd]\b)|(?P<number>\d+(?:\.\d+)?)"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<mark>==|!=|>=|<=|[<>=()*/+,|:-]))"""
)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TYPES: Final[dict[str, Callable[[str], Any]]] = {
    "int": int,
    "long": int,
    "real": float,
    "string": str,
}
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "startswith": lambda a, b: a.lower().startswith(b.lower()),
    "contains": lambda a, b: b.lower() in a.lower(),
}
_COMPUTE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


@dataclass(frozen=True, slots=True)
class _Column:
    """One expression of a list, with the name of its column."""

    name: str
    value: Value | None
    group: Group


def run(query: str, tables: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Return the rows of *query*."""
    tokens = _Tokens(query)
    rows = [dict(row) for row in tables[tokens.name()]]
    while tokens.takes("|"):
        rows = _STEPS[tokens.name()](rows, tokens)
    assert not tokens.peek(), f"unknown: {tokens.peek()}"
    return rows


@dataclass(slots=True)
class _Tokens:
    """The tokens of a query, taken one by one."""

    query: str
    _left: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._left, at = [], 0
        while self.query[at:].strip():
            found = _TOKEN.match(self.query, at)
            assert found, f"unknown: {self.query[at : at + 40]}"
            self._left.append(found[0].strip())
            at = found.end()

    def peek(self) -> str:
        return self._left[0] if self._left else ""

    def take(self) -> str:
        return self._left.pop(0)

    def takes(self, *words: str) -> bool:
        """Take the next tokens if they are *words*; return whether they were."""
        if tuple(self._left[: len(words)]) != words:
            return False
        del self._left[: len(words)]
        return True

    def name(self) -> str:
        name = self.take()
        assert re.fullmatch(r"[A-Za-z_]\w*", name), f"not a name: {name}"
        return name

    def names_column(self) -> bool:
        """Return whether `name =` comes next."""
        return len(self._left) > 1 and self._left[1] == "="


# --- steps


def _where(rows: list[Row], tokens: _Tokens) -> list[Row]:
    condition = _either(tokens).value
    assert condition
    return [row for row in rows if condition(row)]


def _extend(rows: list[Row], tokens: _Tokens) -> list[Row]:
    for column in _columns(tokens):
        assert column.value, column.name
        rows = [row | {column.name: column.value(row)} for row in rows]
    return rows


def _project(rows: list[Row], tokens: _Tokens) -> list[Row]:
    columns = _columns(tokens)
    return [{c.name: c.value(row) for c in columns if c.value} for row in rows]


def _summarize(rows: list[Row], tokens: _Tokens) -> list[Row]:
    wanted = [] if tokens.peek() == "by" else _columns(tokens)
    by = _columns(tokens) if tokens.takes("by") else []
    groups: dict[tuple[Any, ...], list[Row]] = {} if by else {(): rows}
    for row in rows if by else []:
        groups.setdefault(tuple(c.value(row) for c in by if c.value), []).append(row)
    return [
        dict(zip((c.name for c in by), key, strict=True)) | {c.name: c.group(found) for c in wanted}
        for key, found in groups.items()
    ]


def _order(rows: list[Row], tokens: _Tokens) -> list[Row]:
    assert tokens.takes("by")
    (column,) = _columns(tokens)
    assert column.value
    ascending = tokens.takes("asc")
    tokens.takes("desc")  # the default
    return sorted(rows, key=column.value, reverse=not ascending)


def _take(rows: list[Row], tokens: _Tokens) -> list[Row]:
    return rows[: int(tokens.take())]


def _parse(rows: list[Row], tokens: _Tokens) -> list[Row]:
    """Run `parse COLUMN with * "text" name "text" *`."""
    literal: Callable[[str], str] = str if tokens.takes("kind", "=", "regex") else re.escape
    column, pattern = tokens.name(), ""
    assert tokens.takes("with")
    names: dict[str, str] = {}
    while tokens.peek() not in {"", "|"}:
        if tokens.takes("*"):
            pattern += "(?s:.*?)"
        elif (token := tokens.take())[0] in "'\"":
            pattern += literal(token[1:-1])
        else:
            names[token] = tokens.name() if tokens.takes(":") else "string"
            pattern += f"(?P<{token}>.*?)"
    found = [(row, re.fullmatch(pattern, row[column])) for row in rows]
    return [
        row | {name: _TYPES[kind](match[name]) if match else None for name, kind in names.items()}
        for row, match in found
    ]


_STEPS: Final[dict[str, Callable[[list[Row], _Tokens], list[Row]]]] = {
    "where": _where,
    "extend": _extend,
    "summarize": _summarize,
    "project": _project,
    "parse": _parse,
    "order": _order,
    "take": _take,
}


# --- expressions


def _columns(tokens: _Tokens) -> list[_Column]:
    return list(_each_column(tokens))


def _each_column(tokens: _Tokens) -> Iterator[_Column]:
    while True:
        named = tokens.take() if tokens.names_column() else ""
        if named:
            tokens.take()
        found = _either(tokens)
        yield _Column(named or found.name, found.value, found.group)
        if not tokens.takes(","):
            return


def _combined(
    parts: Sequence[_Column], compute: Callable[..., Any], name: str = "", *, lazy: bool = False
) -> _Column:
    """Return what *compute* makes of *parts*; unless *lazy*, of no value it makes none."""

    def apply(values: Sequence[Any]) -> Any:
        return None if not lazy and any(v is None for v in values) else compute(*values)

    values = [p.value for p in parts if p.value]
    of_row = (lambda row: apply([v(row) for v in values])) if len(values) == len(parts) else None
    return _Column(name, of_row, lambda rows: apply([p.group(rows) for p in parts]))


def _either(tokens: _Tokens) -> _Column:
    parts = [_both(tokens)]
    while tokens.takes("or"):
        parts.append(_both(tokens))
    return parts[0] if len(parts) == 1 else _combined(parts, lambda *v: any(v), lazy=True)


def _both(tokens: _Tokens) -> _Column:
    parts = [_compared(tokens)]
    while tokens.takes("and"):
        parts.append(_compared(tokens))
    return parts[0] if len(parts) == 1 else _combined(parts, lambda *v: all(v), lazy=True)


def _compared(tokens: _Tokens) -> _Column:
    left = _sum(tokens)
    if tokens.takes("in"):
        assert tokens.takes("(")
        return _combined([left, *_arguments(tokens)], lambda value, *of: value in of)
    if tokens.peek() not in _COMPARE:
        return left
    compare = _COMPARE[tokens.take()]
    return _combined([left, _sum(tokens)], compare)


def _sum(tokens: _Tokens) -> _Column:
    return _chain(tokens, "+-", lambda: _chain(tokens, "*/", lambda: _primary(tokens)))


def _chain(tokens: _Tokens, marks: str, operand: Callable[[], _Column]) -> _Column:
    found = operand()
    while tokens.peek() and tokens.peek() in marks:
        compute = _COMPUTE[tokens.take()]
        found = _combined([found, operand()], compute)
    return found


def _primary(tokens: _Tokens) -> _Column:
    if tokens.takes("("):
        (inner,) = _arguments(tokens)
        return inner
    token = tokens.take()
    if token[0] in "'\"":
        return _constant(token[1:-1])
    if found := re.fullmatch(r"(\d+)([smhd])", token):
        return _constant(timedelta(**{_UNITS[found[2]]: int(found[1])}))
    if token[0].isdigit():
        return _constant(float(token) if "." in token else int(token))
    if token in {"true", "false"}:
        return _constant(token == "true")
    if tokens.takes("("):
        return _call(token, tokens)
    return _Column(token, lambda row: _of(row, token), lambda rows: _refuse(token))


def _arguments(tokens: _Tokens) -> list[_Column]:
    arguments = [] if tokens.peek() == ")" else _columns(tokens)
    assert tokens.takes(")"), f"unknown: {tokens.peek()}"
    return arguments


def _constant(value: Any) -> _Column:
    return _Column("", lambda _: value, lambda _: value)


def _of(row: Row, name: str) -> Any:
    assert name in row, f"no column {name}"
    return row[name]


def _refuse(name: str) -> Any:
    raise AssertionError(f"{name} is not aggregated")


def _call(name: str, tokens: _Tokens) -> _Column:
    if name == "typeof":
        kind = tokens.name()
        assert tokens.takes(")")
        return _constant(_TYPES[kind])
    arguments = _arguments(tokens)
    if name in _AGGREGATES:
        aggregate = _AGGREGATES[name]
        return _Column(f"{name}_", None, lambda rows: aggregate(rows, *arguments))
    lazy = name in {"iff", "isnotempty", "isnotnull"}
    column = arguments[0].name if name == "bin" else ""
    return _combined(arguments, _FUNCTIONS[name], column, lazy=lazy)


def _extract(pattern: str, group: int, text: str, kind: Callable[[str], Any] = str) -> Any:
    found = re.search(pattern, text)
    return kind(found[group]) if found else None


def _bin(value: Any, step: Any) -> Any:
    start = datetime(1, 1, 1, tzinfo=UTC) if isinstance(value, datetime) else type(value)(0)
    return start + (value - start) // step * step


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "extract": _extract,
    "bin": _bin,
    "ago": lambda span: datetime.now(UTC) - span,
    "toint": lambda text: int(text) if str(text).isdigit() else None,
    "iff": lambda condition, yes, no: yes if condition else no,
    "isnotempty": lambda value: value not in {None, ""},
    "isnotnull": lambda value: value is not None,
}


def _values(rows: Sequence[Row], of: _Column) -> list[Any]:
    assert of.value, f"{of.name} is aggregated twice"
    return sorted(v for v in map(of.value, rows) if v is not None)


def _percentile(rows: Sequence[Row], of: _Column, rank: _Column) -> Any:
    values = _values(rows, of)
    return values[math.ceil(len(values) * rank.group([]) / 100) - 1] if values else None


_AGGREGATES: Final[dict[str, Callable[..., Any]]] = {
    "count": len,
    "countif": lambda rows, condition: sum(map(bool, _values(rows, condition))),
    "sum": lambda rows, of: sum(_values(rows, of)),
    "max": lambda rows, of: max(_values(rows, of), default=None),
    "percentile": _percentile,
}
