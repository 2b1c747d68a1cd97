"""The documents lead somewhere."""

import re
from pathlib import Path

import pytest

from functions._consent_page import PAGES as PAGES_FOR_ADMINISTRATORS
from local.host.configuration import read_options
from shared.organizations.remedies import REMEDIES

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def _slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        if anchor:
            there = found.read_text(encoding="utf-8")
            headings = {_slug(each) for each in re.findall(r"^#+ (.+)$", there, re.MULTILINE)}
            assert anchor in headings | set(re.findall(r'<a id="([^"]+)">', there)), target


def _portal_places() -> set[str]:
    """Return the names on the ways through the portal that pages and remedies describe."""
    texts = [text for each in REMEDIES.values() for text in (each.remedy, each.meaning)]
    ways = [way for text in texts for way in re.findall(r"Enterprise app\w* > [^:.]+", text)]
    return {name.strip("' ") for way in ways for name in way.split(" > ")}


def test_the_guide_knows_another_way_to_each_place_that_a_remedy_names() -> None:
    guide = (ROOT / "docs" / "admin-guide.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| .+ \| .+ \| (?!If it).+ \|$", guide.split('id="portals"')[1], re.MULTILINE
    )
    today = " ".join(row.split(" | ")[0] for row in rows)
    places = _portal_places() - {"the app"}
    assert {"Enterprise apps", "Permissions", "Properties", "Users and groups"} <= places
    assert {name for name in places if f"*{name}*" not in today} == set()
    assert all(len(row.split(" | ")[2]) > 10 for row in rows)


def test_pages_for_administrators_use_the_present_names() -> None:
    for page in PAGES_FOR_ADMINISTRATORS.values():
        assert "Enterprise applications" not in f"{page.happened} {page.next}"


def test_every_picture_is_shown() -> None:
    shown = {
        name for page in PAGES for name in re.findall(r"images/([\w-]+\.png)", page.read_text())
    }
    assert shown == {each.name for each in (ROOT / "docs" / "images").iterdir()}


def test_decisions_are_numbered_and_listed() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\| \[(\d{4})\]\((.+)\) \| (.+) \| \d{4}-\d\d-\d\d \|$", index, re.MULTILINE
    )
    assert [name for _, name, _ in listed] == [
        each.name for each in sorted(DECISIONS.glob("0*.md"))
    ]
    for place, (number, name, title) in enumerate(listed, start=1):
        assert (int(number), name[:4]) == (place, number)
        assert (DECISIONS / name).read_text(encoding="utf-8").startswith(f"# {place}. {title}\n")


@pytest.mark.parametrize("page", ["following-outlook.md", "operate.md"])
def test_how_often_a_message_is_tried_is_what_the_host_does(page: str) -> None:
    queues = read_options(ROOT, {}).queues
    text = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").split())
    said = re.search(r"five (?:times|attempts), (\d+) seconds apart", text)
    assert said, page
    assert queues.max_dequeue_count == 5
    assert queues.visibility_timeout.total_seconds() == int(said[1])


def test_every_test_that_the_assurance_names_is_there() -> None:
    sources = (each.read_text(encoding="utf-8") for each in (ROOT / "tests").rglob("test_*.py"))
    tests = {name for source in sources for name in re.findall(r"def (test_\w+)", source)}
    page = (ROOT / "docs" / "assurance.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    assert named
    assert named <= tests, named - tests
