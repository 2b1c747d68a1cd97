"""Converts series to the values of rows and back. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shared.adapters.tables.values import (
    instants,
    long_texts,
    moment,
    optional,
    optional_span,
    present,
    read_long_text,
)
from shared.ids import EventId, Mailbox, ObjectId, OrganizationId, PairingId, SeriesId
from shared.sessions.model import SessionState
from shared.sessions.recurrence import Frequency, MonthlyBy
from shared.sessions.series import Outcome, PlannedDate, Series
from shared.timespan import TimeSpan


def series_values(series: Series) -> dict[str, Any]:
    """Return the row of *series*, without its organizer, which the partition key has."""
    return present(
        {
            "series_id": series.id,
            "organization_id": series.organization_id,
            "pairing_id": series.pairing_id,
            "state": series.state.value,
            "fingerprint": series.fingerprint,
            "time_zone": series.time_zone,
            "frequency": series.frequency.value,
            "monthly_by": series.monthly_by.value,
            "event_id": series.event_id,
        }
    ) | long_texts(
        planned=[_planned_values(p) for p in series.planned],
        people=[
            [p.number, p.busy, p.unknown_for] for p in series.planned if p.busy or p.unknown_for
        ],
        others=[mailbox.object_id for mailbox in series.attendee_mailboxes],
        **({"continued_by": series.continued_by} if series.continued_by else {}),
    )


def series_of(values: Mapping[str, Any], organizer: Mailbox, version: str) -> Series:
    """Return the series of a row that `series_values` wrote."""
    planned = json.loads(read_long_text("planned", values))
    # Rows of an earlier release have no attendance of single dates.
    people = json.loads(read_long_text("people", values)) if "people" in values else ()
    busy_unknown = {number: (busy, unknown) for number, busy, unknown in people}
    return Series(
        id=SeriesId(values["series_id"]),
        organization_id=OrganizationId(values["organization_id"]),
        pairing_id=PairingId(values["pairing_id"]),
        organizer=organizer,
        attendee_mailboxes=tuple(
            Mailbox(organizer.tenant_id, ObjectId(one))
            for one in json.loads(read_long_text("others", values))
        ),
        state=SessionState(values["state"]),
        fingerprint=values["fingerprint"],
        time_zone=values["time_zone"],
        frequency=Frequency(values["frequency"]),
        monthly_by=MonthlyBy(values["monthly_by"]),
        planned=tuple(
            _planned(number, payload, *busy_unknown.get(number, ((), ())))
            for number, payload in enumerate(planned)
        ),
        event_id=optional(EventId, values.get("event_id")),
        continued_by=tuple(json.loads(read_long_text("continued_by", values)))
        if "continued_by" in values
        else (),
        version=version,
    )


def _planned_values(planned: PlannedDate) -> list[Any]:
    payload: list[Any] = [planned.outcome.value, *instants(planned.span)]
    if planned.outcome is not Outcome.BOOKED:
        payload.append(instants(planned.moved_to) if planned.moved_to else None)
        payload += [instants(span) for span in planned.alternatives]
    return payload


def _planned(
    number: int, payload: Sequence[Any], busy: Sequence[str], unknown: Sequence[str]
) -> PlannedDate:
    outcome, start, end, *more = payload
    moved_to, *alternatives = more or [None]
    return PlannedDate(
        number,
        TimeSpan(moment(start), moment(end)),
        Outcome(outcome),
        optional_span(*moved_to) if moved_to else None,
        tuple(TimeSpan(moment(begin), moment(end)) for begin, end in alternatives),
        tuple(busy),
        tuple(unknown),
    )
