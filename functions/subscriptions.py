"""Timer: renew the subscriptions that come due."""

import azure.functions as func

from shared.logs import log_event
from shared.subscriptions.upkeep import enqueue_renewals
from shared.wiring import wiring

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="0 7,22,37,52 * * * *", run_on_startup=False)
async def renew_subscriptions(timer: func.TimerRequest) -> None:
    """Queue what has reached half of its life; batches of 20 do the rest."""
    count = await enqueue_renewals(following=wiring().following)
    log_event("renewal.queued", due=count, overdue=int(timer.past_due))
