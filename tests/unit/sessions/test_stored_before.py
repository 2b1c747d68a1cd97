"""Messages and rows of the earlier version with separate code for series are still read.

`tests/data/stored_sessions.json` has the rows and the message that it left after a crash before
Outlook answered: of a booking and of a reschedule, for one date and for two. Ids and addresses are
placeholders.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.queues import parse_job
from shared.adapters.tables.series_rows import series_of
from shared.adapters.tables.session_rows import session_of
from shared.administration.job_runner import run_job
from shared.changes.model import Change, ChangeKind
from shared.ids import SessionId
from shared.jobs import Job
from shared.organizations.model import OnlineMeetingChoice
from shared.sessions import reservations
from shared.sessions.calendar_events import EventDraft
from shared.sessions.holds import Hold
from shared.sessions.model import Session, SessionState
from shared.sessions.series import Series
from tests.unit.sessions.conftest import BookingEnv
from tests.unit.sessions.test_crash_recovery import (
    NO_LOOK_PORTS,
    NO_SUBSCRIPTION_PORTS,
    is_consistent,
    time_passes,
)

STORED = json.loads(
    (Path(__file__).parents[2] / "data" / "stored_sessions.json").read_text(encoding="utf-8")
)


async def stored(env: BookingEnv, name: str) -> tuple[Job, list[Session], Series | None]:
    """Store the rows of *name*; return the job, the sessions and the series."""
    text = json.dumps(STORED[name])
    for placeholder, value in {
        "mentor_address": env.address(env.mentor),
        "mentor": env.mentor.object_id,
        "mentee": env.mentee.object_id,
        "tenant": env.mentor.tenant_id,
        "organization": env.organization.id,
        "pairing": env.pairing.id,
    }.items():
        text = text.replace(f"<{placeholder}>", value)
    found: dict[str, Any] = json.loads(text)
    job = parse_job(json.dumps(found["message"]).encode())
    sessions, series = list[Session](), None
    for values in found["series"]:
        series = await reservations.put_series(
            env.sessions, series_of(values, env.mentee, version="")
        )
    for values in found["sessions"]:
        session = session_of(values, env.mentee, version="")
        pending, still = session.pending_span, replace(session, pending_span=None)
        opened = await reservations.create(env.sessions, still, env.clock.now())
        hold = Hold(session.id, session.span, None if pending else session.held_until)
        now = env.clock.now()
        await reservations.place_hold(env.sessions, env.mentor, hold, env.mentee, now)
        if pending:
            moving = replace(opened, pending_span=pending)
            hold = Hold(session.id, pending, session.held_until)
            for mailbox in session.mailboxes:
                await reservations.hold_new_time(env.sessions, mailbox, opened, hold, now)
            opened = await reservations.save(env.sessions, moving)
            told = Change(
                opened.organization_id,
                now,
                ChangeKind.SCHEDULED,
                "api",
                opened.pairing_id,
                opened.id,
            )
            await env.changes.append([told])  # by the version before
        sessions.append(opened)
    return job, sessions, series


async def created(env: BookingEnv, sessions: list[Session], series: Series | None) -> None:
    """Create the event in Outlook at the times of *sessions*."""
    first = sessions[0]
    draft = EventDraft(
        SessionId(series.id) if series else first.id,
        "Mentoring",
        "",
        None,
        first.span,
        first.time_zone,
        first.attendees,
        OnlineMeetingChoice.TEAMS,
        series.pattern(series.planned[0], len(series.planned)) if series else None,
    )
    await env.calendar.create(env.acting(env.mentee).acting, draft)


@pytest.mark.parametrize("is_done", [False, True], ids=["not heard", "done"])
@pytest.mark.parametrize("name", STORED)
async def test_work_left_by_the_version_before_is_finished_or_undone(
    env: BookingEnv, name: str, *, is_done: bool
) -> None:
    job, sessions, series = await stored(env, name)
    is_move = name.startswith("reschedule")
    if is_move or is_done:
        await created(env, sessions, series)
    if is_move and is_done:
        for event in [e for e in env.outlook.events if not e.pattern]:
            (session,) = [s for s in sessions if s.span == event.seen.span]
            assert session.pending_span is not None
            env.calendar.moved(event, session.pending_span)
    await env.jobs.put(job)
    await time_passes(env)
    await is_consistent(env)
    if is_move or is_done:
        for session in sessions:
            known = await env.sessions.get(env.mentee, session.id)
            assert known.state is SessionState.SCHEDULED
            assert known.span == (session.pending_span if is_move and is_done else session.span)


@pytest.mark.parametrize("name", STORED)
async def test_a_message_of_the_version_before_may_come_when_all_is_over(
    env: BookingEnv, name: str
) -> None:
    text = json.dumps(STORED[name]["message"]).replace("<organization>", env.organization.id)
    job = parse_job(text.encode())
    await run_job(
        job,
        env.organization,
        ports=env.ports,
        subscription_ports=NO_SUBSCRIPTION_PORTS,
        look_ports=NO_LOOK_PORTS,
    )
    assert env.outlook.events == []
