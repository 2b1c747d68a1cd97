"""The modules of the Graph SDK that the app can reach, found by reading imports, not running them.

The SDK has 16,700 modules, most of which import each other. Three kinds of import never run in the
app and are not followed:

- those for type checkers;
- those of a request builder that lead to its children or send its requests, since the app makes
  each builder by its own name, lets it describe a request, and sends that itself;
- those by which a model reads an answer, since answers are read as JSON
  (`shared/adapters/graph/client.py`).
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_BUILDER: Final = "BaseRequestBuilder"
_READS_ANSWERS: Final = frozenset({"create_from_discriminator_value", "get_field_deserializers"})

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def reachable(package: str, sources: Iterable[Path], site: Path) -> frozenset[Path]:
    """Return the files of *package* in the folder *site* that *sources* reach, relative to *site*.

    Raises:
        LookupError: one of *sources* imports a missing module of *package*.
    """
    waiting = [
        name
        for source in sources
        for name in _imports(_parse(source), "", is_package=False, follows_all=True)
        if _is_of(name, package)
    ]
    for name in waiting:
        if not _exists(name, site) and _file(name.rpartition(".")[0], site) is None:
            raise LookupError(f"{name} is imported but is not in {site}")
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        file = _file(name, site)
        # `from module import name` may name a module or an attribute of one.
        if name in found or not _is_of(name, package) or file is None:
            continue
        found[name] = file.relative_to(site)
        waiting += _parents(name)
        waiting += _imports(_parse(file), name, is_package=file.name == "__init__.py")
    return frozenset(found.values())


def _parents(name: str) -> Iterator[str]:
    while name := name.rpartition(".")[0]:
        yield name


def _is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _file(name: str, site: Path) -> Path | None:
    stem = site.joinpath(*name.split("."))
    candidates = (stem / "__init__.py", stem.with_name(f"{stem.name}.py"))
    return next((each for each in candidates if name and each.is_file()), None)


def _exists(name: str, site: Path) -> bool:
    # Some of the SDK's folders have no `__init__.py`.
    return _file(name, site) is not None or site.joinpath(*name.split(".")).is_dir()


def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def _imports(
    tree: ast.Module, module: str, *, is_package: bool, follows_all: bool = False
) -> Iterator[str]:
    """Yield the absolute names that *tree*, the source of *module*, may import when run."""
    base = module.split(".") if is_package else module.split(".")[:-1]
    for node in _run(tree, in_builder=False, follows_all=follows_all):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            continue
        start = base[: len(base) - node.level + 1] if node.level else []
        source = ".".join([*start, *filter(None, [node.module])])
        yield source
        yield from (f"{source}.{alias.name}" for alias in node.names)


def _run(
    node: ast.AST, *, in_builder: bool, follows_all: bool
) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the import statements in *node* that may run."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
        return
    if isinstance(node, _Function) and not (
        follows_all or _is_followed(node.name, in_builder=in_builder)
    ):
        return
    is_builder = in_builder or (isinstance(node, ast.ClassDef) and _is_builder(node))
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and _is_for_checkers(node):
        children = node.orelse
    for child in children:
        yield from _run(child, in_builder=is_builder, follows_all=follows_all)


def _is_for_checkers(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_builder(node: ast.ClassDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == _BUILDER for each in node.bases)


def _is_followed(function: str, *, in_builder: bool) -> bool:
    if in_builder:
        return function == "__init__" or function.startswith("to_")
    return function not in _READS_ANSWERS
