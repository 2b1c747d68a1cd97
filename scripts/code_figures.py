"""Prints figures of the product's code: lines, long modules and functions, copies, wording.

    python -m scripts.code_figures [FOLDER ...]

Without folders it reads `functions` and `shared`, the code that is deployed.
`tests/unit/test_code.py` holds the figures to their limits.
"""

import ast
import hashlib
import io
import re
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PRODUCT: Final = ("functions", "shared")
MODULE_LINES: Final = 350
FUNCTION_LINES: Final = 40
COPY_LINES: Final = 6
"""A run of so many equal statements' lines is a copy."""
UNCLEAR: Final = re.compile(
    r"^Return (what|who|whose|whom)\b"
    r"|\b(somebody|anybody|nobody|everybody|whoever|whatever|told|tells)\b",
    re.IGNORECASE,
)
"""What a docstring says where the caller, the worker or the field's noun has a name."""


@dataclass
class Figures:
    """What was counted; places are ``path:line``."""

    lines: int = 0
    long_modules: dict[str, int] = field(default_factory=dict)
    long_functions: dict[str, int] = field(default_factory=dict)
    classes_named_twice: dict[str, list[str]] = field(default_factory=dict)
    copies: list[tuple[str, ...]] = field(default_factory=list)
    docstrings: int = 0
    unclear_docstrings: dict[str, str] = field(default_factory=dict)

    @property
    def unclear_share(self) -> float:
        """The share of docstrings with a word of `UNCLEAR`."""
        return len(self.unclear_docstrings) / max(1, self.docstrings)


def measure(root: Path, folders: Sequence[str] = PRODUCT) -> Figures:
    """Count in every Python file of *folders* below *root*."""
    found, classes, runs = Figures(), defaultdict[str, list[str]](list), _Runs()
    for path in sorted(each for folder in folders for each in (root / folder).rglob("*.py")):
        name, source = str(path.relative_to(root)), path.read_text()
        count = len(source.splitlines())
        found.lines += count
        if count > MODULE_LINES:
            found.long_modules[name] = count
        for node in ast.walk(tree := ast.parse(source)):
            _look_at(node, name, found, classes)
        runs.add(name, source, tree)
    found.classes_named_twice = {name: at for name, at in classes.items() if len(at) > 1}
    found.copies = runs.copies()
    return found


def _look_at(node: ast.AST, path: str, found: Figures, classes: dict[str, list[str]]) -> None:
    if isinstance(node, ast.ClassDef):
        classes[node.name].append(f"{path}:{node.lineno}")
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        long = (node.end_lineno or node.lineno) - node.lineno + 1
        if long > FUNCTION_LINES:
            found.long_functions[f"{path}:{node.lineno} {node.name}"] = long
    for line, text in _docstrings(node):
        found.docstrings += 1
        if UNCLEAR.search(text):
            found.unclear_docstrings[f"{path}:{line}"] = " ".join(text.split())


def _docstrings(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the docstrings in *node*'s body: its own, and those below fields and constants."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for each in node.body:
        if (
            isinstance(each, ast.Expr)
            and isinstance(each.value, ast.Constant)
            and isinstance(each.value.value, str)
        ):
            yield each.lineno, each.value.value


class _Runs:
    """Finds runs of lines that occur twice, names and layout aside from comments."""

    def __init__(self) -> None:
        self._places: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)

    def add(self, path: str, source: str, tree: ast.Module) -> None:
        """Remember each run of `COPY_LINES` code lines of *source*."""
        lines = _code_lines(source, tree)
        for at in range(len(lines) - COPY_LINES + 1):
            text = "\n".join(line for _, line in lines[at : at + COPY_LINES])
            key = hashlib.sha256(text.encode()).hexdigest()
            self._places[key].append((path, lines[at][0]))

    def copies(self) -> list[tuple[str, ...]]:
        """Return the places of each run that occurs twice; runs that continue one are left out."""
        found, before = [], set[tuple[tuple[str, int], ...]]()
        for places in self._places.values():
            if len(places) < 2:
                continue
            shape = tuple((path, line) for path, line in places)
            if not any(_continues(shape, known) for known in before):
                found.append(tuple(f"{path}:{line}" for path, line in places))
            before.add(shape)
        return found


def _continues(shape: tuple[tuple[str, int], ...], known: tuple[tuple[str, int], ...]) -> bool:
    return len(shape) == len(known) and all(
        path == other and 0 < line - before <= 3
        for (path, line), (other, before) in zip(shape, known, strict=True)
    )


def _code_lines(source: str, tree: ast.Module) -> list[tuple[int, str]]:
    """Return the lines with code in them: no imports, docstrings, comments, lone brackets.

    Nor signatures: an adapter has its port's.
    """
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            left_out |= {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            left_out |= {*range(node.lineno, node.body[0].lineno)}
    words: defaultdict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING):
            words[token.start[0]].append(token.string)
    return [
        (line, " ".join(said))
        for line, said in sorted(words.items())
        if line not in left_out and any(word.isidentifier() for word in said)
    ]


def main(folders: Sequence[str]) -> None:
    """Print what `measure` counts, and where."""
    found = measure(Path(), folders or PRODUCT)
    print(f"lines: {found.lines}")
    for title, places in (
        (f"modules of more than {MODULE_LINES} lines", found.long_modules),
        (f"functions of more than {FUNCTION_LINES} lines", found.long_functions),
    ):
        print(f"{title}: {len(places)}")
        for place, count in Counter(places).most_common():
            print(f"  {count:4} {place}")
    print(f"class names used twice: {len(found.classes_named_twice)}")
    for name, at in found.classes_named_twice.items():
        print(f"  {name}: {', '.join(at)}")
    print(f"copies of {COPY_LINES} lines or more: {len(found.copies)}")
    for copied in found.copies:
        print(f"  {' = '.join(copied)}")
    print(
        f"docstrings with unclear words: {len(found.unclear_docstrings)} of {found.docstrings}"
        f" ({100 * found.unclear_share:.1f} %)"
    )
    for place, text in found.unclear_docstrings.items():
        print(f"  {place}: {text[:90]}")


if __name__ == "__main__":
    main(sys.argv[1:])
