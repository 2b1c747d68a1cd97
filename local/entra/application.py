"""The simulated Entra over HTTP: Microsoft's own paths, and the control API beside them."""

from aiohttp import web

from local.entra.control import Control
from local.entra.simulator import EntraSimulator


def entra_application(entra: EntraSimulator) -> web.Application:
    """Return the application, with ``/_control/…`` at the root."""
    app = entra.app()
    Control(entra).add_routes(app.router)
    return app
