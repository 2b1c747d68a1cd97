"""Queue: runs jobs that verify, subscribe, renew, reconcile, look, purge, or deliver changes."""

from datetime import timedelta
from typing import Final

import azure.functions as func

from functions._background import background
from shared.errors import CalendarThrottled, Invalid, NotFound
from shared.logs import log_event, log_warning
from shared.tracing import Span
from shared.wiring import wiring

bp = func.Blueprint()

_WAIT_SECONDS: Final = 30
"""The wait of a job that Graph throttles without naming a time."""


@bp.queue_trigger(arg_name="msg", queue_name="jobs", connection="STORAGE")
async def do_job(msg: func.QueueMessage) -> None:
    """Run one job."""
    from shared.adapters.queues import trace_of

    async with background("do_job", parent=trace_of(msg.get_body())) as span:
        await _do_job(msg, span)


async def _do_job(msg: func.QueueMessage, span: Span) -> None:
    from shared.adapters.queues import parse_job
    from shared.administration.job_runner import discard_job, requeue_job, run_job
    from shared.jobs import JobKind

    adapters = wiring()
    try:
        job = parse_job(msg.get_body())
    except Invalid:
        log_warning("job.unreadable", queue="jobs")
        return
    span.facts |= {"job": job.kind, "attempt": job.attempt}
    try:
        organization = await adapters.organizations.get(job.organization_id)
    except NotFound:
        await discard_job(job, due=adapters.due)
        return
    try:
        organization = await adapters.consent_monitor.current(organization)
        await run_job(
            job,
            organization,
            ports=adapters.session_ports,
            subscription_ports=adapters.subscription_ports,
            look_ports=adapters.look_ports,
            delivery_ports=adapters.delivery_ports,
        )
        if job.kind is JobKind.PURGE:
            retained_since = adapters.clock.now() - organization.settings.retention
            await adapters.changes.delete(organization.id, before=retained_since)
    except CalendarThrottled as throttled:
        wait = timedelta(seconds=throttled.retry_after_seconds or _WAIT_SECONDS)
        await requeue_job(job, wait, jobs=adapters.jobs, due=adapters.due, clock=adapters.clock)
        log_event("job.put_back", job=job.kind, retry_after_ms=wait // timedelta(milliseconds=1))
