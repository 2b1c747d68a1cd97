"""The simulated Graph over HTTP: Microsoft's own paths, and the control API beside them."""

from aiohttp import web

from local.graph.control import control_routes
from local.graph.simulator import GraphSimulator


def graph_application(simulator: GraphSimulator) -> web.Application:
    """Return the application: ``/v1.0/…`` and ``/_control/…`` at the root."""
    app = simulator.app()
    app.add_routes(control_routes(simulator))
    return app
