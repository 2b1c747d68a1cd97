"""Acts of people and apps on events, and their effects in Exchange: copies, mails, answers.

The HTTP layer and the simulated Outlook both use it. `inbox` handles arriving mail.
"""

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise

from local.clock import CloudClock
from local.graph.errors import GraphError, Json, bad_request
from local.graph.event_input import (
    SENT_TO_ATTENDEES,
    read_details,
    read_personal,
)
from local.graph.mail import MailTransport, MeetingMessage, MessageKind
from local.graph.mailbox import (
    CALENDAR,
    DELETED_ITEMS,
    Attendee,
    Details,
    Event,
    Mailbox,
    Store,
    new_uid,
)
from local.graph.online_meetings import OnlineMeetings, keeps_join_block
from local.graph.series import Recurrence
from local.graph.switches import BehaviorFlags
from local.graph.times import RESET, Moment

ANSWERS = {
    "accept": "accepted",
    "tentativelyAccept": "tentativelyAccepted",
    "decline": "declined",
}
"""The response of each action."""
_ACTION_SUFFIX = {"accept": "Accept", "tentativelyAccept": "Tentative", "decline": "Decline"}
_TIMES = frozenset({"start", "end", "isAllDay", "recurrence"})


def x500_address(address: str) -> str:
    """Return the internal address of *address*, as Exchange makes it."""
    name = address.partition("@")[0]
    return (
        "/o=ExchangeLabs/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn="
        f"{hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()}-{name}"
    )


def _crosses(one: Details, following: Details, zone: str) -> bool:
    """Whether *one* is not before the day of the *following* occurrence, as *zone* has days."""
    days = [Moment.at(each.start.instant, zone).wall.date() for each in (one, following)]
    return days[0] >= days[1] or one.end.instant > following.start.instant


