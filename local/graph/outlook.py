"""People's acts in Outlook, without the app: for tests, the command line and the page."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from local.graph.backend import GraphBackend
from local.graph.errors import Json
from local.graph.mail import MeetingMessage
from local.graph.mailbox import Event, Mailbox
from local.graph.rendering import EventView, event_json
from local.graph.times import Moment

_USUAL_START: Final = time(8)
_USUAL_LENGTH: Final = timedelta(minutes=30)


class NoSuchEvent(LookupError):
    """No mailbox has such an event, or the person's has not."""


class NotYetDelivered(NoSuchEvent):
    """The invitation to the person is still in transit."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Acts of people. *who* is a key, address or object id; *which* a session id, iCalUId or id.

    A session id is looked up in the extended properties and transaction ids of all mailboxes. The
    iCalUId then leads to the person's own copy. With *on*, the acts concern the occurrence that a
    series has on that date by its pattern. Refusals are GraphErrors, as Outlook would refuse.
    """

    backend: GraphBackend

    def find(self, who: str, which: str, *, on: date | None = None) -> Event:
        """Return the person's own copy. NoSuchEvent if there is none, or none yet."""
        mailbox, uid = self._mailbox(who), self._uid(which)
        event = mailbox.by_uid(uid) or self._by_id(mailbox, which)
        if event is None and self.backend.post.is_under_way(uid, mailbox.person.address):
            raise NotYetDelivered(f"the invitation to {who} is still under way")
        if event is None or (on and on not in event.dates()):
            raise NoSuchEvent(f"{who} has no event {which}" + (f" on {on}" if on else ""))
        return event.occurrence(on) if on else event

    def events(self, who: str, start: datetime, end: datetime) -> list[Event]:
        """Return the events of the person's default calendar in [start, end)."""
        return self._mailbox(who).view(start, end)

    def accept(
        self, who: str, which: str, *, comment: str = "", send: bool = True, on: date | None = None
    ) -> None:
        """Accept; without *send* the organizer gets no mail."""
        self.backend.exchange.respond(
            self.find(who, which, on=on), "accept", send=send, comment=comment
        )

    def decline(
        self, who: str, which: str, *, comment: str = "", send: bool = True, on: date | None = None
    ) -> None:
        """Decline: the own copy goes to Deleted Items."""
        self.backend.exchange.respond(
            self.find(who, which, on=on), "decline", send=send, comment=comment
        )

    def tentative(
        self, who: str, which: str, *, comment: str = "", send: bool = True, on: date | None = None
    ) -> None:
        """Accept tentatively."""
        self.backend.exchange.respond(
            self.find(who, which, on=on), "tentativelyAccept", send=send, comment=comment
        )

    def propose(
        self,
        who: str,
        which: str,
        start: datetime,
        end: datetime | None = None,
        *,
        decline: bool = False,
        comment: str = "",
        on: date | None = None,
    ) -> None:
        """Propose another time, tentatively or declining. *end* as long after as the meeting is."""
        event = self.find(who, which, on=on)
        zone = event.details.start.zone
        ends_at = end or start + (event.end_at - event.start_at)
        self.backend.exchange.respond(
            event,
            "decline" if decline else "tentativelyAccept",
            comment=comment,
            proposed=(Moment.at(start, zone), Moment.at(ends_at, zone)),
        )

    def move(
        self,
        who: str,
        which: str,
        start: datetime,
        end: datetime | None = None,
        *,
        on: date | None = None,
    ) -> None:
        """Drag to another time: the organizer reschedules, an attendee moves the own copy alone.

        An all-day event gets hours by it, half an hour unless *end* is given.
        """
        event = self.find(who, which, on=on)
        is_all_day = event.details.is_all_day
        length = _USUAL_LENGTH if is_all_day else event.end_at - event.start_at
        self._patch(
            event,
            {
                "start": Moment.at(start, event.details.start.zone).as_json(
                    event.details.start.zone
                ),
                "end": Moment.at(end or start + length, event.details.end.zone).as_json(
                    event.details.end.zone
                ),
                "isAllDay": False,
            },
        )

    def split(
        self,
        who: str,
        which: str,
        on: date,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        changes: Json | None = None,
    ) -> Event:
        """Edit "this and all following" dates as organizer: by hours, or by PATCH *changes*.

        Returns the new series, which *which* does not name. From its first date on a series is
        edited as it is.
        """
        found = self.find(who, which)
        series = found.master or found
        first = self.find(who, series.ical_uid, on=on)
        zone = first.details.start.zone
        starts_at = start or first.start_at
        times = {
            "start": Moment.at(starts_at, zone).as_json(zone),
            "end": Moment.at(end or starts_at + (first.end_at - first.start_at), zone).as_json(
                zone
            ),
        }
        mailbox, edited = self.backend.store.mailbox_of(series), times | (changes or {})
        if on == series.dates()[0]:
            return self.backend.exchange.update(mailbox, series, edited)
        return self.backend.exchange.split(mailbox, series, on, edited)

    def all_day(
        self,
        who: str,
        which: str,
        first: date | None = None,
        last: date | None = None,
        *,
        on: date | None = None,
    ) -> None:
        """Tick "All day": from *first* to *last* in the person's zone, else on the event's day."""
        event, zone = self.find(who, which, on=on), self._mailbox(who).person.zone
        begins = first or Moment.at(event.start_at, zone).wall.date()
        ends = (last or begins) + timedelta(days=1)
        self._patch(
            event,
            {
                "isAllDay": True,
                "start": Moment(datetime.combine(begins, time()), zone).as_json(zone),
                "end": Moment(datetime.combine(ends, time()), zone).as_json(zone),
            },
        )

    def timed(self, who: str, which: str, *, on: date | None = None) -> None:
        """Untick "All day". Outlook proposes hours of its own: the former ones are lost."""
        start = self.find(who, which, on=on).details.start
        eight = Moment(datetime.combine(start.wall.date(), _USUAL_START), start.zone)
        self.move(who, which, eight.instant, on=on)

    def cancel(self, who: str, which: str, *, comment: str = "", on: date | None = None) -> None:
        """Cancel as organizer."""
        self.backend.exchange.cancel(self.find(who, which, on=on), comment)

    def delete(
        self,
        who: str,
        which: str,
        *,
        hard: bool = False,
        send: bool = True,
        on: date | None = None,
    ) -> None:
        """Delete; *hard* leaves nothing in Deleted Items; without *send* nothing is sent."""
        self.backend.exchange.delete(self.find(who, which, on=on), hard=hard, send=send)

    def restore(self, who: str, which: str, *, on: date | None = None) -> None:
        """Move an event back from Deleted Items, or one date of a series into the series.

        NoSuchEvent: it is not there.
        """
        if on:
            series = self.find(who, which)
            if on not in series.cancelled_on:
                raise NoSuchEvent(f"{who} has not deleted {on} of {which}")
            self.backend.exchange.restore_date(series, on)
            return
        uid = self._uid(which)
        for event in self._mailbox(who).deleted():
            if event.ical_uid == uid or _is_called(event, which):
                self.backend.exchange.restore(event)
                return
        raise NoSuchEvent(f"{who} has no event {which} in Deleted Items")

    def move_to(self, who: str, which: str, calendar: str) -> None:
        """Drag into another calendar of the mailbox, made if there is none of this name."""
        event = self.find(who, which)
        self.backend.exchange.move(self._mailbox(who), event, calendar)

    def forward(
        self, who: str, which: str, to: str, *, comment: str = "", on: date | None = None
    ) -> None:
        """Forward to an address, which the organizer gets as a further attendee."""
        mailbox = self.backend.store.at(to)
        name = mailbox.person.name if mailbox else to
        address = mailbox.person.address if mailbox else to
        self.backend.exchange.forward(self.find(who, which, on=on), [(address, name)], comment)

    def attend(
        self, who: str, which: str, to: str, kind: str | None = None, *, on: date | None = None
    ) -> None:
        """Make an attendee ``required`` or ``optional`` as organizer; None: remove them.

        An address that is no attendee yet is invited.
        """
        event = self.find(who, which, on=on)
        rows = [
            {"emailAddress": {"address": a.address, "name": a.name}, "type": a.kind}
            for a in event.details.attendees
            if not a.is_at(to)
        ]
        if kind is not None:
            rows.append({"emailAddress": {"address": to}, "type": kind})
        self._patch(event, {"attendees": rows})

    def relabel(self, who: str, which: str, address: str, shown_as: str) -> None:
        """Write *shown_as* into the row of *address* in the organizer's copy, as clients do."""
        event = self.find(who, which)
        attendee = event.details.attendee(address)
        if attendee is None:
            raise NoSuchEvent(f"{address} is not invited")
        attendee.address = shown_as
        self.backend.store.changed(event, "updated")

    def rename(self, who: str, address: str, *, keeps_alias: bool = True) -> None:
        """Give a person another main address, which their events show from now on."""
        person = self._mailbox(who).person
        former, person.address = person.address, address
        if keeps_alias:
            person.aliases.append(former)
        for mailbox in self.backend.store.all():
            for event in mailbox.events.values():
                for attendee in event.details.attendees:
                    if attendee.is_at(former):
                        attendee.address = address

    def edit(
        self,
        who: str,
        which: str,
        *,
        subject: str | None = None,
        body: str | None = None,
        location: str | None = None,
        on: date | None = None,
    ) -> None:
        """Edit texts; *body* is plain text, which replaces all, join details included."""
        changes: Json = {}
        if subject is not None:
            changes["subject"] = subject
        if body is not None:
            changes["body"] = {"contentType": "text", "content": body}
        if location is not None:
            changes["location"] = {"displayName": location}
        self._patch(self.find(who, which, on=on), changes)

    def patch(self, who: str, which: str, changes: Json, *, on: date | None = None) -> None:
        """Change anything, written as in a PATCH."""
        self._patch(self.find(who, which, on=on), changes)

    def busy(
        self,
        who: str,
        start: datetime,
        end: datetime,
        *,
        show_as: str = "busy",
        subject: str = "Private",
        sensitivity: str = "private",
        recurrence: Json | None = None,
    ) -> Event:
        """Put a private appointment into a person's calendar; return it."""
        mailbox = self._mailbox(who)
        zone = mailbox.person.zone
        return self.backend.exchange.create(
            mailbox,
            {
                "subject": subject,
                "start": Moment.at(start, zone).as_json(zone),
                "end": Moment.at(end, zone).as_json(zone),
                "showAs": show_as,
                "sensitivity": sensitivity,
                "recurrence": recurrence,
            },
        )

    def invite(self, who: str, body: Json) -> Event:
        """Create any event, written as in a POST; return it."""
        return self.backend.exchange.create(self._mailbox(who), body)

    def answer_as_external(
        self, address: str, which: str, response: str, *, on: date | None = None
    ) -> None:
        """Answer an invitation by mail, from an address without a mailbox in this world.

        *response* is ``accepted``, ``tentativelyAccepted`` or ``declined``.
        """
        event = self._organizers_copy(which)
        if on:
            event = event.occurrence(on)
        self.backend.post.send(
            MeetingMessage(
                kind="response",
                sender=address,
                recipient=event.details.organizer_address,
                ical_uid=(event.master or event).ical_uid,
                occurrence_on=event.occurrence_on,
                details=event.details,
                response=response,
                sequence=event.sequence,
            )
        )

    def get(self, event: Event) -> Json:
        """Return an event as JSON, times in its own zone, with the tags and both ids."""
        zone = event.details.start.zone
        full = event_json(event, EventView(immutable=True, zone=zone))
        return full | {
            "defaultId": event.id(immutable=False),
            "tags": dict(event.properties),
            "calendar": event.calendar,
        }

    def _patch(self, event: Event, changes: Json) -> None:
        mailbox = self.backend.store.mailbox_of(event)
        self.backend.exchange.update(mailbox, event, changes)

    def _mailbox(self, who: str) -> Mailbox:
        return self.backend.store.mailbox(self.backend.world.person(who))

    def _uid(self, which: str) -> str:
        for mailbox in self.backend.store.all():
            for event in mailbox.events.values():
                if which == event.transaction_id or which in event.properties.values():
                    return event.ical_uid
        return which

    def _by_id(self, mailbox: Mailbox, which: str) -> Event | None:
        return next((event for event in mailbox.live() if _is_called(event, which)), None)

    def _organizers_copy(self, which: str) -> Event:
        uid = self._uid(which)
        for mailbox in self.backend.store.all():
            event = mailbox.by_uid(uid)
            if event and event.is_organizer:
                return event
        raise NoSuchEvent(which)


def _is_called(event: Event, which: str) -> bool:
    return which in {event.id(immutable=True), event.id(immutable=False)}
