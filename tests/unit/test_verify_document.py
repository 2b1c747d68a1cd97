"""The checks of `docs/verify-on-azure.md` are those that `scripts.verify` knows."""

import asyncio
import re

from scripts.verify import deployment, outlook
from scripts.verify.document import DOCUMENT, read_checks
from scripts.verify.report import CameOtherwise, NotRun, Report


async def came(text: str) -> str:
    return text


async def raises(error: Exception) -> str:
    raise error


def test_the_script_runs_the_checks_that_the_document_says_it_runs() -> None:
    said = {number for number, check in read_checks().items() if not check.by_hand}
    assert said == {*deployment.NUMBERS, *outlook.NUMBERS}


def test_numbers_are_given_once_and_none_is_left_out() -> None:
    rows = re.findall(r"^\| *(\d+) *\|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(map(int, rows)) == list(range(1, len(rows) + 1)) == list(read_checks())


def test_each_check_says_what_to_do_what_must_come_and_what_else_would_mean() -> None:
    for check in read_checks().values():
        assert check.do
        assert check.must_come
        assert check.if_not
        assert "](" not in check.do + check.must_come + check.if_not


def test_a_cell_has_its_bars() -> None:
    row = r"| 7 | hand | `a \| b` | see [deploy.md](deploy.md#x) | c |"
    check = read_checks(row)[7]
    assert (check.do, check.must_come, check.if_not) == ("`a | b`", "see deploy.md", "c")


def test_each_way_a_check_may_end() -> None:
    report = Report(read_checks(), [2, 3, 4, 5, 11, 25])

    async def run() -> None:
        await report.run(2, came("as it must"))
        await report.run(3, raises(CameOtherwise("4.00 s, cold")))
        await report.run(4, raises(NotRun("no $PLATFORM")))
        await report.run(11, raises(KeyError("aud")))

    asyncio.run(run())
    lines = report.as_text().splitlines()
    assert " 2  ok       as it must" in lines
    assert " 3  wrong    4.00 s, cold" in lines
    assert " 4  not run  no $PLATFORM" in lines
    assert "11  wrong    an answer of another shape (KeyError)" in lines
    assert "25  not run  the run ended before it" in lines
    assert lines[-1] == "1 ok, 2 wrong, 2 not run, 1 by hand"
    assert report.is_wrong


def test_what_is_wrong_stays_wrong() -> None:
    report = Report(read_checks(), [28])

    async def run() -> None:
        await report.run(28, raises(CameOtherwise("503")))
        await report.run(28, came("in both calendars"))

    asyncio.run(run())
    report.skip([28], "no time")
    assert "28  wrong    503" in report.as_text()
