"""Converts sessions, series, pointers and holds to the values of rows and back. Pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from shared.adapters.tables.values import (
    compact,
    dates_text,
    instant,
    instants,
    long_text,
    long_texts,
    moment,
    optional,
    optional_dates,
    optional_instant,
    optional_moment,
    optional_span,
    present,
    read_long_text,
)
from shared.availability.model import Buffers
from shared.changes.model import Change, change_kind
from shared.ids import (
    EventId,
    ICalUid,
    Mailbox,
    ObjectId,
    OrganizationId,
    PairingId,
    SeriesId,
    SessionId,
)
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions.holds import Hold
from shared.sessions.ledger import Listing, Pointer, SeriesKey
from shared.sessions.model import Attendee, AttendeeResponse, ResponseState, Session, SessionState
from shared.sessions.online_meeting import (
    MeetingProvider,
    OnlineMeeting,
    OnlineMeetingReason,
    OnlineMeetingState,
)
from shared.timespan import TimeSpan

_MINUTE: Final = timedelta(minutes=1)


def session_values(session: Session) -> dict[str, Any]:
    """Return the row of *session*, without its organizer, which the partition key has."""
    pending = session.pending_span
    return (
        present(
            {
                "session_id": session.id,
                "organization_id": session.organization_id,
                "pairing_id": session.pairing_id,
                "state": session.state.value,
                "start": instant(session.span.start),
                "end": instant(session.span.end),
                "dates": dates_text(session.dates) if session.dates else None,
                "time_zone": session.time_zone,
                "created_at": instant(session.created_at),
                "changed_at": instant(session.changed_at),
                **_meeting_values(session.online_meeting),
                "fingerprint": session.fingerprint,
                "event_id": session.event_id,
                "ical_uid": session.ical_uid,
                "event_etag": session.event_etag,
                "event_modified_at": optional_instant(session.event_modified_at),
                "scheduling": session.sequence,
                "series_id": session.series_id,
                "occurrence": session.occurrence,
                "pending_start": optional_instant(pending.start if pending else None),
                "pending_end": optional_instant(pending.end if pending else None),
                "pending_of": session.pending_base_version,
                "held_until": optional_instant(session.held_until),
                "buffers": compact(_minutes(session.buffers)),
                "pending_buffers": _optional_minutes(session.pending_buffers),
                "pending_unknown": _optional_texts(session.pending_unknown_for),
                "unreadable_since": optional_instant(session.unreadable_since),
                "missing_since": optional_instant(session.missing_since),
                "mailbox_lost": session.is_mailbox_lost or None,
                "no_response": not session.response_requested or None,
            }
        )
        | long_texts(
            attendees=[_attendee_values(a) for a in session.attendees],
            unknown_for=session.unknown_for,
            conflicts_with=session.conflicts_with,
        )
        | (long_texts(outbox=list(map(_news_values, session.outbox))) if session.outbox else {})
    )


def session_of(values: Mapping[str, Any], organizer: Mailbox, version: str) -> Session:
    """Return the session of a row that `session_values` wrote."""
    return Session(
        id=SessionId(values["session_id"]),
        organization_id=OrganizationId(values["organization_id"]),
        pairing_id=PairingId(values["pairing_id"]),
        organizer=organizer,
        state=SessionState(values["state"]),
        span=TimeSpan(moment(values["start"]), moment(values["end"])),
        time_zone=values["time_zone"],
        attendees=tuple(map(_attendee, json.loads(read_long_text("attendees", values)))),
        created_at=moment(values["created_at"]),
        changed_at=moment(values["changed_at"]),
        online_meeting=_online_meeting(values),
        fingerprint=values["fingerprint"],
        unknown_for=tuple(json.loads(read_long_text("unknown_for", values))),
        event_id=optional(EventId, values.get("event_id")),
        ical_uid=optional(ICalUid, values.get("ical_uid")),
        event_etag=values.get("event_etag"),
        event_modified_at=optional_moment(values.get("event_modified_at")),
        sequence=values["scheduling"],
        conflicts_with=tuple(map(SessionId, json.loads(read_long_text("conflicts_with", values)))),
        outbox=_outbox(values),
        series_id=optional(SeriesId, values.get("series_id")),
        occurrence=values["occurrence"],
        pending_span=optional_span(values.get("pending_start"), values.get("pending_end")),
        pending_base_version=values.get("pending_of"),
        held_until=optional_moment(values.get("held_until")),
        buffers=_buffers(*json.loads(values.get("buffers", "[]"))),
        pending_buffers=optional(_read_buffers, values.get("pending_buffers")),
        pending_unknown_for=optional(_read_texts, values.get("pending_unknown")),
        unreadable_since=optional_moment(values.get("unreadable_since")),
        missing_since=optional_moment(values.get("missing_since")),
        is_mailbox_lost=bool(values.get("mailbox_lost")),
        dates=optional_dates(values.get("dates")),
        response_requested=not values.get("no_response"),
        version=version,
    )


def pointer_values(pointer: Pointer) -> dict[str, Any]:
    """Return the row of an attendee's mailbox that points to the organizer's session."""
    return present(
        {
            "session_id": pointer.id,
            "organizer": pointer.organizer.object_id,
            "start": instant(pointer.start),
            "changed_at": optional_instant(pointer.synced_at),
        }
    )


def organizer_of(values: Mapping[str, Any], mailbox: Mailbox) -> Mailbox:
    """Return the organizer of a row in *mailbox*: another mailbox if the row is a pointer."""
    object_id = values.get("organizer")
    return Mailbox(mailbox.tenant_id, ObjectId(object_id)) if object_id else mailbox


def entry_of(values: Mapping[str, Any], mailbox: Mailbox, version: str) -> Session | Pointer:
    """Return the session of a row in *mailbox*, or the pointer to it."""
    if "organizer" not in values:
        return session_of(values, mailbox, version)
    return Pointer(
        SessionId(values["session_id"]),
        organizer_of(values, mailbox),
        moment(values["start"]),
        optional_moment(values.get("changed_at")),
    )


def listing_values(listing: Listing, mailbox: Mailbox) -> dict[str, Any]:
    """Return the row of *mailbox*'s time index for *listing*."""
    organizer = listing.organizer
    return present(
        {
            "session_id": listing.id,
            "organizer": organizer.object_id if organizer != mailbox else None,
            "days": compact([day.isoformat() for day in listing.days]),
        }
    )


