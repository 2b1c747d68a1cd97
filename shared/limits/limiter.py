"""Admits requests as long as their caller and their organization have something left to spend.

What a participant changes is counted exactly, before it happens. Reads, and what an organization
spends in all, are counted by each instance, which adds them to the stored usage in parts: several
instances may admit a part more each. That costs a fraction of a table request per call.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from shared.clock import Clock
from shared.concurrency import gather_limited
from shared.errors import LimitReached, StoreUnavailable
from shared.limits.model import Budget, Limits, Spender, Spending, Usage
from shared.limits.ports import UsageStore
from shared.logs import log_event, log_warning
from shared.organizations.model import Caller

_PARTS: Final = 20
"""An instance reports what it has admitted after a twentieth of the minute's budget."""
_COUNT_AGAIN_AFTER: Final = timedelta(minutes=10)
"""The time until unanswered invitations that were too many are counted again."""
_TALLIES: Final = 10_000

CountUnanswered = Callable[[int], Awaitable[int]]
"""Counts the caller's unanswered dates ahead, up to so many."""


@dataclass(slots=True)
class _Tally:
    """What this instance knows of a spender. Losing it does no harm."""

    usage: Usage = field(default_factory=Usage)
    """The usage as it was last stored."""
    is_known: bool = False
    pending: int = 0
    """Admitted since, and not stored yet."""
    too_many_until: datetime | None = None
    """Until then the unanswered invitations count as too many."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class _Uncounted(Exception):
    """The unanswered invitations may be too many, and have to be counted."""


class CallLimiter:
    """The limits of this deployment, for one instance."""

    def __init__(self, limits: Limits, usages: UsageStore, clock: Clock) -> None:
        self._limits = limits
        self._usages = usages
        self._clock = clock
        self._tallies: dict[Spender, _Tally] = {}

    async def admit_read(
        self,
        caller: Caller,
        amount: int = 1,
        *,
        before: str | None = None,
        of_organization: bool = True,
    ) -> None:
        """Count *amount* reads of *caller*. Raises LimitReached.

        *before*: the key of the change that the read is for, empty if it has none. If nothing is
        left for changes, as far as this instance knows, nothing is read for one.
        *of_organization*: False if the caller may be in no pairing: a stranger spends nothing of
        what participants have.

        If the store does not answer, the read is admitted: what it reads is in Outlook.
        """
        if before is not None and not self._is_counted(caller, before):
            for spender in _spenders(caller, Spending.CHANGES):
                self._refuse_if_known_full(spender)
        own, whole = _spenders(caller, Spending.READS)
        spenders = (own, whole) if of_organization else (own,)
        try:
            await self._refuse_if_parts_are_full(spenders)
        except StoreUnavailable:
            log_warning("limit.unknown", operation=Spending.READS)
            return
        for spender in spenders:
            self._tally(spender).pending += amount

    async def admit_change(
        self,
        caller: Caller,
        amount: int,
        *,
        key: str = "",
        count_unanswered: CountUnanswered | None = None,
    ) -> None:
        """Count *amount* dates that *caller* books, moves or answers.

        *key*: the same for each retry of a request, which is counted once; a retry with more dates
        counts those that are more.
        *count_unanswered*: given if these dates are new invitations.

        Raises:
            LimitReached: nothing was counted.
            StoreUnavailable: a change could not be stored either.
        """
        own, whole = _spenders(caller, Spending.CHANGES)
        if self._is_counted(caller, key, amount):
            return
        await self._refuse_if_parts_are_full((whole,))
        # The organization spends what its participant was admitted for, and nothing that was not:
        # one who is refused again and again must not use up what others have.
        charged = await self._charge(own, amount, _short(key), count_unanswered)
        self._tally(whole).pending += charged

    def _is_counted(self, caller: Caller, key: str, amount: int = 1) -> bool:
        """Return whether this instance knows that the change of *key* is counted already."""
        own, _ = _spenders(caller, Spending.CHANGES)
        return bool(key) and self._tally(own).usage.admitted.get(_short(key), 0) >= amount

    # --- counted exactly

    async def _charge(
        self, own: Spender, amount: int, key: str, count: CountUnanswered | None
    ) -> int:
        """Store that *own* spends *amount*; return how much of it was not stored before."""
        budget, most = self._limits.budget_of(own), self._limits.unanswered
        if budget.is_unlimited and not (count and most):
            return amount
        tally = self._tally(own)
        self._refuse_if_known_full(own)
        # One at a time: requests of one caller would else only wait for each other's ETags.
        async with tally.lock:
            try:
                return await self._store(own, tally, amount, key, count, counted=None)
            except _Uncounted:
                counted = await self._count(own, tally, count)
                return await self._store(own, tally, amount, key, count, counted=counted)

    async def _store(
        self,
        own: Spender,
        tally: _Tally,
        amount: int,
        key: str,
        count: CountUnanswered | None,
        *,
        counted: int | None,
    ) -> int:
        budget, most = self._limits.budget_of(own), self._limits.unanswered
        charged = 0

        def change(stored: Usage) -> Usage:
            nonlocal charged
            charged = max(0, amount - stored.admitted.get(key, 0))
            if not charged:
                return stored
            # Known from now on, also if it is full: the next refusal asks nobody.
            tally.usage = usage = stored.at(self._clock.now())
            self._refuse_if_full(own, usage, budget)
            if count and most:
                known = usage.unanswered if counted is None else counted
                if known >= most:
                    raise _Uncounted
                usage = replace(usage, unanswered=known + charged)
            return usage.with_spent(charged, key)

        tally.usage, tally.is_known = await self._usages.update(own, change), True
        return charged

    async def _count(self, own: Spender, tally: _Tally, count: CountUnanswered | None) -> int:
        """Return the number of unanswered dates ahead. Raises LimitReached: they are too many."""
        now, most = self._clock.now(), self._limits.unanswered
        if tally.too_many_until is None or tally.too_many_until <= now:
            counted = await count(most) if count else 0
            if counted < most:
                return counted
            tally.too_many_until = now + _COUNT_AGAIN_AFTER
        _log(own, "unanswered")
        raise LimitReached(
            f"{most} or more of your invitations to dates ahead are not answered yet.",
            retry_after_seconds=(tally.too_many_until - now).total_seconds(),
            remedy="Ask for answers, or cancel sessions that nobody needs.",
        )

    # --- counted in parts

    async def _refuse_if_parts_are_full(self, spenders: Sequence[Spender]) -> None:
        """Raise LimitReached if one of *spenders* has nothing left.

        Nothing is awaited after the last look: what the caller then counts is seen by the next one.
        """
        while stale := [s for s in spenders if not self._is_fresh(s)]:
            await gather_limited(self._refresh(s) for s in stale)
        for spender in spenders:
            self._refuse_if_known_full(spender)

    def _is_fresh(self, spender: Spender) -> bool:
        """Return whether the stored usage is known for this window, and less than a part pends."""
        budget, tally = self._limits.budget_of(spender), self._tally(spender)
        if budget.is_unlimited:
            return True
        part = max(1, (budget.per_minute or budget.per_day) // _PARTS)
        is_current = tally.is_known and tally.usage.at(self._clock.now()) == tally.usage
        return is_current and tally.pending < part

    async def _refresh(self, spender: Spender) -> None:
        tally = self._tally(spender)
        async with tally.lock:
            if not self._is_fresh(spender):  # no other request has reported meanwhile
                await self._report(spender, tally)

    async def _report(self, spender: Spender, tally: _Tally) -> None:
        """Add what is pending to the stored usage, and read what others have added."""
        amount = tally.pending

        def change(stored: Usage) -> Usage:
            return stored.at(self._clock.now()).with_spent(amount) if amount else stored

        stored = await self._usages.update(spender, change)
        tally.usage, tally.is_known = stored.at(self._clock.now()), True
        tally.pending -= amount

    # --- refusing

    def _refuse_if_known_full(self, spender: Spender) -> None:
        """Raise LimitReached if the window is full by what is known here: that costs no request."""
        tally = self._tally(spender)
        usage = tally.usage.at(self._clock.now()).with_spent(tally.pending)
        self._refuse_if_full(spender, usage, self._limits.budget_of(spender))

    def _refuse_if_full(self, spender: Spender, usage: Usage, budget: Budget) -> None:
        until = usage.full_until(budget)
        if until is None:
            return
        _log(spender, "full")
        raise LimitReached(
            _describe(spender, budget, is_day=usage.is_day_full(budget)),
            retry_after_seconds=max(1.0, (until - self._clock.now()).total_seconds()),
            remedy="Go on after the time in Retry-After. If people need more, whoever runs this"
            " service can raise the limit.",
        )

    def _tally(self, spender: Spender) -> _Tally:
        if spender not in self._tallies and len(self._tallies) >= _TALLIES:
            self._tallies.clear()
        return self._tallies.setdefault(spender, _Tally())


def _short(key: str) -> str:
    """Return *key* as it is stored: many are kept in a row.

    128 bits: a caller cannot find a new key whose text is that of one that was counted.
    """
    return hashlib.sha256(key.encode()).hexdigest()[:32] if key else ""


def _spenders(caller: Caller, spending: Spending) -> tuple[Spender, Spender]:
    organization_id = caller.organization.id
    return (
        Spender(spending, organization_id, caller.mailbox),
        Spender(spending, organization_id),
    )


def _describe(spender: Spender, budget: Budget, *, is_day: bool) -> str:
    who = "You have" if spender.mailbox else "Your organization has"
    most, window = (budget.per_day, "day") if is_day else (budget.per_minute, "minute")
    if spender.spending is Spending.READS:
        return f"{who} read calendars {most} times within a {window}, which is the limit."
    return f"{who} booked, moved or answered {most} dates within a {window}, which is the limit."


def _log(spender: Spender, reason: str) -> None:
    log_event(
        "limit.reached",
        operation=spender.spending,
        reason=reason,
        state="participant" if spender.mailbox else "organization",
        organization_id=spender.organization_id,
    )
