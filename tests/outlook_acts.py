"""What people do in Outlook: random acts on one event, for the fault matrix."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from local.cloud import LocalCloud
from local.graph.exchange import x500_address
from local.graph.mailbox import Attendee, Event
from local.graph.outlook import NoSuchEvent, Outlook
from local.world import Person

OUTSIDER = "zoe@elsewhere.example"
"""An address without a mailbox."""
Steps = Sequence[Callable[[], Any]]
Weighted = dict[str, tuple[int, Steps]]


@dataclass
class OutlookActs:
    """The acts on one event, or on one date of a series."""

    cloud: LocalCloud
    mentee: str
    """The organizer."""
    mentor: str
    stranger: str
    """The address of another person of the tenant."""
    which: str
    on: date | None
    """The date by the pattern, if the event is a series."""
    begins: datetime
    """When the days of the sessions begin, on the first of them."""
    rng: random.Random
    split_off: Callable[[Event], None]
    """Is told of a series that begins at the date."""

    def draw(self, start_of_another: Callable[[], datetime]) -> tuple[str, Steps]:
        """Draw an act; return its name and what is done, step by step.

        *start_of_another* is the start of another meeting of the same people.
        """
        acts = {
            **self._answers(),
            **self._moves(start_of_another),
            **self._ends(),
            **self._invitations(),
            **self._names(),
            **(self._of_series() if self.on else {}),
        }
        name = self.rng.choices(list(acts), weights=[weight for weight, _ in acts.values()])[0]
        return name, acts[name][1]

    @property
    def _outlook(self) -> Outlook:
        return self.cloud.graph.outlook

    def _person(self, who: str) -> Person:
        return self.cloud.world.person(who)

    def _later(self) -> datetime:
        """Draw another start: within its day, if the event is a date of a series."""
        hours = timedelta(minutes=30 * self.rng.randint(4, 20))
        if self.on:
            return datetime.combine(self.on, self.begins.time(), UTC) + hours
        return self.begins + timedelta(days=self.rng.randint(13, 20)) + hours

    def _accept(self) -> None:
        self._outlook.accept(self.mentor, self.which, on=self.on)

    def _tentative(self) -> None:
        self._outlook.tentative(self.mentor, self.which, on=self.on)

    def _move(self, to: datetime | None = None, **changes: Any) -> None:
        self._outlook.move(self.mentee, self.which, to or self._later(), on=self.on, **changes)

    def _delete(self, who: str, **how: bool) -> Callable[[], None]:
        return lambda: self._outlook.delete(who, self.which, on=self.on, **how)

    def _answers(self) -> Weighted:
        outlook, mentor, which, on = self._outlook, self.mentor, self.which, self.on

        def propose(*, decline: bool) -> Callable[[], None]:
            return lambda: outlook.propose(mentor, which, self._later(), decline=decline, on=on)

        return {
            "accepted": (10, [self._accept]),
            "declined": (2, [lambda: outlook.decline(mentor, which, on=on)]),
            "tentative": (3, [self._tentative]),
            "accepted without sending": (
                1,
                [lambda: outlook.accept(mentor, which, send=False, on=on)],
            ),
            "proposed": (3, [propose(decline=False)]),
            "proposed and declined": (1, [propose(decline=True)]),
            "accepted twice": (2, [self._accept, self._accept]),
            "two devices": (3, [self._accept, self._tentative]),
            "copy dragged": (1, [lambda: outlook.move(mentor, which, self._later(), on=on)]),
            "copy deleted": (1, [self._delete(mentor)]),
            "copy restored": (2, [lambda: outlook.restore(mentor, which)]),
        }

    def _moves(self, start_of_another: Callable[[], datetime]) -> Weighted:
        outlook, mentee, which, on = self._outlook, self.mentee, self.which, self.on

        def onto_another() -> None:
            self._move(start_of_another() + timedelta(minutes=self.rng.choice((0, 15))))

        def shrink() -> None:
            start = self._later()
            self._move(start, end=start)

        def edit() -> None:
            outlook.edit(mentee, which, subject="Other words", on=on)

        return {
            "moved": (5, [self._move]),
            "moved onto another": (4, [onto_another]),
            "moved and answered": (2, [self._move, self._accept]),
            "answered and moved": (2, [self._accept, self._move]),
            "moved twice": (1, [onto_another, self._move]),
            "no length": (1, [shrink]),
            "all day": (2, [lambda: outlook.all_day(mentee, which, on=on)]),
            "timed": (2, [lambda: outlook.timed(mentee, which, on=on)]),
            "edited": (2, [edit]),
            "other calendar": (1, [lambda: outlook.move_to(mentee, which, "Mentoring")]),
        }

    def _ends(self) -> Weighted:
        outlook, mentee, which = self._outlook, self.mentee, self.which

        def cancel() -> None:
            outlook.cancel(mentee, which, on=self.on)

        def restore() -> None:
            outlook.restore(mentee, which)

        silently = self._delete(mentee, send=False)
        return {
            "cancelled": (1, [cancel]),
            "deleted": (1, [self._delete(mentee)]),
            "wiped out": (1, [self._delete(mentee, hard=True)]),
            "deleted silently": (1, [silently]),
            "deleted and restored": (1, [silently, restore]),
            "restored": (3, [restore]),
        }

    def _invitations(self) -> Weighted:
        outlook, mentee, which, on = self._outlook, self.mentee, self.which, self.on

        def attend(address: str, kind: str | None) -> Callable[[], None]:
            return lambda: outlook.attend(mentee, which, address, kind, on=on)

        def forward(who: str) -> Callable[[], None]:
            return lambda: outlook.forward(who, which, self.stranger, on=on)

        def answer_from_outside() -> None:
            outlook.answer_as_external(OUTSIDER, which, "accepted", on=on)

        address = self._person(self.mentor).address
        return {
            "forwarded": (2, [forward(self.mentor)]),
            "forwarded by the organizer": (1, [forward(mentee)]),
            "stranger invited": (2, [attend(self.stranger, "required")]),
            "stranger removed": (1, [attend(self.stranger, None)]),
            "answered from outside": (1, [answer_from_outside]),
            "removed": (2, [attend(address, None)]),
            "put back": (2, [attend(address, "required")]),
            "removed and put back": (2, [attend(address, None), attend(address, "required")]),
            "made optional": (2, [attend(address, "optional")]),
        }

    def _names(self) -> Weighted:
        """Return the acts after which Outlook shows the mentor under another name."""
        person = self._person(self.mentor)

        def relabel(shown_as: str) -> Callable[[], None]:
            address = person.address
            return lambda: self._outlook.relabel(self.mentee, self.which, address, shown_as)

        def rename() -> None:
            # An internal address of a former name is known by aliases alone, which the app may not
            # read: following-outlook says so.
            if any(row.address.startswith("/o=") for row in self._rows_everywhere()):
                raise NoSuchEvent("somebody is shown under an internal address")
            name, _, domain = person.address.partition("@")
            name = f"{name.partition('.')[0]}.{len(person.aliases) + 1}"
            self._outlook.rename(self.mentor, f"{name}@{domain}")

        return {
            "renamed": (1, [rename]),
            "name typed": (1, [relabel(f"{person.name} <{person.address}>")]),
            "internal address": (1, [relabel(x500_address(person.address))]),
        }

    def _rows_everywhere(self) -> Iterator[Attendee]:
        for mailbox in self.cloud.graph.backend.store.all():
            for event in mailbox.events.values():
                for each in (event, *event.exceptions.values()):
                    yield from each.details.attendees

    def _of_series(self) -> Weighted:
        """Return the acts on several dates of a series."""
        outlook, mentee, mentor, which = self._outlook, self.mentee, self.mentor, self.which

        def move_all() -> None:
            start = outlook.find(mentee, which).start_at
            hour = self.rng.randint(8, 16)
            outlook.move(mentee, which, start.replace(hour=hour))

        def split(**changes: Any) -> None:
            assert self.on
            self.split_off(outlook.split(mentee, which, self.on, **changes))

        def split_to_another_hour() -> None:
            assert self.on
            start = outlook.find(mentee, which, on=self.on).start_at
            split(start=start.replace(hour=self.rng.randint(8, 16)))

        return {
            "series accepted": (3, [lambda: outlook.accept(mentor, which)]),
            "series declined": (1, [lambda: outlook.decline(mentor, which)]),
            "series moved": (1, [move_all]),
            "series deleted silently": (1, [lambda: outlook.delete(mentee, which, send=False)]),
            "this and following": (2, [lambda: split(changes={"subject": "Other words"})]),
            "this and following moved": (2, [split_to_another_hour]),
            "series cancelled": (1, [lambda: outlook.cancel(mentee, which)]),
        }
