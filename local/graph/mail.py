"""The messages between calendars: logged, and delivered after a delay."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import count
from typing import Literal

from local.clock import CloudClock
from local.graph.errors import Json
from local.graph.mailbox import Details
from local.graph.scheduler import VirtualScheduler
from local.graph.switches import BehaviorFlags
from local.graph.times import NEVER, Moment, instant_text

_REMEMBERED = 10_000

MessageKind = Literal["invitation", "update", "cancellation", "response", "forward"]


@dataclass(frozen=True, slots=True)
class MeetingMessage:
    """One mail between an organizer and an attendee."""

    kind: MessageKind
    sender: str
    recipient: str
    """SMTP addresses."""
    ical_uid: str
    """Of the single event or of the series."""
    details: Details
    """The event's details when the message was sent."""
    occurrence_on: date | None = None
    """For a message about one occurrence: its date by the pattern."""
    changed: tuple[str, ...] = ()
    """The properties that an update changed, by Graph's names."""
    sequence: int = 0
    """The scheduling that a response answers, by the `number` of the message that started it."""
    response: str = ""
    proposed: tuple[Moment, Moment] | None = None
    forwarded_to: tuple[tuple[str, str], ...] = ()
    """(address, name) of the added attendees in a forward notification."""
    comment: str = ""
    number: int = 0
    sent_at: datetime = NEVER

    def as_json(self) -> Json:
        """Return the log's entry: sender, recipient and content."""
        return {
            "kind": self.kind,
            "from": self.sender,
            "to": self.recipient,
            "sentAt": instant_text(self.sent_at),
            "iCalUId": self.ical_uid,
            "occurrence": self.occurrence_on.isoformat() if self.occurrence_on else None,
            "subject": self.details.subject,
            "start": instant_text(self.details.start.instant),
            "end": instant_text(self.details.end.instant),
            "changed": list(self.changed),
            "response": self.response or None,
            "comment": self.comment,
        }


class MailTransport:
    """Takes messages, keeps a log, and delivers each when it is due."""

    def __init__(
        self, clock: CloudClock, scheduler: VirtualScheduler, switches: BehaviorFlags
    ) -> None:
        self._clock = clock
        self._agenda = scheduler
        self._switches = switches
        self._numbers = count(1)
        self._deliver: Callable[[MeetingMessage], None] = lambda _: None
        self.log: deque[MeetingMessage] = deque(maxlen=_REMEMBERED)
        self._under_way: list[MeetingMessage] = []

    def deliver_to(self, receive: Callable[[MeetingMessage], None]) -> None:
        """Deliver every message to *receive*."""
        self._deliver = receive

    def next_number(self) -> int:
        """Return a number for a round of messages: higher than those of all before."""
        return next(self._numbers)

    def send(self, message: MeetingMessage) -> None:
        """Send a message. It gets the present time, and a number unless it has one."""
        sent = replace(
            message,
            number=message.number or self.next_number(),
            sent_at=self._clock.now(),
            details=message.details.copy(),
        )
        self.log.append(sent)
        self._under_way.append(sent)
        delay = timedelta(seconds=self._switches.mail_delay_seconds)
        self._agenda.call_later(delay, lambda: self._arrive(sent))

    def is_under_way(self, ical_uid: str, recipient: str) -> bool:
        """Return whether a message about the event to *recipient* is still in transit."""
        return any((m.ical_uid, m.recipient) == (ical_uid, recipient) for m in self._under_way)

    def _arrive(self, message: MeetingMessage) -> None:
        self._under_way.remove(message)
        self._deliver(message)