def listing_of(values: Mapping[str, Any], mailbox: Mailbox, start: datetime) -> Listing:
    """Return the listing of a row of *mailbox*'s time index; *start* is of its key."""
    days = tuple(map(date.fromisoformat, json.loads(values["days"])))
    return Listing(SessionId(values["session_id"]), organizer_of(values, mailbox), start, days)


def event_values(shown: SessionId | SeriesKey) -> dict[str, Any]:
    """Return the row of the event index: the session or the series that an event shows."""
    if isinstance(shown, SeriesKey):
        return present({"series_id": shown.id})
    return present({"session_id": shown})


def day_values(holds: Sequence[Hold]) -> dict[str, Any]:
    """Return the row of a day: its holds, each with session, span and expiry."""
    # The buffers by session, in a property of their own: an older release reads the holds as well.
    buffers = {hold.session_id: _minutes(hold.buffers) for hold in holds}
    kept = {session_id: minutes for session_id, minutes in buffers.items() if any(minutes)}
    return present({"buffers": compact(kept) if kept else None}) | long_text(
        "holds",
        compact(
            [
                [
                    hold.session_id,
                    instant(hold.span.start),
                    instant(hold.span.end),
                    optional_instant(hold.expires_at),
                ]
                for hold in holds
            ]
        ),
    )


def holds_in(values: Mapping[str, Any]) -> list[Hold]:
    """Return the holds of a row that `day_values` wrote."""
    buffers = json.loads(values.get("buffers", "{}"))
    return [
        Hold(
            SessionId(session_id),
            TimeSpan(moment(start), moment(end)),
            optional_moment(until),
            _buffers(*buffers.get(session_id, ())),
        )
        for session_id, start, end, until in json.loads(read_long_text("holds", values))
    ]


