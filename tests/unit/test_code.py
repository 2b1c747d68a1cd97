"""What a machine can judge of how the code reads: `scripts/code_figures.py` counts."""

import re
from pathlib import Path

import pytest

from scripts.code_figures import PRODUCT, Figures, measure

ROOT = Path(__file__).parent.parent.parent
LONG_FUNCTIONS = 5
FLAT = {"shared/wiring.py"}
"""The composition root is a list of properties, one for each adapter: no part of it has a name."""
UNCLEAR_SHARE = 0.01


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measure(ROOT)


def test_modules_are_short(figures: Figures) -> None:
    assert figures.long_modules.keys() <= FLAT


def test_functions_are_short(figures: Figures) -> None:
    assert len(figures.long_functions) <= LONG_FUNCTIONS, figures.long_functions


def test_class_names_are_used_once(figures: Figures) -> None:
    assert not figures.classes_named_twice


def test_code_is_not_copied(figures: Figures) -> None:
    assert not figures.copies


def test_docstrings_name_their_subject(figures: Figures) -> None:
    assert figures.unclear_share < UNCLEAR_SHARE, figures.unclear_docstrings


def test_figures_find_what_is_there(tmp_path: Path) -> None:
    body = "".join(f"    a{n} = call_{n}(b{n})\n" for n in range(41))
    (tmp_path / "functions").mkdir()
    for name in ("one.py", "two.py"):
        (tmp_path / "functions" / name).write_text(
            '"""Return what somebody wants."""\n' + "\n" * 310 + f"def f():\n{body}\nclass A: ...\n"
        )
    found = measure(tmp_path)
    assert found.long_modules == {"functions/one.py": 355, "functions/two.py": 355}
    assert len(found.long_functions) == 2
    assert list(found.classes_named_twice) == ["A"]
    assert len(found.copies) == 1
    assert found.unclear_share == 1


def test_no_log_line_is_written_in_a_thread() -> None:
    """Such a line carries no invocation id, and the Functions host drops it."""
    starts = re.compile(r"to_thread\(.*|Thread\(.*|run_in_executor\(.*|\w*ThreadPoolExecutor\(.*")
    found = {
        match[0]
        for folder in PRODUCT
        for path in (ROOT / folder).rglob("*.py")
        for match in starts.finditer(path.read_text())
    }
    assert found == {"to_thread(self._exporting.stop)"}  # which is the exporter's own code