class Exchange:
    """Acts on events. Every act is by the owner of the mailbox the event is in."""

    def __init__(
        self,
        clock: CloudClock,
        store: Store,
        post: MailTransport,
        online: OnlineMeetings,
        switches: BehaviorFlags,
    ) -> None:
        self._clock = clock
        self._store = store
        self._post = post
        self._online = online
        self._switches = switches

    def create(self, mailbox: Mailbox, body: Json, calendar: str = CALENDAR) -> Event:
        """Put a new event into *mailbox*, whose owner becomes the organizer; invite the others.

        Raises:
            GraphError: 400 for an impossible event; the duplicate error for a known transactionId.
        """
        transaction_id = body.get("transactionId")
        if transaction_id is not None:
            self._refuse_duplicate(mailbox, str(transaction_id))
        for name in ("start", "end"):
            if body.get(name) is None:
                raise bad_request(
                    f"The property '{name}' is required when creating the entity.",
                    code="ErrorInvalidRequest",
                )
        event = self._blank(mailbox, calendar)
        read_details(event.details, {"body": {"content": ""}} | body)
        self._name(event.details.attendees)
        read_personal(event, body)
        event.transaction_id = str(transaction_id) if transaction_id is not None else None
        self._online.arrange(mailbox, event)
        mailbox.events[event.key] = event
        if event.transaction_id:
            mailbox.transactions[event.transaction_id] = event.key
        self._store.changed(event, "created")
        self._notify_attendees(event, event.details.attendees, "invitation")
        return event

    def update(self, mailbox: Mailbox, event: Event, body: Json) -> Event:
        """Apply a PATCH body to *event*, and notify the attendees. Return the event.

        Raises:
            GraphError: 400 for an impossible change.
        """
        details = event.details.copy()
        if event.master and body.get("recurrence"):
            raise bad_request("An occurrence has no recurrence.", code="ErrorInvalidRequest")
        changed = read_details(details, body)
        self._refuse_collision(event, details)
        if event.details.join_url:
            # Once set, a PATCH can remove the meeting only through the body; the provider stays.
            # Source: https://learn.microsoft.com/graph/api/event-update
            details.is_online, details.online_provider = True, event.details.online_provider
            if "body" in changed and not keeps_join_block(details.body, event.details.join_url):
                details.is_online, details.online_provider = False, "unknown"
                details.join_url = None
        personal = read_personal(event, body)
        if not changed and not personal:
            return event
        before, event.details = event.details, details
        self._keep(event)
        event.only_answers_differ = False
        if event.is_organizer:
            self._reset_responses(mailbox, event, before, changed)
        elif changed & _TIMES and details.recurrence:
            event.exceptions.clear()
        self._store.changed(event, "updated")
        return event

    def cancel(self, event: Event, comment: str = "") -> None:
        """Cancel as organizer: the event goes to Deleted Items, attendees get a cancellation.

        Raises:
            GraphError: 400 for an attendee.
        """
        if not event.is_organizer:
            raise GraphError(
                400,
                "ErrorCalendarIsNotOrganizer",
                "Your request can't be completed. You need to be an organizer to cancel a meeting.",
            )
        self._notify_attendees(event, event.details.attendees, "cancellation", comment=comment)
        self._remove(event)

    def delete(self, event: Event, *, hard: bool = False, send: bool = True) -> None:
        """Delete the copy. The organizer's deletion is a cancellation, unless *send* is False."""
        if event.is_organizer and send:
            self._notify_attendees(event, event.details.attendees, "cancellation")
        elif (
            self._switches.organizer_hears_of_deletion
            and not event.is_organizer
            and not event.is_cancelled
        ):
            self._answer_by_mail(event, "declined")
        self._remove(event, hard=hard)

    def respond(
        self,
        event: Event,
        action: str,
        *,
        send: bool = True,
        comment: str = "",
        proposed: tuple[Moment, Moment] | None = None,
    ) -> None:
        """Answer an invitation: *action* is ``accept``, ``tentativelyAccept`` or ``decline``.

        Raises:
            GraphError: 400 for the organizer, a cancelled meeting, a proposal that cannot be.
        """
        suffix = _ACTION_SUFFIX[action]
        if event.is_organizer:
            raise GraphError(
                400,
                f"ErrorCalendarIsOrganizerFor{suffix}",
                "Your request can't be completed. You can't respond to this meeting because "
                "you're the meeting organizer.",
            )
        if event.is_cancelled:
            raise GraphError(
                400, f"ErrorCalendarIsCancelledFor{suffix}", "The meeting has been cancelled."
            )
        if proposed and (not send or not event.details.allow_new_time_proposals):
            raise bad_request(
                "Your request can't be completed. New times cannot be proposed for this meeting, "
                "or without sending a response.",
                code="ErrorInvalidRequest",
            )
        response = ANSWERS[action]
        self._keep(event)
        for answered in [event, *self._pending_exceptions(event)]:
            answered.response = response
            answered.responded_at = self._clock.now()
            answered.show_as = "tentative" if response == "tentativelyAccepted" else "busy"
        if send:
            self._answer_by_mail(event, response, comment=comment, proposed=proposed)
        if response == "declined":
            self._remove(event)
        else:
            self._store.changed(event, "updated")

    def forward(self, event: Event, recipients: list[tuple[str, str]], comment: str = "") -> None:
        """Invite (address, name) *recipients* too. The organizer gets a notice, but no request."""
        organizer = event.details.organizer_address
        if event.is_organizer:
            self.add_attendees(event, recipients, comment)
            return
        self._post.send(
            replace(
                self._message(event, "forward", organizer, comment=comment),
                forwarded_to=tuple(recipients),
            )
        )

    def add_attendees(
        self, event: Event, recipients: Iterable[tuple[str, str]], comment: str = ""
    ) -> None:
        """Add attendees on the organizer's copy and invite them."""
        added = [
            Attendee(address, name)
            for address, name in recipients
            if not event.details.attendee(address)
        ]
        if not added:
            return
        self._keep(event)
        event.details.attendees += added
        self._store.changed(event, "updated")
        self._notify_attendees(event, added, "invitation", comment=comment)

    def move(self, mailbox: Mailbox, event: Event, calendar: str) -> None:
        """Move to another calendar of the mailbox: the default id changes, the immutable stays.

        Graph tells `deleted` for the old place and `created` for the new one.

        Source: https://github.com/microsoftgraph/microsoft-graph-docs-contrib/issues/6026
        """
        if event.master:
            raise bad_request("An occurrence stays with its series.", code="ErrorMoveCopyFailed")
        if calendar not in mailbox.calendars:
            mailbox.calendars.append(calendar)
        if event.calendar == calendar:
            return
        self._store.changed(event, "deleted")
        event.calendar = calendar
        event.moves += 1
        self._store.changed(event, "created")

    def split(self, mailbox: Mailbox, series: Event, on: date, body: Json) -> Event:
        """Edit a series from *on*, a date of it, by a PATCH *body*; return the new series.

        Outlook has no such operation: it ends the old series and makes a new one, with ids and a
        join link of its own and without answers. Whether it copies extended properties is open.
        """
        recurrence = series.details.recurrence
        if recurrence is None or on not in series.dates():
            raise bad_request("A series is split at one of its dates.")
        first = series.occurrence(on).details.copy()
        new = self._blank(mailbox, series.calendar)
        details = replace(
            first, attendees=[Attendee(a.address, a.name, a.kind) for a in first.attendees]
        )
        read_details(details, body)
        details.join_url = None
        new.details = replace(
            details, recurrence=recurrence.going_on(on, details.start.wall.date())
        )
        if self._switches.split_copies_properties:
            new.properties = dict(series.properties)
        self._end_before(series, on, recurrence)
        self._online.arrange(mailbox, new)
        mailbox.events[new.key] = new
        self._store.changed(new, "created")
        self._notify_attendees(new, new.details.attendees, "invitation")
        return new

    def restore(self, event: Event) -> None:
        """Move an event back from Deleted Items.

        The iCalUId and the immutable id stay, the default id changes. Attendees' copies stay as
        they are: who got a cancellation keeps it.
        """
        event.calendar = CALENDAR
        event.moves += 1
        self._store.changed(event, "created")

    def restore_date(self, series: Event, on: date) -> None:
        """Put a deleted date back into its series, as the pattern has it."""
        series.cancelled_on.discard(on)
        self._store.changed(series, "updated")

    def _end_before(self, series: Event, on: date, recurrence: Recurrence) -> None:
        series.details.recurrence = recurrence.ending_before(on)
        series.exceptions = {day: one for day, one in series.exceptions.items() if day < on}
        series.cancelled_on = {day for day in series.cancelled_on if day < on}
        for attendee in series.details.attendees:
            attendee.response, attendee.answered_at = "notResponded", RESET
        self._store.changed(series, "updated")
        changed = {"recurrence"}
        self._notify_attendees(series, series.details.attendees, "update", changed=changed)

    def _blank(self, mailbox: Mailbox, calendar: str) -> Event:
        now = self._clock.now()
        nothing = Moment(datetime(1601, 1, 1), "UTC")  # noqa: DTZ001 - a wall clock
        person = mailbox.person
        return Event(
            mailbox_id=mailbox.id,
            key=uuid.uuid4(),
            ical_uid=new_uid(),
            details=Details("", "", nothing, nothing, person.name, person.address),
            is_organizer=True,
            created_at=now,
            modified_at=now,
            version=0,
            calendar=calendar,
        )

    def _refuse_duplicate(self, mailbox: Mailbox, transaction_id: str) -> None:
        key = mailbox.transactions.get(transaction_id)
        if key is None:
            return
        first = mailbox.events.get(key)
        is_gone = first is None or first.is_deleted
        if is_gone and not self._switches.remember_transactions:
            return
        named = first is not None and self._switches.duplicate_transaction_names_event
        raise GraphError(
            self._switches.duplicate_transaction_status,
            "ErrorDuplicateTransactionId",
            "Your request can't be completed. The TransactionId specified in the request has "
            "already been used to create a different event.",
            extra={"@event.existingEventId": first.id(immutable=True)} if named and first else {},
        )

    def _refuse_collision(self, event: Event, details: Details) -> None:
        """Refuse *details* that bring an occurrence to the day of a neighbour, or beyond.

        Source: https://learn.microsoft.com/graph/api/event-update
        """
        if not event.master or event.occurrence_on is None:
            return
        master, days = event.master, event.master.dates()
        place = days.index(event.occurrence_on)
        before = [master.occurrence(day).details for day in days[:place][-1:]]
        after = [master.occurrence(day).details for day in days[place + 1 :][:1]]
        zone = master.details.start.zone
        if any(_crosses(one, other, zone) for one, other in pairwise([*before, details, *after])):
            raise GraphError(
                400,
                "ErrorOccurrenceCrossingBoundary",
                "Modified occurrence is crossing or overlapping adjacent occurrence.",
            )

    def _keep(self, event: Event) -> None:
        """Store the view of an occurrence as an exception, before it changes."""
        if event.master and event.occurrence_on:
            event.master.exceptions[event.occurrence_on] = event

    def _reset_responses(
        self, mailbox: Mailbox, event: Event, before: Details, changed: set[str]
    ) -> None:
        details = event.details
        self._online.arrange(mailbox, event)
        added = [a for a in details.attendees if not before.attendee(a.address)]
        self._name(added)
        removed = [a for a in before.attendees if not details.attendee(a.address)]
        kept = [a for a in details.attendees if before.attendee(a.address)]
        if changed & _TIMES:
            if details.recurrence:
                event.exceptions.clear()
                event.cancelled_on.clear()
            for attendee in kept:
                attendee.response, attendee.answered_at = "notResponded", RESET
                attendee.proposed = None
        sent = changed & SENT_TO_ATTENDEES
        if sent:
            self._notify_attendees(event, kept, "update", changed=sent)
        self._notify_attendees(event, added, "invitation")
        self._notify_attendees(event, removed, "cancellation")

    def _name(self, attendees: list[Attendee]) -> None:
        """Resolve attendees in the address book: a name if they have none, and the main address."""
        for attendee in attendees:
            mailbox = self._store.at(attendee.address)
            if mailbox and attendee.is_at(attendee.name):
                attendee.name = mailbox.person.name
            if mailbox and self._switches.show_main_address:
                attendee.address = mailbox.person.address

    def _pending_exceptions(self, event: Event) -> list[Event]:
        return [one for one in event.exceptions.values() if one.response == "notResponded"]

    def _remove(self, event: Event, *, hard: bool = False) -> None:
        self._store.changed(event, "deleted")
        if event.master and event.occurrence_on:
            event.master.exceptions.pop(event.occurrence_on, None)
            event.master.cancelled_on.add(event.occurrence_on)
            return
        event.calendar = DELETED_ITEMS
        event.moves += 1
        if hard:
            self._store.mailbox_of(event).events.pop(event.key, None)

    def _answer_by_mail(
        self,
        event: Event,
        response: str,
        *,
        comment: str = "",
        proposed: tuple[Moment, Moment] | None = None,
    ) -> None:
        if not event.details.response_requested:
            return  # no client sends one: MS-OXOCAL 3.1.4.8.4
        message = self._message(event, "response", event.details.organizer_address, comment=comment)
        sender = message.sender
        if self._switches.answers_from == "x500":
            sender = x500_address(sender)
        self._post.send(
            replace(
                message,
                sender=sender,
                response=response,
                proposed=proposed,
                sequence=event.sequence,
            )
        )

    def _notify_attendees(
        self,
        event: Event,
        attendees: list[Attendee],
        kind: MessageKind,
        *,
        changed: Iterable[str] = (),
        comment: str = "",
    ) -> None:
        """Send one round of messages, all with the same number."""
        if not attendees:
            return
        number = self._post.next_number()
        if kind == "invitation" or _TIMES & set(changed):
            # Later answers must refer to this round, or to a later invitation of another attendee.
            event.sequence = number if _TIMES & set(changed) else event.sequence or number
        for attendee in attendees:
            if attendee.is_at(event.details.organizer_address):
                continue
            message = self._message(event, kind, attendee.address, comment=comment)
            self._post.send(
                replace(
                    message,
                    number=number,
                    changed=tuple(sorted(changed)),
                    sequence=event.sequence,
                )
            )

    def _message(self, event: Event, kind: MessageKind, to: str, *, comment: str) -> MeetingMessage:
        return MeetingMessage(
            kind=kind,
            sender=self._store.mailbox_of(event).person.address,
            recipient=to,
            ical_uid=(event.master or event).ical_uid,
            occurrence_on=event.occurrence_on,
            details=event.details,
            comment=comment,
        )
