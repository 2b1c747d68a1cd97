"""Timer: queues due renewals of subscriptions."""

import azure.functions as func

from functions._background import background
from shared.logs import log_event
from shared.wiring import wiring

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="0 7,22,37,52 * * * *", run_on_startup=False)
async def renew_subscriptions(timer: func.TimerRequest) -> None:
    """Queue the subscriptions that have reached half of their life, in batches of 20.

    Also log the days until the app's own credential expires.
    """
    async with background("renew_subscriptions"):
        await _renew_subscriptions(timer)


async def _renew_subscriptions(timer: func.TimerRequest) -> None:
    # Imported here: the cold start of a request or of the webhook does not need this module.
    from shared.subscriptions.maintenance import enqueue_renewals

    adapters = wiring()
    count = await enqueue_renewals(ports=adapters.subscription_ports)
    log_event("renewal.queued", due=count, overdue=int(timer.past_due))
    expires_at = (await adapters.credentials.describe()).expires_at
    if expires_at is not None:
        log_event("credential.checked", days_left=(expires_at - adapters.clock.now()).days)