def _minutes(buffers: Buffers) -> list[int]:
    """Return the minutes before and after."""
    return [buffers.before // _MINUTE, buffers.after // _MINUTE]


def _optional_minutes(buffers: Buffers | None) -> str | None:
    return None if buffers is None else compact(_minutes(buffers))


def _read_buffers(text: str) -> Buffers:
    return _buffers(*json.loads(text))


def _optional_texts(texts: tuple[str, ...] | None) -> str | None:
    return None if texts is None else compact(texts)


def _read_texts(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _buffers(before: int | None = None, after: int | None = None) -> Buffers:
    return Buffers((before or 0) * _MINUTE, (after or 0) * _MINUTE)


def _attendee_values(attendee: Attendee) -> dict[str, Any]:
    response = attendee.response
    proposed = response.proposed
    values: dict[str, Any] = {
        "address": attendee.address,
        "object_id": attendee.object_id,
        "required": attendee.required,
        "busy": not attendee.is_free or None,
        "free_then": attendee.is_free_at_pending,
        "forwarded": attendee.forwarded or None,
        "uninvited": not attendee.invited or None,
        "known_as": attendee.known_as or None,
        "response": response.state.value,
        "responded_at": optional_instant(response.responded_at),
        "proposed": instants(proposed) if proposed else None,
        "taken": instants(attendee.taken) if attendee.taken else None,
        "reset": response.was_reset or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _attendee(values: Mapping[str, Any]) -> Attendee:
    return Attendee(
        address=values["address"],
        object_id=optional(ObjectId, values.get("object_id")),
        required=values["required"],
        is_free=not values.get("busy", False),
        is_free_at_pending=values.get("free_then"),
        taken=optional_span(*values.get("taken", (None, None))),
        response=AttendeeResponse(
            state=ResponseState(values["response"]),
            responded_at=optional_moment(values.get("responded_at")),
            proposed=optional_span(*values.get("proposed", (None, None))),
            was_reset=values.get("reset", False),
        ),
        forwarded=values.get("forwarded", False),
        invited=not values.get("uninvited", False),
        known_as=tuple(values.get("known_as", ())),
    )


def _news_values(news: Change) -> dict[str, Any]:
    values = {
        "id": news.id,
        "at": instant(news.at),
        "kind": str(news.kind),
        "cause": str(news.cause),
        "lag_ms": news.lag_ms,
        "detail": news.detail,
        "attendee": news.attendee,
        "remedy": news.remedy or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _outbox(values: Mapping[str, Any]) -> tuple[Change, ...]:
    if "outbox" not in values:
        return ()
    return tuple(
        Change(
            organization_id=OrganizationId(values["organization_id"]),
            at=moment(each["at"]),
            kind=change_kind(each["kind"]),
            cause=each["cause"],
            pairing_id=PairingId(values["pairing_id"]),
            session_id=SessionId(values["session_id"]),
            lag_ms=each.get("lag_ms"),
            detail=each["detail"],
            attendee=each.get("attendee"),
            remedy=each.get("remedy", ""),
            id=each["id"],
        )
        for each in json.loads(read_long_text("outbox", values))
    )


def _meeting_values(meeting: OnlineMeeting) -> dict[str, Any]:
    return {
        "meeting_wanted": meeting.wanted.value,
        "meeting_state": meeting.state.value,
        "meeting_reason": meeting.reason.value if meeting.reason else None,
        "meeting_provider": meeting.provider.value if meeting.provider else None,
        "join_url": meeting.join_url,
    }


def _online_meeting(values: Mapping[str, Any]) -> OnlineMeeting:
    return OnlineMeeting(
        wanted=OnlineMeetingChoice(values["meeting_wanted"]),
        state=OnlineMeetingState(values["meeting_state"]),
        join_url=values.get("join_url"),
        reason=optional(OnlineMeetingReason, values.get("meeting_reason")),
        provider=optional(MeetingProvider, values.get("meeting_provider")),
    )
