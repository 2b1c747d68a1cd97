"""The report: an outcome for each check of the document, as text and as JSON.

It is sent to others. So it has no tokens, addresses, names or ids of people.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpx

from scripts.verify.document import Check

_MARGIN: Final = " " * 13


class CameOtherwise(Exception):
    """Something else came than must come; the message says what."""


class NotRun(Exception):
    """The check cannot be run; the message says why."""


class Outcome(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WRONG = "wrong"
    NOT_RUN = "not run"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one check. *came*: what came, or why it was not run."""

    outcome: Outcome
    came: str = ""


class Report:
    """The results of the checks in *wanted*; those of others are dropped."""

    def __init__(self, checks: Mapping[int, Check], wanted: Collection[int]) -> None:
        self.wanted = frozenset(wanted)
        self.deployment: dict[str, str | None] = {}
        """Version, Python and package digest of what runs."""
        self.left_behind: list[str] = []
        """Ids of sessions that were booked and could not be cancelled."""
        self.is_refused = False
        """Whether the run was stopped, or would have touched the sessions of others."""
        self._checks = checks
        self._results: dict[int, Result] = {}

    async def run(self, number: int, check: Awaitable[str]) -> None:
        """Await *check*, which returns what came, and keep its outcome under *number*."""
        try:
            result = Result(Outcome.OK, await check)
        except NotRun as reason:
            result = Result(Outcome.NOT_RUN, str(reason))
        except CameOtherwise as other:
            result = Result(Outcome.WRONG, str(other))
        except httpx.HTTPError as error:
            result = Result(Outcome.WRONG, f"no answer ({type(error).__name__})")
        except (KeyError, TypeError, ValueError) as error:
            result = Result(Outcome.WRONG, f"an answer of another shape ({type(error).__name__})")
        if self._outcome(number) is not Outcome.WRONG:
            self._results[number] = result

    def skip(self, numbers: Collection[int], reason: str) -> None:
        """Keep that none of *numbers* was run, where nothing is known yet."""
        for number in numbers:
            self._results.setdefault(number, Result(Outcome.NOT_RUN, reason))

    @property
    def is_wrong(self) -> bool:
        """Whether something came otherwise, or a booked session is left behind."""
        return bool(self.left_behind) or self._counts()[Outcome.WRONG] > 0

    def as_text(self) -> str:
        """Return the report for people."""
        lines = [_deployment_line(self.deployment), ""]
        for check, result in self._rows():
            said = result.came
            if result.outcome is Outcome.BY_HAND:
                said = check.do
            lines.append(f"{check.number:>2}  {result.outcome:<9}{said}".rstrip())
            if result.outcome is Outcome.WRONG:
                lines.append(f"{_MARGIN}must come: {check.must_come}")
                lines.append(f"{_MARGIN}if not: {check.if_not}")
        counts = self._counts()
        lines += ["", ", ".join(f"{counts[each]} {each}" for each in Outcome)]
        if self.left_behind:
            lines.append(f"Left behind, cancel them: {', '.join(self.left_behind)}")
        return "\n".join(lines)

    def as_json(self) -> str:
        """Return the report for programs."""
        rows: list[dict[str, Any]] = []
        for check, result in self._rows():
            row = {"number": check.number, "outcome": result.outcome, "came": result.came}
            if result.outcome is Outcome.WRONG:
                row |= {"must_come": check.must_come, "if_not": check.if_not}
            if result.outcome is Outcome.BY_HAND:
                row |= {"do": check.do, "must_come": check.must_come}
            rows.append(row)
        document = {
            "deployment": self.deployment,
            "checks": rows,
            "counts": {each: self._counts()[each] for each in Outcome},
            "left_behind": self.left_behind,
        }
        return json.dumps(document, indent=2)

    def _outcome(self, number: int) -> Outcome | None:
        result = self._results.get(number)
        return result.outcome if result else None

    def _rows(self) -> list[tuple[Check, Result]]:
        return [(check, self._result(check)) for check in self._checks.values()
                if check.number in self.wanted]  # fmt: skip

    def _result(self, check: Check) -> Result:
        if check.by_hand:
            return Result(Outcome.BY_HAND)
        return self._results.get(check.number, Result(Outcome.NOT_RUN, "the run ended before it"))

    def _counts(self) -> Counter[Outcome]:
        return Counter(result.outcome for _, result in self._rows())


def _deployment_line(deployment: Mapping[str, str | None]) -> str:
    if not deployment:
        return "Mentor Calendar of an unknown version"
    return (
        f"Mentor Calendar {deployment['version']}, Python {deployment['python']}, "
        f"package {deployment['package'] or 'unknown (it runs from its sources)'}"
    )
