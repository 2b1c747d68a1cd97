"""How Exchange handles arriving meeting messages, in the recipient's mailbox."""

import uuid
from typing import Final

from local.clock import CloudClock
from local.graph.event_input import exchange_html
from local.graph.exchange import Exchange
from local.graph.mail import MeetingMessage
from local.graph.mailbox import Attendee, Details, Event, Mailbox, Store, occurrence_uid
from local.graph.switches import BehaviorFlags
from local.graph.times import NEVER, RESET
from local.world import MailboxKind

_TIMES: Final = {"start", "end", "isAllDay", "recurrence"}
_WITHOUT_CALENDAR: Final = {MailboxKind.UNLICENSED, MailboxKind.ABSENT}


class Inbox:
    """Processes messages like the calendar attendant of Exchange, without an act of the owner."""

    def __init__(
        self, clock: CloudClock, store: Store, exchange: Exchange, switches: BehaviorFlags
    ) -> None:
        self._clock = clock
        self._store = store
        self._exchange = exchange
        self._switches = switches

    def receive(self, message: MeetingMessage) -> None:
        """Process *message* in the recipient's mailbox, if this world has one."""
        mailbox = self._store.at(message.recipient)
        if mailbox is None or mailbox.person.kind in _WITHOUT_CALENDAR:
            return
        match message.kind:
            case "invitation" | "update":
                self._invited(mailbox, message)
            case "cancellation":
                self._cancelled(mailbox, message)
            case "response":
                self._answered(mailbox, message)
            case "forward":
                self._forwarded(mailbox, message)

    def _invited(self, mailbox: Mailbox, message: MeetingMessage) -> None:
        is_rescheduled = bool(_TIMES & set(message.changed))
        known = self._copy(mailbox, message)
        if known is None:
            # A change of text does not restore a declined meeting; new times do.
            if message.kind == "invitation" or is_rescheduled:
                self._put(mailbox, message)
            return
        if message.number < known.mail_number:
            return
        if known.master and known.occurrence_on:
            known.master.exceptions[known.occurrence_on] = known
        known.details = self._details(mailbox, message)
        known.mail_number = message.number
        known.is_cancelled = False
        if is_rescheduled:
            known.exceptions.clear()
            known.cancelled_on.clear()
            _unanswer(known)
        known.sequence = message.sequence
        self._store.changed(known, "updated")

    def _put(self, mailbox: Mailbox, message: MeetingMessage) -> None:
        master = mailbox.by_uid(message.ical_uid)
        if master and message.occurrence_on:
            # The owner had declined this one date of a series.
            master.cancelled_on.discard(message.occurrence_on)
            event = master.occurrence(message.occurrence_on)
            event.details = self._details(mailbox, message)
            master.exceptions[message.occurrence_on] = event
        else:
            event = self._new_copy(mailbox, message)
            mailbox.events[event.key] = event
        event.mail_number = message.number
        event.sequence = message.sequence
        _unanswer(event)
        self._store.changed(event, "created")

    def _new_copy(self, mailbox: Mailbox, message: MeetingMessage) -> Event:
        now = self._clock.now()
        uid = message.ical_uid
        if message.occurrence_on:
            uid = occurrence_uid(uid, message.occurrence_on)
        return Event(
            mailbox_id=mailbox.id,
            key=uuid.uuid4(),
            ical_uid=uid,
            details=self._details(mailbox, message),
            is_organizer=False,
            created_at=now,
            modified_at=now,
            version=0,
        )

    def _details(self, mailbox: Mailbox, message: MeetingMessage) -> Details:
        """Return the copy's own details: other attendees' answers are not kept up to date."""
        details = message.details.copy()
        if details.hide_attendees:
            own = mailbox.person.address
            details.attendees = [a for a in details.attendees if a.is_at(own)]
        for attendee in details.attendees:
            attendee.response, attendee.answered_at, attendee.proposed = "none", NEVER, None
        return details

    def _cancelled(self, mailbox: Mailbox, message: MeetingMessage) -> None:
        known = self._copy(mailbox, message)
        if known is None or known.is_organizer:
            return
        if known.master and known.occurrence_on:
            known.master.exceptions[known.occurrence_on] = known
        # With a series its moved dates end, too.
        for event in (known, *known.exceptions.values()):
            if event.is_cancelled:
                continue
            event.is_cancelled = True
            event.show_as = "free"
            event.mail_number = message.number
            # Exchange writes it in the mailbox's language, by experience. No code may rely on the
            # subject.
            event.details.subject = f"Canceled: {event.details.subject}"
            if message.comment:
                event.details.body = exchange_html(
                    message.comment, is_text=not self._switches.comments_are_html
                )
        self._store.changed(known, "updated")

    def _answered(self, mailbox: Mailbox, message: MeetingMessage) -> None:
        event = self._copy(mailbox, message)
        if event is None or not event.is_organizer or event.is_cancelled:
            return
        series_round = event.master.sequence if event.master else 0
        if message.sequence < max(event.sequence, series_round):
            return  # an answer to former times
        if event.master and event.occurrence_on not in event.master.exceptions:
            event.only_answers_differ = True
            event.master.exceptions[event.occurrence_on or event.start_at.date()] = event
        answered = [event, *(one for one in event.exceptions.values() if _waits(one, message))]
        for one in answered:
            self._note_answer(one, message)
        self._store.changed(event, "updated")

    def _note_answer(self, event: Event, message: MeetingMessage) -> None:
        attendee = event.details.attendee(message.sender)
        if attendee is None:
            attendee = Attendee(message.sender, message.sender, "optional")
            event.details.attendees.append(attendee)
        if attendee.answered_at != RESET and attendee.answered_at > message.sent_at:
            return
        attendee.response = message.response
        attendee.answered_at = message.sent_at
        attendee.proposed = message.proposed

    def _forwarded(self, mailbox: Mailbox, message: MeetingMessage) -> None:
        event = self._copy(mailbox, message)
        if event and event.is_organizer:
            self._exchange.add_attendees(event, message.forwarded_to, message.comment)

    def _copy(self, mailbox: Mailbox, message: MeetingMessage) -> Event | None:
        """Return the mailbox's event, series or occurrence that *message* is about."""
        event = mailbox.by_uid(message.ical_uid)
        day = message.occurrence_on
        if day is None:
            return event
        if event is None:
            return mailbox.by_uid(occurrence_uid(message.ical_uid, day))
        return event.occurrence(day) if day in event.dates() else None


def _unanswer(event: Event) -> None:
    event.response = "notResponded"
    event.responded_at = NEVER
    event.show_as = "tentative"


def _waits(event: Event, message: MeetingMessage) -> bool:
    attendee = event.details.attendee(message.sender)
    return attendee is not None and attendee.response in {"none", "notResponded"}
