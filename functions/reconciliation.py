"""Timer: queues due reconciliations, looks at lost mailboxes, and purges."""

import azure.functions as func

from functions._background import background
from shared.logs import log_event
from shared.wiring import wiring

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="30 */5 * * * *", run_on_startup=False)
async def reconcile_sessions(timer: func.TimerRequest) -> None:
    """Queue the reconciliations, looks at lost mailboxes and purges that are due.

    Also log the length of the poison queues, because the platform's own metrics come too late for
    an alert.
    """
    async with background("reconcile_sessions"):
        await _reconcile_sessions(timer)


async def _reconcile_sessions(timer: func.TimerRequest) -> None:
    # Imported here: the cold start of a request or of the webhook does not need these modules.
    from shared.calendar_sync.reconciliation import enqueue_reconciliations
    from shared.jobs import DueKind, JobKind, enqueue_due_items
    from shared.sessions.retention import enqueue_purges

    adapters = wiring()
    count = await enqueue_reconciliations(
        jobs=adapters.jobs, due=adapters.due, clock=adapters.clock
    )
    await enqueue_due_items(
        DueKind.LOOK, JobKind.LOOK, jobs=adapters.jobs, due=adapters.due, clock=adapters.clock
    )
    purged = await enqueue_purges(jobs=adapters.jobs, due=adapters.due, clock=adapters.clock)
    log_event("reconciliation.queued", due=count, purged=purged, overdue=int(timer.past_due))
    for queue, waiting in (await adapters.queues.poisoned()).items():
        log_event("poison.counted", queue=queue, count=waiting)
