"""Registers the blueprints; no logic."""

import azure.functions as func

from functions import (
    availability,
    consent,
    jobs,
    notifications,
    organizations,
    pairings,
    reconciliation,
    service,
    sessions,
    subscriptions,
)

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for module in (
    availability,
    consent,
    jobs,
    notifications,
    organizations,
    pairings,
    reconciliation,
    service,
    sessions,
    subscriptions,
):
    app.register_functions(module.bp)
